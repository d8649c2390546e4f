"""Restores over HTTP: into servers of the config alone, over what is there only when that is named."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from backupman.records import Backup
from tests.api.conftest import Api
from tests.api.test_http_docs import wait_forever
from tests.e2e.world import wait_for


def ended(client: httpx.Client, restore_id: str) -> dict[str, Any]:
    """The restore once it is settled."""
    shown: dict[str, Any] = {}

    def settled() -> bool:
        shown.update(client.get(f"/api/restores/{restore_id}").json())
        return bool(shown["Status"] != "pending")

    wait_for(settled, 60)
    return shown


def names_in(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        return [name for (name,) in database.execute("select name from users order by 1")]


def test_a_backup_goes_into_a_new_database(api: Api, client: httpx.Client, backup: Backup) -> None:
    with api.client("restore") as restorer:
        answer = restorer.post(f"/api/backups/{backup.id}/restore", json={"ToDatabase": "copy"})
    assert (answer.status_code, answer.json()["Message"]) == (202, "Restore started")
    restore = ended(client, answer.json()["Id"])
    about = {"Status": "finished", "Target": f"{api.folder}/copy.db", "Trigger": "api", "Operator": "restore"}
    assert restore.items() >= about.items()
    assert names_in(api.folder / "copy.db") == ["Ada", "Grace"]
    assert client.get("/api/restores").json() == {"Results": [restore]}
    kinds = [event["Event"] for event in client.get("/api/events").json()["Results"]]
    assert kinds[-2:] == ["restore_start", "restore_success"]


def test_what_is_replaced_has_to_be_named(api: Api, client: httpx.Client, backup: Backup) -> None:
    with closing(sqlite3.connect(api.folder / "app.db")) as database, database:
        database.execute("delete from users")
    way, place = f"/api/backups/{backup.id}/restore", f"{api.folder}/app.db"
    for confirm in ({}, {"Confirm": "app"}, {"Confirm": ""}):
        answer = client.post(way, json={"Clean": True} | confirm)
        sentence = f"the file {place} would be replaced: confirm it by naming '{place}'"
        assert (answer.status_code, answer.json()["Error"]) == (422, sentence)
    assert names_in(api.folder / "app.db") == []
    answer = client.post(way, json={"Clean": True, "Confirm": place})
    assert ended(client, answer.json()["Id"])["Status"] == "finished"
    assert names_in(api.folder / "app.db") == ["Ada", "Grace"]


def test_what_cannot_be_is_refused_before_it_is_begun(api: Api, client: httpx.Client, backup: Backup) -> None:
    way = f"/api/backups/{backup.id}/restore"
    calls: list[tuple[str, dict[str, Any], int, str]] = [
        ("/api/backups/nix/restore", {}, 404, "there is no backup 'nix'"),
        (way, {"Source": "Ap"}, 404, "there is no source 'Ap'; did you mean 'App'?"),
        (way, {"Drive": "Dsk"}, 404, "there is no drive 'Dsk'; did you mean 'Disk'?"),
        (way, {"ToDatabase": "/etc/passwd"}, 422, "a name has no slash"),
        (way, {"ToDatabase": "../up"}, 422, "a name has no slash"),
        (way, {"ToDatabase": ""}, 422, "ToDatabase should not be empty"),
        (way, {"Url": "sqlite:///x"}, 422, "Url is not known"),
        ("/api/restores/nix", {}, 405, "/docs"),
    ]
    for path, body, status, sentence in calls:
        answer = client.post(path, json=body)
        assert answer.status_code == status, answer.text
        assert sentence in answer.json()["Error"]
    assert client.get("/api/restores").json() == {"Results": []}
    assert client.get("/api/restores/nix").status_code == 404


def test_a_source_that_takes_no_restores_says_so(slow: Api) -> None:
    [made] = slow.run("App")
    with slow.client() as client:
        answer = client.post(f"/api/backups/{made.id}/restore", json={"Source": "Slow"})
    assert answer.status_code == 422
    assert "cannot restore into a source of provider command" in answer.json()["Error"]
    assert "--" not in answer.json()["Error"]


def test_a_source_that_is_gone_is_named_as_the_api_names_it(api: Api, client: httpx.Client, backup: Backup) -> None:
    api.config["data_sources"][0]["label"] = "Renamed"
    api.write()
    api.daemon.reload()
    answer = client.post(f"/api/backups/{backup.id}/restore")
    sentence = "App: its source 'App' is not in the config any more: name another one in Source"
    assert (answer.status_code, answer.json()) == (422, {"Error": sentence})


def test_one_under_way_is_seen_cannot_be_doubled_and_can_be_cancelled(
    api: Api, client: httpx.Client, backup: Backup
) -> None:
    wait_forever(backup)
    way = f"/api/backups/{backup.id}/restore"
    restore_id = client.post(way, json={"ToDatabase": "copy"}).json()["Id"]
    assert client.get(f"/api/restores/{restore_id}").json()["Status"] == "pending"
    answer = client.post(way, json={"ToDatabase": "copy"})
    assert (answer.status_code, "another restore goes into" in answer.json()["Error"]) == (409, True)
    with api.client("restore") as restorer:
        answer = restorer.post(f"/api/restores/{restore_id}/cancel")
    assert answer.json() == {"Message": "Restore cancelled", "Id": restore_id}
    restore = ended(client, restore_id)
    assert (restore["Status"], restore["Error"]) == ("failed", "App: cancelled by restore")
    assert not (api.folder / "copy.db").exists()
    assert client.post(f"/api/restores/{restore_id}/cancel").status_code == 409


def test_the_end_of_the_daemon_ends_it(api: Api, client: httpx.Client, backup: Backup) -> None:
    wait_forever(backup)
    restore_id = client.post(f"/api/backups/{backup.id}/restore").json()["Id"]
    store = api.daemon.app.store
    api.daemon.app.executor.stop("backupman was stopped")
    wait_for(lambda: store.restores.get(restore_id).status != "pending", 60)
    assert store.restores.get(restore_id).error == "App: backupman was stopped"


@pytest.mark.service("age")
def test_an_encrypted_one_needs_the_identity_of_the_config(configured: Api, tmp_path: Path) -> None:
    from tests.e2e.test_restore import new_key

    configured.config["pipeline"] = {"encryption": {"recipients": [new_key(tmp_path / "key.txt")]}}
    configured.start()
    [made] = configured.run()
    way, body = f"/api/backups/{made.id}/restore", {"ToDatabase": "copy"}
    with configured.client() as client:
        answer = client.post(way, json=body)
        assert (answer.status_code, "verify.identity_file" in answer.json()["Error"]) == (422, True)
        assert "--" not in answer.json()["Error"]
        configured.config["verify"] = {"identity_file": str(tmp_path / "key.txt")}
        configured.write()
        configured.daemon.reload()
        answer = client.post(way, json=body)
        assert ended(client, answer.json()["Id"])["Status"] == "finished"
    assert names_in(configured.folder / "copy.db") == ["Ada", "Grace"]
