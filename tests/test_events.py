"""The payloads: the documented keys and nullability exactly, and what is added to them."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from backupman.events import BackupExtended, BackupReport, EventKind, documented, iso, severity
from backupman.records import Backup, DriveFile, Status

CREATED = datetime(2025, 7, 2, 10, 0, 0, tzinfo=UTC)

# The example of the original program's documentation, of which this is to be the same.
EXAMPLE: dict[str, Any] = {
    "Id": "b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b",
    "Status": "finished",
    "Label": "Mysql 1",
    "DumpPath": "/tmp/backupman/dump/backup-20250702100000.sql.gz",
    "CreatedAt": "2025-07-02T10:00:00Z",
    "UpdatedAt": "2025-07-02T10:05:00Z",
    "DriveFiles": [
        {
            "Id": "d1f1e1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1c",
            "BackupId": "b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b",
            "Provider": "google_drive",
            "Label": "My Google Drive",
            "Path": "backups/backup-20250702100000.sql.gz",
            "Status": "finished",
            "CreatedAt": "2025-07-02T10:01:00Z",
            "UpdatedAt": "2025-07-02T10:05:00Z",
        }
    ],
}
MORE = [
    *("Job", "Source", "Database", "SourceProvider", "Instance", "Trigger", "Operator", "Comment", "Tags", "Phase"),
    *("Size", "StoredSize", "Sha256", "DumpSeconds", "Seconds", "Warnings", "Error"),
    *("Kind", "Device", "Sender", "SaidStatus", "Warning", "Message"),
    "PinnedUntil",
]
MORE_OF_A_FILE = [
    *("Size", "Sha256", "Required", "Attempts", "Seconds", "Error"),
    *("TrashedAt", "VerifiedAt", "VerifyError", "ProvedAt"),
]


def the_example(**fields: Any) -> Backup:
    """The record that the documentation's example tells about."""
    file = DriveFile(
        id="d1f1e1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1c",
        backup_id=EXAMPLE["Id"],
        provider="google_drive",
        label="My Google Drive",
        path="backups/backup-20250702100000.sql.gz",
        status=Status.FINISHED,
        created_at=CREATED + timedelta(minutes=1),
        updated_at=CREATED + timedelta(minutes=5, microseconds=999_999),
    )
    known: dict[str, Any] = {
        "id": EXAMPLE["Id"],
        "status": Status.FINISHED,
        "label": "Mysql 1",
        "job": "nightly",
        "source": "Mysql 1",
        "database": "shop",
        "source_provider": "mysql",
        "instance": "host1",
        "object_name": "mysql-1/backup-20250702100000-b4c3f1a0.sql.gz",
        "dump_path": "/tmp/backupman/dump/backup-20250702100000.sql.gz",
        "created_at": CREATED,
        "updated_at": CREATED + timedelta(minutes=5),
        "tags": {"why": "before the upgrade"},
        "size": 2**40,
        "drive_files": [file],
    }
    return Backup(**(known | fields))


def test_the_documented_example_comes_out_word_for_word() -> None:
    assert json.dumps(BackupReport.of(the_example()).document()) == json.dumps(EXAMPLE)


def test_what_is_not_known_is_null_and_never_empty() -> None:
    backup = the_example(dump_path=None, updated_at=None, drive_files=[])
    report = BackupReport.of(backup).document()
    assert (report["DumpPath"], report["UpdatedAt"], report["DriveFiles"]) == (None, None, [])
    file = the_example().drive_files[0]
    file.path = file.updated_at = None
    report = BackupReport.of(the_example(drive_files=[file])).document()
    assert (report["DriveFiles"][0]["Path"], report["DriveFiles"][0]["UpdatedAt"]) == (None, None)


def test_the_frozen_payload_holds_the_documented_one_and_everything_that_is_known() -> None:
    frozen = BackupExtended.of(the_example()).document()
    assert list(frozen) == [*EXAMPLE, *MORE]
    assert list(frozen["DriveFiles"][0]) == [*EXAMPLE["DriveFiles"][0], *MORE_OF_A_FILE]
    assert {key: frozen[key] for key in EXAMPLE if key != "DriveFiles"} == {
        key: EXAMPLE[key] for key in EXAMPLE if key != "DriveFiles"
    }
    assert (frozen["Job"], frozen["Database"], frozen["Size"], frozen["Error"]) == ("nightly", "shop", 2**40, None)
    assert (frozen["Tags"], frozen["Warnings"], frozen["Trigger"]) == ({"why": "before the upgrade"}, [], "manual")
    assert json.loads(json.dumps(frozen)) == frozen


def test_the_documented_part_of_a_frozen_payload_is_the_documented_payload() -> None:
    frozen = BackupExtended.of(the_example()).document()
    assert json.dumps(documented(json.loads(json.dumps(frozen)))) == json.dumps(EXAMPLE)
    assert documented(EXAMPLE) == EXAMPLE


@pytest.mark.parametrize(
    "time",
    [
        datetime(2025, 7, 2, 10, 0, 0, tzinfo=UTC),
        datetime(2025, 7, 2, 12, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_a_time_is_utc_with_a_z(time: datetime) -> None:
    assert iso(time) == "2025-07-02T10:00:00Z"


def test_the_events_of_a_backup_have_their_documented_names() -> None:
    assert {"backup_start", "backup_report", "backup_success", "backup_failure"} <= {kind.value for kind in EventKind}


@pytest.mark.parametrize(
    ("kind", "payload", "bad"),
    [
        (EventKind.BACKUP_SUCCESS, {"DriveFiles": [{"Status": "finished"}, {"Status": "failed"}]}, "warning"),
        (EventKind.BACKUP_SUCCESS, {"DriveFiles": None, "Warning": True}, "warning"),
        (EventKind.BACKUP_SUCCESS, {"DriveFiles": [], "Warnings": ["the table t uses MyISAM"]}, None),
        (EventKind.PRUNE_REPORT, {"Failed": 0}, None),
        (EventKind.PRUNE_REPORT, {"Failed": 1}, "warning"),
        (EventKind.RECONCILE_REPORT, {"Failed": 0, "Error": None}, "warning"),
        (EventKind.RECONCILE_REPORT, {"Failed": 0, "Error": None, "Objects": []}, "info"),
        (EventKind.RECONCILE_REPORT, {"Failed": 1, "Error": None}, "error"),
        (EventKind.RECONCILE_REPORT, {"Failed": 0, "Error": "unreachable"}, "error"),
        (EventKind.VERIFY_SUCCESS, {}, None),
        (EventKind.VERIFY_FAILURE, {}, "error"),
    ],
)
def test_how_bad_an_event_is(kind: EventKind, payload: dict[str, Any], bad: str | None) -> None:
    assert severity(kind, payload) == bad


def test_what_a_severity_is_read_from_stands_in_a_payload() -> None:
    """The flag of an ingested backup, which is not the list of sentences of one of ours."""
    assert {"Warning", "Warnings", "DriveFiles"} <= BackupExtended.of(the_example()).document().keys()
