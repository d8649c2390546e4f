"""What an endpoint that shows a state is not told any more: a start behind its end, a success that a newer failure has
overtaken, and what is older than a day.
"""

import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backupman import registry
from backupman.config.model import Deliveries
from backupman.engine.dispatcher import _BESIDE_SEND, Dispatcher
from backupman.errors import NotifyError, StoreError
from backupman.events import EventKind
from backupman.notifiers import Notifier
from backupman.records import Backup, Event, now
from backupman.store import Announcement, Store
from backupman.store.outbox import owe, owe_event
from backupman.testing import RecordingNotifier
from tests.e2e.world import wait_for
from tests.engine._owing import QUICK


def begin(store: Store, *endpoints: str, **fields: Any) -> Backup:
    backup = Backup(
        label="shop",
        job="nightly",
        source="shop",
        database="shop",
        source_provider="sqlite",
        instance="host1",
        object_name="shop/x",
    )
    backup.sqlmodel_update(fields)
    store.backups.begin(backup, [Announcement(EventKind.BACKUP_START, endpoints)])
    return backup


def end(store: Store, backup: Backup, *endpoints: str, told: EventKind = EventKind.BACKUP_SUCCESS) -> None:
    with store._sessions.writing() as session:
        owe(session, session.get_one(Backup, backup.id), [Announcement(told, endpoints)])


def drain(store: Store, *notifiers: RecordingNotifier, settings: Deliveries = QUICK) -> list[str]:
    """What was sent."""
    endpoints = {endpoint.name: endpoint for notifier in notifiers for endpoint in notifier.endpoints()}
    Dispatcher(settings, endpoints, store, "host1").drain(timedelta(seconds=30))
    return [message.event for notifier in notifiers for message in notifier.sent]


@pytest.mark.parametrize(
    ("shows_a_state", "sent"), [(True, ["backup_success"]), (False, ["backup_start", "backup_success"])]
)
def test_a_start_behind_its_end_is_dropped(store: Store, shows_a_state: bool, sent: list[str]) -> None:
    notifier = RecordingNotifier(name="ops", shows_a_state=shows_a_state)
    end(store, begin(store, "ops"), "ops")
    assert drain(store, notifier) == sent
    dropped = store.outbox.deliveries(state="dropped")
    assert [delivery.error for delivery in dropped] == (
        ["ops: its backup has ended already, so that the start would be taken for another one"] * shows_a_state
    )


@pytest.mark.parametrize(("shows_a_state", "longest"), [(True, timedelta(minutes=1)), (False, timedelta(hours=1))])
def test_a_start_that_cannot_be_sent_makes_room_for_its_end_soon(
    store: Store, shows_a_state: bool, longest: timedelta
) -> None:
    notifier = RecordingNotifier(name="ops", shows_a_state=shows_a_state)
    notifier.answers.append(NotifyError("ops: 503"))
    begin(store, "ops")
    slow = Deliveries(first_wait=timedelta(hours=1), max_wait=timedelta(hours=1))
    assert drain(store, notifier, settings=slow) == ["backup_start"]
    (start,) = store.outbox.deliveries(state="owed")
    assert longest / 2 < start.next_attempt_at - now() <= longest * 1.5


def test_another_backups_end_drops_no_start(store: Store) -> None:
    notifier = RecordingNotifier(name="ops", shows_a_state=True)
    end(store, begin(store), "ops")
    begin(store, "ops")
    assert drain(store, notifier) == ["backup_success", "backup_start"]


SENT: list[str] = ["backup_success"]
DROPPED: list[str] = []
FAILED, FINISHED = {"status": "failed"}, {"status": "finished"}


@pytest.mark.parametrize(
    ("newer", "told"),
    [
        ([], SENT),
        ([FAILED], DROPPED),
        ([FAILED, FINISHED], SENT),
        ([FINISHED, FAILED], DROPPED),
        ([FAILED, {"status": "pending"}], DROPPED),
        ([FAILED | {"database": ""}], DROPPED),
        ([FAILED | {"database": "wiki"}], SENT),
        ([FAILED | {"source": "wiki"}], SENT),
        ([FAILED | {"job": "hourly"}], SENT),
        ([FAILED | {"instance": "host2"}], SENT),
        ([FAILED | {"kind": "ingested", "device": "nas"}], SENT),
        ([FAILED | {"created_at": now() + timedelta(days=300)}], SENT),
    ],
)
def test_a_success_ends_no_alarm_of_a_newer_failure(store: Store, newer: list[dict[str, Any]], told: list[str]) -> None:
    notifier, everything = RecordingNotifier(name="ops", shows_a_state=True), RecordingNotifier(name="log")
    late = begin(store, created_at=now() - timedelta(days=1), **FINISHED)
    for fields in newer:
        begin(store, **fields)
    end(store, late, "ops", "log")
    assert drain(store, notifier, everything) == [*told, *SENT], "the other one shows no state"


def test_a_failure_is_told_however_late(store: Store) -> None:
    notifier = RecordingNotifier(name="ops", shows_a_state=True)
    late = begin(store, created_at=now() - timedelta(days=1), **FAILED)
    begin(store, **FAILED)
    end(store, late, "ops", told=EventKind.BACKUP_REPORT)
    assert drain(store, notifier) == ["backup_report"]


@pytest.mark.parametrize("provider", registry.names("notifiers"))
def test_whoever_shows_a_state_is_asked_whether_it_is_the_newest(provider: str) -> None:
    found = registry.provider_class("notifiers", Notifier, provider)  # type: ignore[type-abstract]  # looked up by name
    assert found.resolves == (found.shows_state or provider == "pagerduty")


@pytest.mark.parametrize(("hours", "sent"), [(23, ["backup_success"]), (25, [])])
def test_what_is_older_than_a_day_is_dropped(store: Store, hours: int, sent: list[str]) -> None:
    notifier = RecordingNotifier(name="ops", shows_a_state=True)
    happened = Event(
        kind="backup_success", instance="host1", job="nightly", payload={}, time=now() - timedelta(hours=hours)
    )
    with store._sessions.writing() as session:
        owe_event(session, happened, ["ops"])
    assert drain(store, notifier) == sent
    assert len(store.outbox.deliveries(state="dropped")) == 1 - len(sent)


def test_beside_other_work_a_start_is_told_in_time(store: Store) -> None:
    notifier = RecordingNotifier(name="ops", shows_a_state=True)
    notifier.answers.extend([NotifyError("ops: 503"), 0.2])
    (endpoint,) = notifier.endpoints()
    works = Dispatcher(QUICK, {endpoint.name: endpoint}, store, "host1")
    with works.beside():
        backup = begin(store, "ops")
        wait_for(lambda: len(notifier.sent) == 2)
    assert store.outbox.owed() == 0, "what was under way has not ended"
    end(store, backup, "ops")
    assert works.drain(timedelta(seconds=60)) == 0
    assert [message.event for message in notifier.sent] == ["backup_start", "backup_start", "backup_success"]


@pytest.mark.parametrize("provider", registry.names("notifiers"))
def test_beside_other_work_nobody_is_cut_off_sooner_than_by_the_config(provider: str) -> None:
    """What the other side has taken by then would be sent again."""
    found = registry.provider_class("notifiers", Notifier, provider)  # type: ignore[type-abstract]  # looked up by name
    patience = found.model_fields.get("timeout")
    assert patience is None or patience.default.total_seconds() <= _BESIDE_SEND


def test_beside_other_work_a_store_that_is_gone_stops_nobody(store: Store, tmp_path: Path) -> None:
    store.close()
    shutil.rmtree(tmp_path)
    with pytest.raises(StoreError):
        store.outbox.owed()
    (endpoint,) = RecordingNotifier(name="ops").endpoints()
    with Dispatcher(QUICK, {endpoint.name: endpoint}, store, "host1").beside():
        time.sleep(0.2)
