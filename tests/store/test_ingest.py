"""What was told from elsewhere is recorded once, and owed to whoever wants it, in one transaction."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from backupman.events import EventKind
from backupman.records import Kind, now
from backupman.store import Store
from backupman.store.backups import BackupFilter
from backupman.store.ingest import Noted, Recipient, Reported
from tests.store.conftest import START, a_backup

EVERYBODY = Recipient(
    "host1",
    "scripts",
    {
        EventKind.BACKUP_REPORT: ["webhook/A", "webhook/B"],
        EventKind.BACKUP_FAILURE: ["mail"],
        EventKind.NOTIFICATION: ["webhook/A"],
    },
)


def reported(**fields: Any) -> Reported:
    known: dict[str, Any] = {
        "device": "web-1",
        "job": "Nightly Full Backup",
        "at": START,
        "status": "Success",
        "message": "Backup completed. 142 GB transferred.",
        "sender": "script-web-1",
    }
    return Reported(**(known | fields))


def noted(**fields: Any) -> Noted:
    known: dict[str, Any] = {
        "device": "web-1",
        "at": START,
        "severity": "warning",
        "type": "disk_space_low",
        "message": "Drive / has only 15% free space remaining.",
        "sender": "disk-monitor",
    }
    return Noted(**(known | fields))


def test_a_result_is_a_backup_of_its_own_kind_with_everything_that_was_said(store: Store) -> None:
    backup_id, new = store.ingest.backup(reported(seconds=12.5), EVERYBODY)
    assert new
    backup = store.backups.get(backup_id)
    assert (backup.kind, backup.status, backup.warning, backup.error) == (Kind.INGESTED, "finished", False, None)
    assert (backup.device, backup.job, backup.label) == ("web-1", "Nightly Full Backup", "Nightly Full Backup")
    assert (backup.sender, backup.said_status) == ("script-web-1", "Success")
    assert (backup.message, backup.seconds) == ("Backup completed. 142 GB transferred.", 12.5)
    assert (backup.instance, backup.operator, backup.trigger) == ("host1", "scripts", "ingest")
    assert backup.created_at == START
    assert backup.drive_files == []


@pytest.mark.parametrize(
    ("said", "status", "warning"),
    [
        ("Success", "finished", False),
        ("success", "finished", False),
        ("OK", "finished", False),
        (" Completed ", "finished", False),
        ("FINISHED", "finished", False),
        ("Warning", "finished", True),
        ("warning", "finished", True),
        ("Error", "failed", False),
        ("Warnings", "failed", False),
        ("successful", "failed", False),
        ("not ok", "failed", False),
        ("Erfolgreich", "failed", False),
    ],
)
def test_what_a_status_means(sqlite_store: Store, said: str, status: str, warning: bool) -> None:
    backup = sqlite_store.backups.get(sqlite_store.ingest.backup(reported(status=said), EVERYBODY)[0])
    assert (backup.status, backup.warning, backup.said_status) == (status, warning, said)


def test_a_failed_result_has_its_message_as_error_or_else_its_status(sqlite_store: Store) -> None:
    ids = [sqlite_store.ingest.backup(reported(status="Error", message=text), EVERYBODY)[0] for text in ("no disk", "")]
    assert [sqlite_store.backups.get(each).error for each in ids] == ["no disk", "Error"]


def test_a_result_is_owed_to_whoever_wants_its_events(store: Store) -> None:
    backup_id, _ = store.ingest.backup(reported(status="Error"), EVERYBODY)
    owed = store.outbox.deliveries()
    assert {(delivery.endpoint, delivery.event.kind) for delivery in owed} == {
        ("webhook/A", "backup_report"),
        ("webhook/B", "backup_report"),
        ("mail", "backup_failure"),
    }
    payload = owed[0].event.payload
    assert {delivery.event.backup_id for delivery in owed} == {backup_id}
    assert (payload["Id"], payload["Status"], payload["DriveFiles"]) == (backup_id, "failed", [])
    assert (payload["Kind"], payload["Device"], payload["Sender"]) == ("ingested", "web-1", "script-web-1")
    assert (payload["SaidStatus"], payload["Warning"]) == ("Error", False)
    assert payload["Message"] == payload["Error"] == "Backup completed. 142 GB transferred."
    assert {(delivery.instance, delivery.lane) for delivery in owed} == {("host1", "Nightly Full Backup")}


def test_without_anybody_who_wants_it_the_event_is_recorded_all_the_same(sqlite_store: Store) -> None:
    sqlite_store.ingest.backup(reported(), Recipient("host1"))
    assert [event.kind for event in sqlite_store.outbox.events()] == ["backup_success", "backup_report"]
    assert sqlite_store.outbox.owed() == 0


def test_a_repeat_changes_nothing_and_has_the_same_id(store: Store) -> None:
    first, new = store.ingest.backup(reported(), EVERYBODY)
    elsewhere = START.astimezone(timezone(timedelta(hours=2)))
    assert new
    assert store.ingest.backup(reported(), EVERYBODY) == (first, False)
    assert store.ingest.backup(reported(at=elsewhere), Recipient("host2")) == (first, False)
    assert len(store.backups.list(BackupFilter(kind=None))) == 1
    assert len(store.outbox.events()) == 2
    assert store.backups.get(first).instance == "host1"


@pytest.mark.parametrize(
    "other",
    [
        {"device": "web-2"},
        {"job": "nightly full backup"},
        {"sender": "unknown@ingest"},
        {"at": START + timedelta(microseconds=1)},
        {"status": "success"},
        {"message": "Backup completed."},
        {"device": "web-1', 'x", "job": ""},
    ],
)
def test_whatever_differs_makes_another_entry(sqlite_store: Store, other: dict[str, Any]) -> None:
    first, _ = sqlite_store.ingest.backup(reported(), EVERYBODY)
    second, new = sqlite_store.ingest.backup(reported(**other), EVERYBODY)
    assert new
    assert second != first


def at_once(work: Callable[[], tuple[str, bool]]) -> list[tuple[str, bool]]:
    with ThreadPoolExecutor(4) as pool:
        return [future.result() for future in [pool.submit(work) for _ in range(12)]]


def test_the_same_entry_many_times_at_once_is_one(store: Store) -> None:
    results = at_once(lambda: store.ingest.backup(reported(), EVERYBODY))
    assert len({each for each, _ in results}) == 1
    assert [new for _, new in results].count(True) == 1
    assert len(store.outbox.events()) == 2
    notes = at_once(lambda: store.ingest.notification(noted(), EVERYBODY))
    assert [new for _, new in notes].count(True) == 1
    assert len(store.outbox.events(kind="notification")) == 1


def test_a_clock_that_is_ahead_does_not_make_a_result_young_for_years(sqlite_store: Store) -> None:
    ahead = datetime(2099, 1, 1, tzinfo=UTC)
    backup = sqlite_store.backups.get(sqlite_store.ingest.backup(reported(at=ahead), EVERYBODY)[0])
    assert abs(backup.created_at - now()) < timedelta(minutes=1)
    assert sqlite_store.ingest.backup(reported(at=ahead), EVERYBODY) == (backup.id, False)


def test_a_clock_that_is_ahead_does_not_put_a_notification_before_all_later_ones(sqlite_store: Store) -> None:
    ahead = datetime(2099, 1, 1, tzinfo=UTC)
    first, _ = sqlite_store.ingest.notification(noted(at=ahead), EVERYBODY)
    later, _ = sqlite_store.ingest.notification(noted(at=now(), type="later"), EVERYBODY)
    newest = sqlite_store.listings.notifications({}, None, 10)
    assert [each.id for each in newest] == [later, first]
    told = sqlite_store.outbox.events(kind="notification")
    assert [event.payload["Time"] < "2099" for event in told] == [True, True]
    assert sqlite_store.ingest.notification(noted(at=ahead), EVERYBODY) == (first, False)


def test_texts_that_no_database_holds_are_held(store: Store) -> None:
    odd = "a\0b\ud800c\u2028\U0001f4be"
    backup_id, _ = store.ingest.backup(
        reported(device=odd, job=odd, sender=odd, status=odd, message=odd, at=START), EVERYBODY
    )
    backup = store.backups.get(backup_id)
    kept = "a\ufffdb?c\u2028\U0001f4be"
    assert (backup.device, backup.job, backup.sender, backup.said_status, backup.message) == (kept,) * 5
    assert store.ingest.backup(
        reported(device=odd, job=odd, sender=odd, status=odd, message=odd, at=START), EVERYBODY
    ) == (backup_id, False)
    store.ingest.notification(noted(device=odd, type=odd, job=odd, message=odd, sender=odd), EVERYBODY)


def test_texts_as_long_as_they_may_be_are_held(store: Store) -> None:
    longest = "ß" * 255
    fields = dict.fromkeys(("device", "job", "sender", "status"), longest)
    backup_id, _ = store.ingest.backup(reported(**fields, message="ß" * 65_536), EVERYBODY)
    assert len(store.backups.get(backup_id).message or "") == 65_536
    noted_fields = dict.fromkeys(("device", "job", "sender", "type"), longest)
    store.ingest.notification(noted(**noted_fields), EVERYBODY)


def test_a_notification_is_recorded_and_owed_once(store: Store) -> None:
    note_id, new = store.ingest.notification(noted(), EVERYBODY)
    assert new
    assert store.ingest.notification(noted(), EVERYBODY) == (note_id, False)
    assert store.ingest.notification(noted(severity="error"), EVERYBODY)[1]
    _, owed = store.outbox.deliveries()
    assert (owed.endpoint, owed.event.kind, owed.event.backup_id) == ("webhook/A", "notification", None)
    assert owed.event.payload == {
        "Id": note_id,
        "Label": "web-1: disk_space_low (warning)",
        "Device": "web-1",
        "Sender": "disk-monitor",
        "Job": None,
        "Type": "disk_space_low",
        "Severity": "warning",
        "Message": "Drive / has only 15% free space remaining.",
        "Time": "2025-07-02T10:00:00Z",
        "Instance": "host1",
    }


def test_what_was_ingested_is_in_nobodys_way(sqlite_store: Store) -> None:
    """Recovery, retention and the spool only ever see our own."""
    sqlite_store.ingest.backup(reported(status="Error"), EVERYBODY)
    own = sqlite_store.backups.begin(a_backup(), [])
    assert [backup.id for backup in sqlite_store.backups.pending("host1")] == [own.id]
    assert [backup.id for backup in sqlite_store.backups.list()] == [own.id]
    assert sqlite_store.backups.spooled("host1") == []
    assert sqlite_store.copies.of("host1", "Nightly Full Backup", "web-1", ["Nightly Full Backup"]) == []
