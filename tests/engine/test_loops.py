"""Names that nobody looks up in time hold up only those who wait for them."""

import socket
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest

from backupman.config.model import Deliveries
from backupman.engine.dispatcher import Dispatcher
from backupman.notifiers.webhook import Webhook
from backupman.store import Store
from backupman.testing import RecordingNotifier
from tests.e2e.world import wait_for
from tests.engine._owing import owe


def test_a_name_server_that_does_not_answer_holds_up_nobody_else(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    answered, looking = Event(), socket.getaddrinfo

    def look(host: Any, *args: Any, **options: Any) -> Any:
        if "away" in str(host):
            answered.wait(90)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return looking(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    hooks = [{"name": f"away {number}", "url": f"http://away{number}.example/"} for number in range(5)]
    away, here = Webhook.model_validate({"endpoints": hooks}).endpoints(), RecordingNotifier(name="here")
    for number in range(10):
        owe(store, *(endpoint.name for endpoint in away), job=f"job {number}")
    owe(store, "here", job="last")
    endpoints = {endpoint.name: endpoint for endpoint in [*away, *here.endpoints()]}
    dispatcher = Dispatcher(Deliveries(first_wait=timedelta(hours=1)), endpoints, store, "host1")
    sending = Thread(target=dispatcher.drain, args=(timedelta(seconds=20),))
    sending.start()
    try:
        wait_for(lambda: bool(here.sent), 20)
    finally:
        answered.set()
        sending.join()
