"""What the engine really tells of deadlines, ingested results and alarm drills fits the schemas of docs/events/."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backupman.records import now
from backupman.store import Store
from backupman.store.ingest import Noted, Recipient, Reported
from tests.engine._virtual import NIGHTLY, World
from tests.engine.test_alarm_drills import DUE, Drilling, drilling
from tests.servers.receiver import Answer
from tests.test_event_schemas import must_fit

__all__ = ["drilling"]

Make = Callable[..., World]


def must_have_told(store: Store, *kinds: str) -> None:
    """Exactly these kinds are in the records, and every one of their payloads fits its schema."""
    events = store.outbox.events(limit=None)
    assert {event.kind for event in events} == set(kinds)
    for event in events:
        must_fit(event.kind, event.payload)


def test_late_and_recovered(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.databases["App"] = ["shop", "wiki"]
    there.start()
    there.live("2026-03-03 12:00")
    there.failing.add("shop")
    there.live("2026-03-05 12:00")
    there.failing.clear()
    there.live("2026-03-06 12:00")
    must_have_told(there.store, "backup_report", "backup_late", "backup_recovered")
    assert {payload["Database"] for _, payload in there.alarms()} == {"shop"}


def test_late_as_a_whole_and_by_age(world: Make) -> None:
    there = world("2026-03-02 12:00", max_age="26h")
    there.start()
    there.live("2026-03-05 12:00")
    must_have_told(there.store, "backup_late")
    assert there.alarms()[0][1]["MaxAge"] == 93_600


def test_missed(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.start()
    there.live("2026-03-03 12:00")
    there.clock.set("2026-03-06 20:00")
    there.begin()
    there.start()
    there.deadlines.check()
    must_have_told(there.store, "backup_report", "backup_missed")


def test_stuck(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.settings["data_sources"][0]["timeout"] = "30m"
    there.begin()
    there.start()
    there.make("nightly", "App", failed=True, timed_out=True)
    there.deadlines.check()
    must_have_told(there.store, "backup_report", "backup_stuck")


def test_an_odd_size_and_its_end(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.start()
    there.live("2026-03-12 12:00")
    there.sizes["app"] = 10
    there.live("2026-03-13 12:00")
    there.sizes["app"] = 1000
    there.live("2026-03-14 12:00")
    must_have_told(there.store, "backup_report", "size_anomaly", "backup_recovered")
    assert there.alarms()[0][1]["UsualSize"] == 1000


@pytest.fixture
def ingested(tmp_path: Path) -> Iterator[tuple[Store, Recipient]]:
    store = Store.open("sqlite://")
    yield store, Recipient("host1")
    store.close()


@pytest.mark.parametrize("status", ["Success", "Warning", "Error"])
def test_ingested_results(ingested: tuple[Store, Recipient], status: str) -> None:
    store, recipient = ingested
    store.ingest.backup(Reported("web-1", "Nightly", now(), status, "12 files", seconds=1.5), recipient)
    outcome = "backup_failure" if status == "Error" else "backup_success"
    must_have_told(store, "backup_report", outcome)


@pytest.mark.parametrize("job", [None, "Nightly"])
def test_a_notification(ingested: tuple[Store, Recipient], job: str | None) -> None:
    store, recipient = ingested
    noted = Noted(device="web-1", at=now(), severity="warning", type="disk", job=job, message=None)
    store.ingest.notification(noted, recipient)
    must_have_told(store, "notification")


def test_an_alarm_drill_that_fails_and_one_that_succeeds(drilling: Drilling) -> None:
    drilling.notifiers["healthchecks"] = {"ping_url": f"{drilling.receiver.url}/key/{{source}}"}
    drilling.begin()
    drilling.receiver.at["/A"] = Answer(404)
    drilling.check(DUE)
    drilling.check("2026-03-02 09:01")
    drilling.receiver.at.clear()
    drilling.check("2026-03-09 09:00")
    drilling.check("2026-03-09 09:01")
    must_have_told(drilling.store, "alarm_drill", "alarm_drill_failure", "alarm_drill_recovered")
