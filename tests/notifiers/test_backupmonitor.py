"""BackupMonitor: entries that the documented ingest API takes, and nothing that came in by it."""

import json
from datetime import datetime
from typing import Any

import pytest

from backupman.notifiers.backupmonitor import BackupMonitor
from tests.contracts.notifier import EVENTS, HttpNotifierContract, message
from tests.servers.receiver import Answer, Receiver

KEY = "bm_0123456789abcdef"
LACKING = {"a": "finished", "b": "failed"}


def sent(kind: str, text: str = "", /, payload: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """The entry, which has all that is required; its route stands under `/`."""
    request = BackupMonitor.model_validate({"api_key": KEY, **settings}).request(message(kind, text, **payload or {}))
    assert request
    assert request.headers["X-Api-Key"] == KEY
    body: dict[str, Any] = json.loads(request.content)
    assert datetime.fromisoformat(body["timestamp"]).tzinfo
    assert all(0 < len(body[name]) <= 255 for name in ("deviceName", "jobName", "sender"))
    assert body["message"]
    return {"/": str(request.url), **body}


class TestBackupMonitor(HttpNotifierContract):
    notifier_class = BackupMonitor
    good = Answer(201, body=b'{"id":"x"}')
    silent = frozenset({"notification"})

    @pytest.fixture
    def settings(self, receiver: Receiver, timeout: str) -> dict[str, Any]:
        return {"api_key": KEY, "server": receiver.url, "events": EVENTS, "timeout": timeout}


def test_a_report_is_a_backup_entry() -> None:
    assert sent("backup_report") == {
        "/": "https://ingest.backupmonitor.io/api/ingest/backup",
        "deviceName": "db1",
        "jobName": "Mysql 1",
        "timestamp": "2025-07-02T10:05:00Z",
        "status": "Warning",
        "message": "Mysql 1 is stored on My Google Drive.\n\n- the table t uses MyISAM",
        "sender": "backupman",
    }
    assert sent("backup_report", payload={"Warnings": []})["status"] == "Success"
    failed = sent("backup_failure")
    assert failed["status"] == "Error"
    assert "quota exceeded" in failed["message"]


@pytest.mark.parametrize("kind", ["backup_report", "backup_success"])
def test_a_backup_that_lacks_a_copy_is_a_warning(kind: str) -> None:
    files = [{"Label": name, "Required": name == "a", "Status": status} for name, status in LACKING.items()]
    entry = sent(kind, payload={"DriveFiles": files, "Warnings": []})
    assert entry["status"] == "Warning"
    assert "stored on a, but not on b" in entry["message"]


@pytest.mark.parametrize(
    ("kind", "payload", "severity"),
    [
        ("backup_late", {}, "error"),
        ("size_anomaly", {}, "warning"),
        ("backup_recovered", {}, "info"),
        ("verify_failure", {}, "error"),
        ("verify_success", {}, "info"),
        ("restore_start", {}, "info"),
        ("prune_report", {}, "info"),
        ("prune_report", {"Failed": 1}, "warning"),
        ("reconcile_report", {}, "error"),
        ("reconcile_report", {"Failed": 0}, "warning"),
        ("alarm_drill", {}, "info"),
    ],
)
def test_what_is_no_result_is_a_notification(kind: str, payload: dict[str, Any], severity: str) -> None:
    entry = sent(kind, payload=payload)
    assert entry["/"].endswith("/api/ingest/notification")
    assert (entry["type"], entry["severity"]) == (kind, severity)
    assert "status" not in entry


@pytest.mark.parametrize(
    ("kind", "payload"),
    [("notification", {}), ("backup_report", {"Kind": "ingested"}), ("backup_late", {"Sender": "rsync-backup"})],
)
def test_what_was_ingested_is_not_sent_on(kind: str, payload: dict[str, Any]) -> None:
    assert BackupMonitor.model_validate({"api_key": KEY}).request(message(kind, **payload)) is None


def test_names_can_be_chosen() -> None:
    entry = sent("backup_report", sender="ops", device="db-host", server="https://backups.example.com/")
    assert (entry["sender"], entry["deviceName"]) == ("ops", "db-host")
    assert entry["/"] == "https://backups.example.com/api/ingest/backup"
