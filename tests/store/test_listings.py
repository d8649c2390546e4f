"""Events, deliveries and notifications are leafed through: every one once, the newest first."""

from datetime import timedelta

import pytest

from backupman.events import EventKind
from backupman.records import DeliveryState, DriveFile, Status
from backupman.store import Store
from backupman.store.ingest import Noted, Recipient, Reported
from backupman.store.listings import Held
from backupman.store.outbox import Announcement, Attempt
from backupman.store.statistics import Series
from tests.store.conftest import START, a_backup

PAGE = 3


@pytest.fixture
def told(store: Store) -> Store:
    """A store with eight reports to two endpoints, of which the first was given up, and four starts."""
    for number in range(8):
        kinds = [Announcement(EventKind.BACKUP_REPORT, ["webhook/A", "webhook/B"][: 1 + number % 2])]
        kinds += [Announcement(EventKind.BACKUP_START, [])] if number % 2 else []
        store.backups.begin(a_backup(), kinds)
    first = store.listings.deliveries(None, None, None, 100)[-1]
    assert first.id is not None
    store.outbox.record(first.id, Attempt(0, DeliveryState.FAILED, START, 0.1, error="no"))
    return store


def test_events_are_leafed_through(told: Store) -> None:
    for kind, count in ((None, 12), (EventKind.BACKUP_REPORT, 8), (EventKind.BACKUP_LATE, 0)):
        seen: list[int] = []
        while page := told.listings.events(kind, seen[-1] if seen else None, PAGE):
            assert len(page) <= PAGE
            seen += [event.seq or 0 for event in page]
        assert (len(seen), sorted(seen, reverse=True)) == (count, seen)
        assert len(set(seen)) == count


def test_deliveries_are_leafed_through(told: Store) -> None:
    for state, endpoint, count in ((None, None, 12), ("failed", None, 1), (None, "webhook/B", 4), ("owed", "x", 0)):
        seen: list[int] = []
        while page := told.listings.deliveries(state, endpoint, seen[-1] if seen else None, PAGE):
            seen += [delivery.id or 0 for delivery in page]
        assert (len(seen), sorted(set(seen), reverse=True)) == (count, seen)


def test_the_deliveries_of_an_event_are_those_alone(told: Store) -> None:
    event = told.listings.events(EventKind.BACKUP_REPORT, None, 1)[0]
    found = told.listings.of_event(event.seq or 0, 10)
    assert [delivery.endpoint for delivery in found] == ["webhook/B", "webhook/A"]
    assert {delivery.event.id for delivery in found} == {event.id}


def test_notifications_are_leafed_through_also_at_one_moment(store: Store) -> None:
    for number in range(7):
        at = START + timedelta(seconds=number // 3)  # three at a time
        told = Noted("nas" if number % 2 else "web", at, "error" if number else "info", f"type-{number}")
        store.ingest.notification(told, Recipient("here"))
    seen: list[str] = []
    before = None
    while page := store.listings.notifications({"type": None}, before, 2):
        seen += [note.type for note in page]
        before = (page[-1].time, page[-1].id)
    assert sorted(seen) == [f"type-{number}" for number in range(7)]
    assert seen[0] == "type-6"
    wanted = {"severity": "error", "device": "nas", "type": None}
    assert {note.type for note in store.listings.notifications(wanted, None, 10)} == {"type-1", "type-3", "type-5"}


def test_what_a_drive_holds_is_what_is_finished(store: Store) -> None:
    backup = a_backup(created_at=START)
    backup.drive_files = [
        DriveFile(backup_id=backup.id, provider="local", label=label, status=status, size=size, created_at=at)
        for label, status, size, at in (
            ("disk", Status.FINISHED, 5, START),
            ("disk", Status.FINISHED, 2**40, START - timedelta(days=9)),
            ("disk", Status.FAILED, 7, START),
            ("cloud", Status.FINISHED, None, START),
        )
    ]
    store.backups.begin(backup, [])
    assert store.listings.held(START - timedelta(days=7)) == {
        "disk": Held(2, 2**40 + 5, 5),
        "cloud": Held(1, 0, 0),
    }
    assert store.listings.added_by_day(START - timedelta(days=7)) == {
        "disk": {f"{START:%Y-%m-%d}": 5},
        "cloud": {f"{START:%Y-%m-%d}": 0},
    }


def test_alarms_of_ours_stand_among_what_others_told(store: Store) -> None:
    lacking = a_backup(warnings=["disk: no room"])
    lacking.drive_files[0].status = Status.FAILED
    failed = a_backup(error="shop: the server is gone")
    for kind, backup in (
        (EventKind.BACKUP_FAILURE, failed),
        (EventKind.BACKUP_SUCCESS, lacking),
        (EventKind.BACKUP_SUCCESS, a_backup()),
        (EventKind.BACKUP_REPORT, a_backup()),
    ):
        store.backups.begin(backup, [Announcement(kind, [])])
    for kind, payload in (
        (EventKind.BACKUP_LATE, {"Label": "Nightly", "Source": "nas", "Sender": "cron", "Reason": "Nightly is late"}),
        (EventKind.PRUNE_REPORT, {"Label": "shop", "Failed": 0, "Reason": "kept 3"}),
        (EventKind.PRUNE_REPORT, {"Label": "shop", "Failed": 1, "Reason": "kept 3, one failed"}),
    ):
        store.outbox.announce(kind, "Nightly", "host1", payload, [])
    store.ingest.notification(Noted("nas", START, "critical", "raid"), Recipient("host1"))
    found = store.listings.notifications({}, None, 10)
    assert [(each.kind, each.severity, each.type, each.device, each.message) for each in found] == [
        ("own", "warning", "prune_report", "host1", "kept 3, one failed"),
        ("own", "error", "backup_late", "nas", "Nightly is late"),
        ("own", "warning", "backup_success", "host1", "disk: no room"),
        ("own", "error", "backup_failure", "host1", "shop: the server is gone"),
        ("ingested", "critical", "raid", "nas", None),
    ]
    assert {each.type for each in store.listings.notifications({"device": "nas"}, None, 10)} == {"backup_late", "raid"}
    assert store.outbox.event(found[0].id).kind == "prune_report"


def test_the_newest_runs_of_each_series_come_with_their_copies(store: Store) -> None:
    for number in range(4):
        store.backups.begin(a_backup("disk", "cloud", created_at=START + timedelta(days=number)), [])
    store.backups.begin(a_backup(database="other", created_at=START), [])
    told = Reported("nas", "Nightly", START, "success", "done", "cron")
    store.ingest.backup(told, Recipient("here"))
    own, ingested, nobody = Series("shop", "shop"), Series("nas", "Nightly", "cron"), Series("shop", "none")
    found = store.statistics.recent([own, ingested, nobody], 3)
    assert [past.created_at for past in found[own]] == [START + timedelta(days=number) for number in (3, 2, 1)]
    assert {tuple(copy.drive for copy in past.copies) for past in found[own]} == {("disk", "cloud")}
    assert [(past.status, past.copies) for past in found[ingested]] == [("finished", ())]
    assert found[nobody] == []
