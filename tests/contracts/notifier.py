"""What every notifier promises, as tests.

A provider's test subclasses `NotifierContract`, or `HttpNotifierContract` if it sends to the fixture `receiver`:

class TestWebhook(HttpNotifierContract):
    notifier_class = Webhook

    @pytest.fixture
    def settings(self, receiver, timeout): ...  # its block of the config
"""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from backupman.errors import NotifyError
from backupman.events import EventKind
from backupman.notifiers import Endpoint, Message, Notifier
from backupman.notifiers._http import HttpEndpoint
from tests.servers.receiver import Receiver

EVENTS = [kind.value for kind in EventKind]

ODD_TEXTS = {
    "long": "word " * 2_000,
    "one long word": "x" * 10_000,
    "markup": "</td><script>alert('\"&amp;')</script>{{ 7 * 7 }}",
    "line breaks": "a\r\nBcc: evil@example.org\r\n\r\n.\r\nQUIT\n\r",
    "lone surrogates": "broken \udcff name \ud83d",
    "controls": "a\0b\x1b[31m\x85\x7f",
    "directions": "\u202egnihtemos\u202c \u200f\u05e9\u05dc\u05d5\u05dd \u2066x",
    "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467 ß € \ufdfd \U0001d518",
}


def message(kind: str = EventKind.BACKUP_REPORT, text: str = "") -> Message:
    """An event as the engine freezes it (`BackupExtended`), with `text` wherever there is free text."""
    status = {EventKind.BACKUP_START: "pending", EventKind.BACKUP_FAILURE: "failed"}.get(EventKind(kind), "finished")
    times = {"CreatedAt": "2025-07-02T10:00:00Z", "UpdatedAt": "2025-07-02T10:05:00Z"}
    drive_file = {
        "Id": "d1f1e1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1c",
        "BackupId": "b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b",
        "Provider": "google_drive",
        "Label": f"My Google Drive{text}",
        "Path": f"backups/backup-20250702100000.sql.gz{text}",
        "Status": status,
        **times,
        "Size": 45_000_000,
        "Sha256": None,
        "Required": True,
        "Attempts": 1,
        "Seconds": 12.3,
        "Error": f"quota exceeded{text}" if status == "failed" else None,
    }
    payload = {
        "Id": "b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b",
        "Status": status,
        "Label": f"Mysql 1{text}",
        "DumpPath": f"/tmp/backupman/dump/backup-20250702100000.sql.gz{text}" if status == "failed" else None,
        **times,
        "DriveFiles": [drive_file],
        "Job": f"nightly{text}",
        "Source": f"Mysql 1{text}",
        "Database": f"shop{text}",
        "SourceProvider": "mysql",
        "Instance": f"db1{text}",
        "Trigger": "schedule",
        "Operator": None,
        "Comment": f"before the upgrade{text}",
        "Tags": {f"env{text}": f"production{text}"},
        "Phase": None,
        "Size": 1_503_238_553,
        "StoredSize": 45_000_000,
        "Sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "DumpSeconds": 31.4,
        "Seconds": 300.0,
        "Warnings": [f"the table t uses MyISAM{text}"],
        "Error": f"My Google Drive: quota exceeded{text}" if status == "failed" else None,
    }
    return Message("5a1c9d1e-8a44-4a3d-9e7c-2f5d4b3a2a10", kind, datetime(2025, 7, 2, 10, 5, tzinfo=UTC), payload)


def deliver(endpoint: Endpoint, kind: str = EventKind.BACKUP_REPORT, text: str = "") -> str:
    """One attempt; what the other side answered."""
    return asyncio.run(endpoint.send(message(kind, text)))


def refusal(endpoint: Endpoint) -> NotifyError:
    """One attempt that must fail; its error, which must name the endpoint."""
    with pytest.raises(NotifyError, match=f"^{endpoint.name}: ") as raised:
        deliver(endpoint)
    return raised.value


class NotifierContract:
    """The promises of all notifiers."""

    notifier_class: ClassVar[type[Notifier]]

    @pytest.fixture
    def timeout(self) -> str:
        """For each attempt."""
        return "20s"

    @pytest.fixture
    def settings(self, timeout: str) -> dict[str, Any]:
        """The block of the config: every event, a secret of each kind, the `timeout`, on loopback."""
        raise NotImplementedError

    @pytest.fixture
    def arrived(self) -> Callable[[], list[str]]:
        """What has arrived at the other side so far, each message as one decoded text."""
        raise NotImplementedError

    @pytest.fixture
    def faults(self) -> dict[str, Callable[[], object]]:
        """How to order `busy`, `refuse`, `stall` (30 s), `drop`, and `echo`: refuse and repeat what was sent."""
        raise NotImplementedError

    @pytest.fixture
    def notifier(self, settings: dict[str, Any]) -> Notifier:
        return self.notifier_class.model_validate(settings)

    @pytest.fixture
    def endpoint(self, notifier: Notifier) -> Endpoint:
        return notifier.endpoints()[0]

    @pytest.mark.parametrize("kind", EVENTS)
    def test_every_event_arrives(self, endpoint: Endpoint, arrived: Callable[[], list[str]], kind: str) -> None:
        assert list(endpoint.events) == EVENTS
        answer = deliver(endpoint, kind)
        [text] = arrived()
        assert "Mysql 1" in text
        assert "\n" not in answer

    @pytest.mark.parametrize("odd", ODD_TEXTS)
    @pytest.mark.parametrize("kind", [EventKind.BACKUP_REPORT, EventKind.BACKUP_FAILURE])
    def test_odd_text_arrives(
        self, endpoint: Endpoint, arrived: Callable[[], list[str]], kind: EventKind, odd: str
    ) -> None:
        deliver(endpoint, kind, ODD_TEXTS[odd])
        [text] = arrived()
        assert "Mysql 1" in text

    def test_a_busy_receiver_is_asked_again_later(
        self, endpoint: Endpoint, faults: dict[str, Callable[[], object]]
    ) -> None:
        faults["busy"]()
        assert not refusal(endpoint).permanent

    def test_a_refusal_is_final(self, endpoint: Endpoint, faults: dict[str, Callable[[], object]]) -> None:
        faults["refuse"]()
        error = refusal(endpoint)
        assert error.permanent
        assert error.answer

    @pytest.mark.parametrize("timeout", ["1s"])
    def test_a_stalled_receiver_costs_its_time_out_only(
        self, endpoint: Endpoint, faults: dict[str, Callable[[], object]]
    ) -> None:
        faults["stall"]()
        begun = time.monotonic()
        assert not refusal(endpoint).permanent
        assert 0.5 < time.monotonic() - begun < 10

    def test_a_lost_connection_is_temporary(self, endpoint: Endpoint, faults: dict[str, Callable[[], object]]) -> None:
        faults["drop"]()
        assert not refusal(endpoint).permanent

    def test_many_deliveries_at_once(self, notifier: Notifier, arrived: Callable[[], list[str]]) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*(notifier.endpoints()[0].send(message()) for _ in range(5)))

        asyncio.run(all_of_them())
        assert len(arrived()) == 5

    @pytest.mark.parametrize("fault", ["none", "refuse", "busy", "drop", "echo"])
    def test_secrets_stay_inside(
        self,
        notifier: Notifier,
        endpoint: Endpoint,
        faults: dict[str, Callable[[], object]],
        fault: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        faults.get(fault, lambda: None)()
        said = [repr(notifier), str(notifier), notifier.model_dump_json(), json.dumps(notifier.model_dump(mode="json"))]
        said += [repr(endpoint), endpoint.name, *notifier.warnings()]
        try:
            said.append(deliver(endpoint))
        except NotifyError as error:
            said += [error.sentence, repr(error), error.answer, "".join(traceback.format_exception(error))]
        said.append(caplog.text)
        secrets = list(notifier.secrets())
        assert secrets
        for secret in secrets:
            assert not [text for text in said if secret in text]

    def test_an_unknown_key_is_refused_without_telling_secrets(
        self, settings: dict[str, Any], notifier: Notifier
    ) -> None:
        with pytest.raises(ValidationError, match="extra_forbidden") as refused:
            self.notifier_class.model_validate({**settings, "no_such_key": "x"})
        for secret in notifier.secrets():
            assert secret not in str(refused.value)

    def test_names_tell_endpoints_apart_and_stay(self, settings: dict[str, Any], notifier: Notifier) -> None:
        names = [endpoint.name for endpoint in notifier.endpoints()]
        assert len(set(names)) == len(names) > 0
        assert [endpoint.name for endpoint in self.notifier_class.model_validate(settings).endpoints()] == names
        assert all(name.split("/")[0] == self.notifier_class.__module__.rsplit(".", 1)[1] for name in names)
        assert all(len(name) <= 255 for name in names)

    def test_disabled_is_silent_and_needs_nothing_else(self, settings: dict[str, Any]) -> None:
        for block in ({"enabled": False}, {**settings, "enabled": False}):
            notifier = self.notifier_class.model_validate(block)
            assert list(notifier.endpoints()) == []
            assert notifier.warnings() == []

    def test_what_is_dumped_can_be_loaded(self, notifier: Notifier) -> None:
        dumped = notifier.model_dump(mode="json", exclude_defaults=True)
        assert set(dumped) <= {info.alias or name for name, info in self.notifier_class.model_fields.items()}


class HttpNotifierContract(NotifierContract):
    """The promises of notifiers that send over HTTP."""

    @pytest.fixture
    def arrived(self, receiver: Receiver) -> Callable[[], list[str]]:
        return lambda: [request.body.decode() for request in receiver.requests]

    @pytest.fixture
    def faults(self, receiver: Receiver, endpoint: Endpoint) -> dict[str, Callable[[], object]]:
        assert isinstance(endpoint, HttpEndpoint)
        sent = endpoint.request(message())
        echo = f"{sent.url} {sent.url.raw_path.decode()} {sent.headers.raw}".encode()
        return {
            "busy": lambda: receiver.answer(503, body=b"later"),
            "refuse": lambda: receiver.answer(403, body=b"you may not"),
            "stall": lambda: receiver.answer(delay=30),
            "drop": lambda: receiver.answer(drop=True),
            "echo": lambda: receiver.answer(400, body=echo),
        }

    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_2xx_is_delivered(self, endpoint: Endpoint, receiver: Receiver, status: int) -> None:
        receiver.answer(status)
        assert deliver(endpoint).startswith(str(status))

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413, 422, 499])
    def test_3xx_and_4xx_are_final(self, endpoint: Endpoint, receiver: Receiver, status: int) -> None:
        receiver.answer(status, headers={"Location": f"{receiver.url}/elsewhere", "Retry-After": "5"}, body=b"no\r\n!")
        error = refusal(endpoint)
        assert (error.permanent, error.retry_after) == (True, None)
        assert str(status) in error.sentence
        assert error.answer.startswith(str(status)) and error.answer.endswith("no !")
        assert len(receiver.requests) == 1, "a redirect was followed"

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
    def test_other_failures_are_temporary(self, endpoint: Endpoint, receiver: Receiver, status: int) -> None:
        receiver.answer(status)
        receiver.answer(status, headers={"Retry-After": "120"})
        assert (refusal(endpoint).permanent, refusal(endpoint).retry_after) == (False, 120)

    def test_a_long_answer_is_cut(self, endpoint: Endpoint, receiver: Receiver) -> None:
        receiver.answer(200, body=b"x" * 10_000_000)
        assert len(deliver(endpoint)) < 400

    def test_each_request_says_who_asks(self, endpoint: Endpoint, receiver: Receiver) -> None:
        deliver(endpoint)
        [request] = receiver.requests
        assert request.headers["User-Agent"].startswith("backupman/")

    def test_proxies_of_the_environment_are_not_used(
        self, endpoint: Endpoint, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
        deliver(endpoint)
        assert len(receiver.requests) == 1
