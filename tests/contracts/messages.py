"""Events of every kind as the engine freezes them, and texts that break things."""

from datetime import UTC, datetime
from typing import Any

from backupman.events import EventKind
from backupman.notifiers import Message

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


_INCIDENTS = {
    EventKind.BACKUP_LATE,
    EventKind.BACKUP_MISSED,
    EventKind.BACKUP_STUCK,
    EventKind.BACKUP_RECOVERED,
    EventKind.SIZE_ANOMALY,
}


def message(kind: str = EventKind.BACKUP_REPORT, text: str = "", **changed: Any) -> Message:
    """An event as the engine freezes it, with `text` wherever there is free text, and `changed` keys of the payload."""
    if kind in _INCIDENTS:
        payload = _incident(kind, text)
    elif kind == EventKind.NOTIFICATION:
        payload = _notification(text)
    elif kind in (EventKind.VERIFY_SUCCESS, EventKind.VERIFY_FAILURE):
        payload = _verified(kind, text)
    elif kind in (EventKind.RESTORE_START, EventKind.RESTORE_SUCCESS, EventKind.RESTORE_FAILURE):
        payload = _restored(kind, text)
    elif kind == EventKind.PRUNE_REPORT:
        payload = _pruned(text)
    elif kind == EventKind.RECONCILE_REPORT:
        payload = _reconciled(text)
    elif kind.startswith(EventKind.ALARM_DRILL):
        payload = _drill(text)
    elif kind in (EventKind.QUEUE_UNATTENDED, EventKind.QUEUE_RECOVERED):
        payload = _queue(text)
    elif kind in (EventKind.RECORDS_FAILURE, EventKind.RECORDS_RECOVERED):
        payload = _records(kind, text)
    else:
        payload = _backup(kind, text)
    time = datetime(2025, 7, 2, 10, 5, tzinfo=UTC)
    return Message("5a1c9d1e-8a44-4a3d-9e7c-2f5d4b3a2a10", kind, time, payload | changed)


def _incident(kind: str, text: str) -> dict[str, Any]:
    """An `IncidentReport`."""
    return {
        "Label": f"Mysql 1{text}",
        "Job": f"nightly{text}",
        "Source": f"Mysql 1{text}",
        "SourceProvider": "mysql",
        "Database": f"shop{text}",
        "Databases": [f"shop{text}"],
        "Instance": f"db1{text}",
        "Sender": None,
        "Incident": EventKind.BACKUP_LATE if kind == EventKind.BACKUP_RECOVERED else kind,
        "Since": "2025-07-02T10:05:00Z",
        "Reminder": False,
        "DueAt": "2025-07-02T09:00:00Z",
        "MaxAge": 93_600.0,
        "LastSuccess": None,
        "Size": None,
        "UsualSize": None,
        "Reason": f"Mysql 1/shop has had no good backup since 2025-07-01 10:00 UTC{text}",
    }


def _reconciled(text: str) -> dict[str, Any]:
    """A `ReconcileReport`."""
    counts = dict.fromkeys(
        ("Altered", "Bare", "Leftover", "Absent", "Unread", "Orphaned", "Unclaimed", "Foreign", "Mended"), 0
    )
    found = {
        "Finding": "missing",
        "Object": f"mysql-1/backup-20250702100000-b4c3f1a0.sql.gz{text}",
        "BackupId": "b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b",
        "Instance": None,
        "Reason": "it is gone from the drive",
        "Mended": None,
        "Error": f"no other drive holds a copy of it{text}",
    }
    return counts | {
        "Label": f"Mysql 1{text}",
        "Job": "reconcile",
        "Drive": f"Mysql 1{text}",
        "Instance": f"db1{text}",
        "Right": 23,
        "Missing": 1,
        "Failed": 1,
        "Error": None,
        "Objects": [found],
        "Reason": f"Mysql 1: 1 missing; nothing was mended; 23 copies are as recorded{text}",
    }


def _notification(text: str) -> dict[str, Any]:
    """A `NotificationReport`."""
    return {
        "Id": "0f9d3c55-4c0a-4f6e-9a3e-1f1f8f3f5b77",
        "Label": f"Mysql 1: disk_space_low{text}",
        "Device": f"Mysql 1{text}",
        "Sender": f"disk-monitor{text}",
        "Job": None,
        "Type": f"disk_space_low{text}",
        "Severity": "error",
        "Message": f"9 % are free{text}",
        "Time": "2025-07-02T10:05:00Z",
        "Instance": f"db1{text}",
    }


def _verified(kind: str, text: str) -> dict[str, Any]:
    """A `VerifyReport`."""
    bad = int(kind == EventKind.VERIFY_FAILURE)
    return {
        "Label": f"Mysql 1{text}",
        "Job": f"nightly{text}",
        "Source": f"Mysql 1{text}",
        "Instance": f"db1{text}",
        "Level": "checksum",
        "Good": 4,
        "Bad": bad,
        "Copies": [],
        "Reason": f"Mysql 1: copies read back: 4 good (5.6 GiB){' and 1 bad' if bad else ''}{text}",
    }


def _restored(kind: str, text: str) -> dict[str, Any]:
    """A `RestoreReport`."""
    status = {"restore_start": "pending", "restore_failure": "failed"}.get(kind, "finished")
    good, ended = status == "finished", status != "pending"
    return {
        "Id": "5d0c3b1e-7a53-4d2b-8a53-0b1f8f3f5b99",
        "Status": status,
        "Label": f"Mysql 1{text}",
        "BackupId": "b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b",
        "Source": f"Mysql 1{text}",
        "Database": f"shop{text}",
        "Target": f"shop_restored_202507021000 on Mysql 1{text}",
        "Drive": f"My Google Drive{text}" if good else None,
        "Instance": f"db1{text}",
        "Trigger": "manual",
        "Operator": f"ada{text}",
        "Size": 1_503_238_553 if good else None,
        "Seconds": 300.0 if ended else None,
        "Warnings": [],
        "Error": f"Mysql 1: the server has gone away{text}" if ended and not good else None,
        "CreatedAt": "2025-07-02T10:00:00Z",
        "FinishedAt": "2025-07-02T10:05:00Z" if ended else None,
        "Job": f"nightly{text}",
        "Reason": f"Mysql 1 and shop_restored_202507021000 on Mysql 1: {status}{text}",
    }


def _pruned(text: str) -> dict[str, Any]:
    """A `PruneReport`."""
    copy = {
        "BackupId": "b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b",
        "Database": f"shop{text}",
        "Drive": f"My Google Drive{text}",
        "Path": f"backups/backup-20250702100000.sql.gz{text}",
        "CreatedAt": "2025-06-02T10:00:00Z",
        "Size": 45_000_000,
        "Action": "delete",
        "Reason": f"older than 30 days{text}",
        "Error": None,
    }
    return {
        "Label": f"Mysql 1{text}",
        "Job": f"nightly{text}",
        "Source": f"Mysql 1{text}",
        "Instance": f"db1{text}",
        "Deleted": 1,
        "Marked": 0,
        "Failed": 0,
        "Kept": 7,
        "Freed": 45_000_000,
        "Copies": [copy],
        "Warnings": [],
        "Reason": f"Mysql 1: 1 copy deleted (42.9 MiB){text}",
    }


def _drill(text: str) -> dict[str, Any]:
    """An `AlarmDrillReport`."""
    return {
        "Label": f"Mysql 1{text}",
        "Endpoint": f"webhook/Ops{text}",
        "Job": "alarm drill",
        "Source": None,
        "Instance": f"db1{text}",
        "Since": "2025-07-02T10:05:00Z",
        "Reason": f"This is a drill: nothing has happened, and nothing is to be done{text}",
    }


def _queue(text: str) -> dict[str, Any]:
    """A `QueueReport`."""
    return {
        "Label": f"Mysql 1{text}",
        "Queue": f"Mysql 1{text}",
        "Instance": f"db1{text}",
        "Incident": EventKind.QUEUE_UNATTENDED,
        "Waiting": 3,
        "Oldest": "2025-07-02T09:00:00Z",
        "UnattendedSince": "2025-07-02T09:58:00Z",
        "Workers": [],
        "LastWorker": f"db-host-7{text}",
        "LastHeard": "2025-07-02T09:58:00Z",
        "Since": "2025-07-02T10:05:00Z",
        "Reminder": False,
        "Reason": f"3 assignments wait in the queue db7, and no living worker takes from it{text}",
    }


def _records(kind: str, text: str) -> dict[str, Any]:
    """A `RecordsReport`."""
    over = kind == EventKind.RECORDS_RECOVERED
    return {
        "Label": f"Mysql 1{text}",
        "Instance": f"db1{text}",
        "Host": f"db-host-7{text}",
        "Incident": EventKind.RECORDS_FAILURE,
        "Since": "2025-07-02T09:58:00Z",
        "Until": "2025-07-02T10:05:00Z" if over else None,
        "Told": [f"mail/Ops{text}"] if over else [],
        "Reminder": False,
        "Reason": f"since 2025-07-02 09:58 UTC db1 on db-host-7 cannot use its records{text}",
    }


def _backup(kind: str, text: str) -> dict[str, Any]:
    """A `BackupExtended`."""
    status = {"backup_start": "pending", "backup_failure": "failed"}.get(kind, "finished")
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
    return {
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
