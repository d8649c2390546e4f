"""The ingest API: BackupMonitor's documented fields and rules, who may send, and who is told."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from backupman.config import Config, load, plans
from backupman.engine.ingesting import recipient
from backupman.events import EventKind
from backupman.store.backups import BackupFilter
from backupman.testing import RecordingNotifier
from tests.api._entries import BACKUP, NOTIFICATION, noted, recorded, sent
from tests.api.conftest import Api
from tests.servers.receiver import Receiver


def test_a_result_is_recorded_and_answered_with_its_id(api: Api, script: httpx.Client) -> None:
    answer = sent(script, BACKUP)
    assert answer.status_code == 201
    (backup,) = recorded(api)
    assert answer.json() == {"Id": backup["Id"]}
    assert {key: backup[key] for key in ("Status", "Label", "Job", "Device", "Sender", "SaidStatus", "Message")} == {
        "Status": "finished",
        "Label": "Nightly Full Backup",
        "Job": "Nightly Full Backup",
        "Device": "web-1",
        "Sender": "script-web-1",
        "SaidStatus": "Success",
        "Message": "Backup completed. 142 GB transferred.",
    }
    assert (backup["CreatedAt"], backup["Kind"], backup["Operator"]) == ("2024-06-04T12:00:00Z", "ingested", "scripts")


def test_a_notification_is_recorded_and_answered_with_its_id(api: Api, script: httpx.Client) -> None:
    answer = sent(script, NOTIFICATION)
    assert answer.status_code == 201
    (note,) = noted(api)
    assert note == {
        "Id": answer.json()["Id"],
        "Label": "web-1: some_alert (info)",
        "Device": "web-1",
        "Sender": "script-web-1",
        "Job": "Job",
        "Type": "some_alert",
        "Severity": "info",
        "Message": "This is a test.",
        "Time": "2024-06-04T12:00:00Z",
        "Instance": "test-host",
    }
    assert recorded(api) == []


@pytest.mark.parametrize("entry", [BACKUP, NOTIFICATION], ids=["backup", "notification"])
def test_a_repeat_changes_nothing_and_has_the_same_id(api: Api, entry: dict[str, Any]) -> None:
    first, second = (sent(api.client("ingest"), entry) for _ in range(2))
    third = sent(api.client("root"), entry, timestamp="2024-06-04T12:00:00.000Z")
    assert [answer.status_code for answer in (first, second, third)] == [201, 200, 200]
    assert first.json() == second.json() == third.json()
    assert len(recorded(api)) + len(noted(api)) == 1
    assert sent(api.client("ingest"), entry, message="Another one.").status_code == 201


@pytest.mark.parametrize(
    ("entry", "changes"),
    [
        (BACKUP, {"sender": ...}),
        (BACKUP, {"sender": None}),
        (BACKUP, {"sender": ""}),
        (NOTIFICATION, {"sender": ..., "jobName": ..., "message": ...}),
        (NOTIFICATION, {"sender": None, "jobName": None, "message": None}),
        (NOTIFICATION, {"sender": " ", "jobName": "", "message": ""}),
    ],
)
def test_what_is_optional_may_be_left_out(
    api: Api, script: httpx.Client, entry: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert sent(script, entry, **changes).status_code == 201
    (told,) = recorded(api) + noted(api)
    assert told["Sender"] == "unknown@ingest"
    if "severity" in entry:
        assert (told["Job"], told["Message"] or None) == (None, None)


@pytest.mark.parametrize("field", ["deviceName", "jobName", "timestamp", "status", "message"])
def test_what_a_result_needs_is_required(script: httpx.Client, field: str) -> None:
    answer = sent(script, BACKUP, **{field: ...})
    assert (answer.status_code, answer.json()) == (422, {"Error": f"{field} is required"})


@pytest.mark.parametrize("field", ["deviceName", "timestamp", "severity", "type"])
def test_what_a_notification_needs_is_required(api: Api, script: httpx.Client, field: str) -> None:
    with script:
        body = {name: value for name, value in NOTIFICATION.items() if name != field}
        answer = script.post("/api/ingest/notification", json=body)
    assert (answer.status_code, answer.json()) == (422, {"Error": f"{field} is required"})


@pytest.mark.parametrize(
    ("entry", "changes", "words"),
    [
        (BACKUP, {"deviceName": ""}, ["deviceName: should not be empty"]),
        (BACKUP, {"deviceName": " \t"}, ["deviceName: should not be empty"]),
        (BACKUP, {"jobName": 7}, ["jobName should be text"]),
        (BACKUP, {"message": None}, ["message should be text"]),
        (BACKUP, {"message": {"a": 1}}, ["message should be text"]),
        (BACKUP, {"status": True}, ["status should be text"]),
        (BACKUP, {"status": "x" * 256}, ["status is longer than 255 characters"]),
        (BACKUP, {"sender": "x" * 256}, ["sender is longer than 255 characters"]),
        (BACKUP, {"sender": 1}, ["sender should be text"]),
        (BACKUP, {"timestamp": "2024-06-04T14:00:00"}, ["timestamp: needs a UTC offset"]),
        (BACKUP, {"timestamp": "yesterday"}, ["timestamp: should be an ISO 8601 time"]),
        (BACKUP, {"timestamp": 1717502400}, ["timestamp: should be an ISO 8601 time"]),
        (NOTIFICATION, {"severity": "Warning"}, ["severity: ", "'info', 'warning', 'error' or 'critical'"]),
        (NOTIFICATION, {"severity": "fatal"}, ["severity: "]),
        (NOTIFICATION, {"type": ""}, ["type: should not be empty"]),
        (NOTIFICATION, {"jobName": "x" * 256}, ["jobName is longer than 255 characters"]),
        (
            BACKUP,
            {"deviceName": ..., "jobName": 1, "timestamp": "x", "status": "", "message": ..., "sender": 2},
            ["deviceName is", "jobName should", "timestamp: should", "status: should", "message is", "sender should"],
        ),
    ],
)
def test_every_wrong_field_is_named_at_once(
    api: Api, script: httpx.Client, entry: dict[str, Any], changes: dict[str, Any], words: list[str]
) -> None:
    answer = sent(script, entry, **changes)
    assert answer.status_code == 422
    for word in words:
        assert word in answer.json()["Error"]
    assert answer.json()["Error"].count("; ") == (5 if len(words) == 6 else 0)
    assert recorded(api) + noted(api) == []


def test_fields_that_are_not_documented_are_ignored(api: Api, script: httpx.Client) -> None:
    assert sent(script, BACKUP, DeviceName="another", device_name="another", extra={"a": [1]}).status_code == 201
    assert recorded(api)[0]["Device"] == "web-1"


@pytest.mark.parametrize(
    ("said", "status", "warning"),
    [("OK", "finished", False), ("Warning", "finished", True), ("Fehler", "failed", False), ("!", "failed", False)],
)
def test_a_status_means_what_it_says_and_is_kept_as_sent(
    api: Api, script: httpx.Client, said: str, status: str, warning: bool
) -> None:
    sent(script, BACKUP, status=said)
    (backup,) = recorded(api)
    assert (backup["Status"], backup["Warning"], backup["SaidStatus"]) == (status, warning, said)


# Who may, and how often


@pytest.mark.parametrize("route", ["backup", "notification"])
def test_a_bad_key_is_401_and_a_key_for_other_things_is_403(api: Api, route: str) -> None:
    for key, status in ((None, 401), ("read", 403), ("ingest", 422), ("admin", 422), ("root", 422)):
        with api.client(key) as client:
            assert client.post(f"/api/ingest/{route}", json={}).status_code == status, key


def test_past_the_rate_of_its_key_a_script_has_to_wait_and_no_other(configured: Api) -> None:
    configured.config["ingest"] = {"rate": 5}
    configured.start()
    with configured.client("ingest") as script, configured.client("root") as other:
        answers = [script.post("/api/ingest/backup", content=b"{") for _ in range(6)]
        assert [answer.status_code for answer in answers] == [400] * 5 + [429]
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 12
        assert answers[-1].json() == {"Error": "more than 5 requests in a minute with this key"}
        assert other.post("/api/ingest/backup", json=BACKUP).status_code == 201
        configured.config["ingest"] = {"rate": 600}
        configured.write()
        configured.daemon.reload()
        configured.application.state.ingest_rate._buckets.clear()
        assert script.post("/api/ingest/backup", json=BACKUP).status_code == 200


def test_a_refused_request_is_not_read(configured: Api) -> None:
    configured.config["ingest"] = {"rate": 1}
    with configured.start().client("ingest") as script:
        script.post("/api/ingest/backup", json=BACKUP)
        assert script.post("/api/ingest/backup", content=b" " * 100_000).status_code == 429
    assert len(recorded(configured)) == 1


# Who is told


def test_what_was_ingested_is_delivered_like_a_backup_of_our_own(configured: Api, receiver: Receiver) -> None:
    hook = configured.config["notifiers"]["webhook"]["endpoints"][0]
    hook |= {"events": ["backup_report", "notification"], "extended": True}
    configured.config["jobs"][0]["notifiers"] = []  # what was ingested belongs to no job of the config
    configured.start(scheduling=True)
    sent(configured.client("ingest"), BACKUP, status="Error")
    sent(configured.client("ingest"), NOTIFICATION)
    bodies = [json.loads(request.body) for request in receiver.wait(2)]
    report = next(body["Payload"] for body in bodies if body["Event"] == "backup_report")
    assert list(report)[:7] == ["Id", "Status", "Label", "DumpPath", "CreatedAt", "UpdatedAt", "DriveFiles"]
    assert (report["Status"], report["Label"], report["DumpPath"]) == ("failed", "Nightly Full Backup", None)
    assert (report["DriveFiles"], report["Device"], report["SaidStatus"]) == ([], "web-1", "Error")
    note = next(body["Payload"] for body in bodies if body["Event"] == "notification")
    assert (note["Device"], note["Type"], note["Severity"]) == ("web-1", "some_alert", "info")


def test_what_was_ingested_never_goes_to_an_ingest_api_again() -> None:
    everything = list(EventKind)
    config = Config.model_construct(
        instance="here",
        data_sources=[],
        drives=[],
        notifiers={
            "backupmonitor": [RecordingNotifier(name="backupmonitor/a", wanted=everything)],
            "webhook": [RecordingNotifier(name="webhook/b", wanted=everything)],
        },
    )
    told = recipient(config, [], "key")
    assert told.endpoints is not None
    assert set(map(tuple, told.endpoints.values())) == {("webhook/b",)}
    assert (told.instance, told.operator) == ("here", "key")


def test_a_check_that_shows_the_state_of_our_own_job_is_told_of_no_script(tmp_path: Path) -> None:
    checks = {"ours": "one", "each": "{source}", "scripts": "two"}
    blocks = [{"label": label, "ping_url": f"https://hc.example/ping/{path}"} for label, path in checks.items()]
    document = {
        "data_sources": [{"provider": "sqlite", "label": "App", "db_path": "app.db"}],
        "drives": [{"provider": "local", "label": "Disk", "folder": "drive"}],
        "jobs": [{"label": "nightly", "notifiers": ["ours", "each"]}],
        "notifiers": {"healthchecks": blocks},
    }
    file = tmp_path / "config.yml"
    file.write_text(json.dumps(document))
    config = load(file).config
    told = recipient(config, plans(config), "key").wanting(EventKind.BACKUP_SUCCESS)
    assert told == ["healthchecks/each", "healthchecks/scripts"]


def test_nothing_that_was_sent_is_in_the_log(api: Api, script: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sent(script, BACKUP, message="a secret in a message")
    assert "a secret" not in caplog.text
    (backup,) = api.daemon.app.store.backups.list(BackupFilter(kind="ingested"))
    assert backup.created_at == datetime(2024, 6, 4, 12, tzinfo=UTC)


def test_the_records_outlive_the_daemon(api: Api, script: httpx.Client) -> None:
    first = sent(script, BACKUP).json()
    assert Path(api.config["state_folder"]).is_dir()
    api.stop()
    api.start()
    again = sent(api.client("ingest"), BACKUP)
    assert (again.status_code, again.json()) == (200, first)
