"""Backups over HTTP: started, retried, cancelled; also after the config was read anew."""

import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from backupman.store.ingest import Recipient, Reported
from tests.api.conftest import Api
from tests.e2e.world import wait_for
from tests.servers.receiver import Receiver
from tests.store.conftest import START, a_backup


def ended(client: httpx.Client, backup_id: str) -> dict[str, Any]:
    """The backup once it is settled."""
    shown: dict[str, Any] = {}

    def settled() -> bool:
        shown.update(client.get(f"/api/backups/{backup_id}").json())
        return bool(shown["Status"] != "pending")

    wait_for(settled)
    return shown


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b" \r\n"])
def test_a_backup_of_everything_is_started_by_an_empty_body(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/api/backups", content=body)
    assert answer.status_code == 200
    assert answer.json()["Message"] == "Backup started"
    (backup_id,) = answer.json()["Ids"]
    backup = ended(client, backup_id)
    assert (backup["Status"], backup["Job"], backup["Source"], backup["Trigger"]) == (
        "finished",
        "nightly",
        "App",
        "api",
    )
    assert (backup["Operator"], backup["Comment"], backup["Tags"]) == ("api key", None, {})


def test_a_backup_has_the_comment_and_the_tags_that_it_was_asked_for_with(client: httpx.Client) -> None:
    asked = {"Source": "App", "Job": "nightly", "Comment": "before the upgrade ß", "Tags": {"release": "7"}}
    (backup_id,) = client.post("/api/backups", json=asked).json()["Ids"]
    backup = ended(client, backup_id)
    assert (backup["Comment"], backup["Tags"]) == ("before the upgrade ß", {"release": "7"})
    assert client.get("/api/backups", params={"since": backup["CreatedAt"]}).json()["Results"][0]["Id"] == backup_id


@pytest.fixture
def two(configured: Api) -> Api:
    """A daemon with two jobs of a source each."""
    other = configured.folder / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("create table t (x)")
    database.close()
    configured.config["data_sources"].append({"provider": "sqlite", "label": "Other", "db_path": str(other)})
    configured.config["jobs"] = [
        {"label": "nightly", "data_sources": ["App"]},
        {"label": "weekly", "data_sources": ["App", "Other"]},
    ]
    return configured.start()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [("nightly", "App"), ("weekly", "App"), ("weekly", "Other")]),
        ({"Job": "nightly"}, [("nightly", "App")]),
        ({"job": "weekly"}, [("weekly", "App"), ("weekly", "Other")]),
        ({"Source": "App"}, [("nightly", "App"), ("weekly", "App")]),
        ({"Job": "weekly", "Source": "Other"}, [("weekly", "Other")]),
    ],
)
def test_a_job_or_a_source_is_chosen(two: Api, asked: dict[str, str], expected: list[tuple[str, str]]) -> None:
    with two.client() as client:
        assert client.post("/api/backups", json=asked).status_code == 200

        def made() -> list[tuple[str, str]]:
            found = client.get("/api/backups").json()["Results"]
            return sorted((backup["Job"], backup["Source"]) for backup in found if backup["Status"] == "finished")

        wait_for(lambda: made() == expected)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"Job": "nightli"}, "there is no job 'nightli'; did you mean 'nightly'?"),
        ({"Job": "xyz"}, "there is no job 'xyz'"),
        ({"Source": "app"}, "there is no source 'app'; did you mean 'App'?"),
        ({"Job": "nightly", "Source": "Other"}, "the job 'nightly' has no source 'Other'"),
    ],
)
def test_an_unknown_name_is_404_with_the_nearest_known_one(two: Api, asked: dict[str, str], words: str) -> None:
    with two.client() as client:
        answer = client.post("/api/backups", json=asked)
    assert (answer.status_code, answer.json()) == (404, {"Error": words})


def test_everything_that_is_running_already_is_409_and_the_rest_is_started(slow: Api) -> None:
    with slow.client() as client:
        (running,) = client.post("/api/backups", json={"Source": "Slow"}).json()["Ids"]
        answer = client.post("/api/backups", json={"Source": "Slow"})
        assert (answer.status_code, answer.json()) == (409, {"Error": "already running: Slow; wait for it to end"})
        answer = client.post("/api/backups")
        assert answer.status_code == 200
        assert ended(client, answer.json()["Ids"][0])["Source"] == "App"
        assert client.get(f"/api/backups/{running}").json()["Status"] == "pending"
        assert len(client.get("/api/backups").json()["Results"]) == 2


def test_a_backup_under_way_is_shown_live_and_can_be_cancelled(slow: Api, receiver: Receiver) -> None:
    with slow.client() as client:
        (backup_id,) = client.post("/api/backups", json={"Source": "Slow"}).json()["Ids"]
        wait_for(lambda: client.get(f"/api/backups/{backup_id}").json()["Live"]["Phase"] == "dumping")
        live = client.get("/api/backups/latest").json()["Live"]
        assert (live["Id"], live["Phase"], live["Job"]) == (backup_id, "dumping", "nightly")
        assert client.post("/api/backups/nix/cancel").status_code == 404
        with slow.client("run") as runner:
            answer = runner.post(f"/api/backups/{backup_id}/cancel")
        assert (answer.status_code, answer.json()) == (200, {"Message": "Backup cancelled", "Id": backup_id})
        backup = ended(client, backup_id)
        assert (backup["Status"], backup["Error"], backup["Live"]) == ("failed", "Slow: cancelled by run", None)
        answer = client.post(f"/api/backups/{backup_id}/cancel")
        assert (answer.status_code, answer.json()) == (409, {"Error": "Slow: the backup is not under way here"})


def test_a_backup_can_be_cancelled_after_the_config_was_read_anew(slow: Api) -> None:
    with slow.client() as client:
        (backup_id,) = client.post("/api/backups", json={"Source": "Slow"}).json()["Ids"]
        slow.config["data_sources"].pop()
        slow.write()
        slow.daemon.reload()
        assert client.post("/api/backups", json={"Source": "Slow"}).status_code == 404
        assert client.post(f"/api/backups/{backup_id}/cancel").status_code == 200
        assert ended(client, backup_id)["Status"] == "failed"


def test_a_failed_upload_is_retried_from_where_it_stopped(configured: Api) -> None:
    blocked = configured.folder / "second"
    configured.config["drives"].append({"provider": "local", "label": "Second", "folder": str(blocked)})
    blocked.write_text("no folder")
    with configured.start().client() as client:
        (failed,) = configured.run()
        answer = client.post(f"/api/backups/{failed.id}/retry")
        assert (answer.status_code, answer.json()) == (200, {"Message": "Retry started", "Ids": [failed.id]})
        assert ended(client, failed.id)["Status"] == "failed"
        configured.idle()
        blocked.unlink()
        assert client.post(f"/api/backups/{failed.id[:8]}/retry").status_code == 200
        backup = ended(client, failed.id)
        assert (backup["Status"], [file["Status"] for file in backup["DriveFiles"]]) == ("finished", ["finished"] * 2)
        answer = client.post(f"/api/backups/{failed.id}/retry")
        assert answer.status_code == 409
        assert answer.json() == {"Error": "App: the backup is finished; only a failed one is retried"}


def test_a_failed_dump_is_made_anew_by_a_retry(api: Api, client: httpx.Client) -> None:
    database = Path(api.config["data_sources"][0]["db_path"])
    database.rename(api.folder / "away")
    (failed,) = api.run()
    assert failed.status == "failed"
    (api.folder / "away").rename(database)
    (retried,) = client.post(f"/api/backups/{failed.id}/retry").json()["Ids"]
    assert retried != failed.id
    assert ended(client, retried)["Status"] == "finished"


def test_a_retry_that_cannot_be_is_said_at_once(slow: Api) -> None:
    store = slow.daemon.app.store
    of_slow = {"source": "Slow", "label": "Slow", "job": "nightly", "instance": "test-host", "status": "failed"}
    busy = store.backups.begin(a_backup(**of_slow), [])
    gone = store.backups.begin(a_backup(source="Gone", instance="test-host", status="failed"), [])
    elsewhere = store.backups.begin(a_backup(instance="db-9", status="failed"), [])
    told, _ = store.ingest.backup(Reported("web-1", "x", START, "Error", "no"), Recipient("test-host"))
    with slow.client() as client:
        client.post("/api/backups", json={"Source": "Slow"})
        for backup_id, status, words in (
            (busy.id, 409, "already running: Slow"),
            (gone.id, 409, "not in the config any more"),
            (elsewhere.id, 409, "was made on db-9, and only there"),
            (told, 409, "was made on web-1, and only there"),
        ):
            answer = client.post(f"/api/backups/{backup_id}/retry")
            assert (answer.status_code, words in answer.json()["Error"]) == (status, True), answer.text


def test_nothing_more_is_started_when_the_daemon_is_about_to_end(api: Api, client: httpx.Client) -> None:
    api.daemon.app.executor.stop("the end")
    answer = client.post("/api/backups")
    assert answer.status_code == 503
    assert answer.json() == {"Error": "the daemon is about to end and starts nothing more"}


def test_a_config_that_was_read_anew_is_the_one_that_answers(api: Api, client: httpx.Client) -> None:
    api.config["jobs"] = [{"label": "hourly", "every": "1h"}]
    api.write()
    assert client.post("/api/backups", json={"Job": "hourly"}).status_code == 404
    api.daemon.reload()
    assert client.post("/api/backups", json={"Job": "nightly"}).status_code == 404
    (backup_id,) = client.post("/api/backups", json={"Job": "hourly"}).json()["Ids"]
    assert ended(client, backup_id)["Job"] == "hourly"
    api.config["jobs"] = "nonsense"
    api.write()
    api.daemon.reload()
    assert [job["Label"] for job in client.get("/api/jobs").json()["Results"]] == ["hourly"]
