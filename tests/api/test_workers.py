"""The workers of a fleet over HTTP: who works on what, and what waits for nobody."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from backupman.engine.queues import QueueWatch
from backupman.records import AssignmentKind, now
from tests.api.conftest import Api
from tests.api.test_metrics import fresh, value
from tests.engine._fleet import Fleet, fleet, shared_records

__all__ = ["fleet", "fresh", "shared_records"]


@pytest.fixture
def led(configured: Api, fleet: Fleet) -> Api:
    """A daemon whose work is handed to workers."""
    configured.config |= fleet.sections
    return configured.start()


def asked(api: Api) -> Any:
    """What a reader is answered."""
    with api.client("read") as client:
        answer = client.get("/api/workers")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_workers_and_queues_are_shown_to_readers(led: Api, fleet: Fleet) -> None:
    at = now() - timedelta(hours=1)
    busy = fleet.worker("db-7", "db7", takes_any=True)
    fleet.worker("db-8", "db8", lives=False, heard_at=at)
    taken = fleet.work("db7", "shop", by=busy)
    fleet.store.assignments.began(taken.id, ["4711"])
    fleet.work("any", "", by=busy, kind=AssignmentKind.DELIVER, job="")
    fleet.work("db8", "blog", at=at)
    found = asked(led)
    assert [(each["Host"], each["State"], each["Queues"]) for each in found["Workers"]] == [
        ("db-7", "living", ["db7", "any"]),
        ("db-8", "lost", ["db8"]),
    ]
    backup, messages = found["Workers"][0]["Doing"]
    assert (backup["Id"], backup["What"], backup["Queue"]) == (taken.id, "backup of shop", "db7")
    assert (backup["Job"], backup["Source"], backup["Attempts"], backup["Records"]) == ("nightly", "shop", 1, ["4711"])
    assert (messages["What"], messages["Job"], messages["Source"], messages["Records"]) == ("messages", None, None, [])
    since = f"{at:%Y-%m-%dT%H:%M:%SZ}"
    assert found["Queues"] == [
        {"Queue": "any", "Label": "any", "Waiting": 0, "Oldest": None, "Workers": ["db-7"], "UnattendedSince": None},
        {"Queue": "db7", "Label": "db7", "Waiting": 0, "Oldest": None, "Workers": ["db-7"], "UnattendedSince": None},
        {"Queue": "db8", "Label": "db8", "Waiting": 1, "Oldest": since, "Workers": [], "UnattendedSince": since},
    ]


def test_it_needs_the_scope_read(led: Api) -> None:
    for key, status in (("run", 403), (None, 401)):
        with led.client(key) as client:
            assert client.get("/api/workers").status_code == status


def test_where_the_daemon_does_all_itself_there_are_no_workers(client: httpx.Client) -> None:
    answer = client.get("/api/workers")
    assert answer.status_code == 404
    assert answer.json()["Error"].startswith("there are no workers here: all work is done by the daemon itself.")


def test_while_nobody_takes_from_a_queue_the_daemon_is_not_ready(led: Api, fleet: Fleet) -> None:
    waiting = fleet.work("db8", at=now() - timedelta(hours=1))
    watch = QueueWatch(fleet.store, fleet.instance, now)
    watch.watch(led.daemon.app.config, led.daemon.app.plans)
    with led.client(None) as anybody:
        for incidents, status in ((1, 503), (0, 200)):
            watch.check()
            answer = anybody.get("/readyz")
            assert (answer.status_code, answer.json()["Incidents"]) == (status, incidents)
            fleet.store.assignments.end(waiting.id, now(), holder=None)


def test_what_waits_for_workers_and_how_many_live(led: Api, fleet: Fleet) -> None:
    fleet.worker("db-7", "db7", takes_any=True)
    fleet.worker("db-8", "db8")
    fleet.worker("db-9", "db9", lives=False)
    for ago in (30, 60):
        fleet.work("db9", at=now() - timedelta(minutes=ago))
    assert value(led, "workers") == 2
    assert [value(led, "queue_waiting", queue=name) for name in ("any", "db7", "db9")] == [0, 0, 2]
    assert value(led, "queue_oldest_seconds", queue="any") == 0
    oldest = value(led, "queue_oldest_seconds", queue="db9")
    assert oldest is not None
    assert oldest >= 3600
