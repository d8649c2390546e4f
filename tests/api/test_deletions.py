"""Deleting a backup over HTTP: named once more, with the scope for it, and never what would be missed."""

from pathlib import Path

import httpx
import pytest

from backupman.engine.locks import source_lock
from tests.api.conftest import Api


def test_a_backup_is_deleted_when_its_id_is_written_once_more(api: Api, client: httpx.Client) -> None:
    api.run()
    (backup,) = api.run()
    way = f"/api/backups/{backup.id}"
    for body in (None, {}, {"Confirm": ""}, {"Confirm": "latest"}, {"Confirm": backup.id[:7]}, {"Sure": True}):
        answer = client.request("DELETE", way, json=body)
        assert (answer.status_code, "onfirm" in answer.json()["Error"]) == (422, True)
    answer = client.request("DELETE", "/api/backups/latest", json={"Confirm": backup.id[:8]})
    told = {"Message": "Backup deleted", "Id": backup.id, "Removed": ["Disk"], "Retained": []}
    assert (answer.status_code, answer.json()) == (200, told)
    assert client.get(way).status_code == 404
    assert client.request("DELETE", way, json={"Confirm": backup.id}).status_code == 404
    path = Path(backup.drive_files[0].path or "")
    assert not list(path.parent.glob(f"{path.name}*"))
    assert len(client.get("/api/backups").json()["Results"]) == 1


def test_what_is_to_be_kept_is_refused(api: Api, client: httpx.Client) -> None:
    (backup,) = api.run()
    confirm = {"Confirm": backup.id}
    answer = client.request("DELETE", f"/api/backups/{backup.id}", json=confirm)
    assert (answer.status_code, "the last good backup" in answer.json()["Error"]) == (409, True)
    assert answer.json()["Error"].endswith('if that is meant: send "Force": true')
    assert client.request("DELETE", f"/api/backups/{backup.id}", json=confirm | {"Force": True}).status_code == 200


def test_what_a_drive_refuses_is_said_and_stays_on_record(api: Api, client: httpx.Client) -> None:
    (backup,) = api.run()
    path = Path(backup.drive_files[0].path or "")
    path.unlink()
    path.mkdir()
    (path / "something").touch()
    answer = client.request("DELETE", f"/api/backups/{backup.id}", json={"Confirm": backup.id, "Force": True})
    assert (answer.status_code, path.name in answer.json()["Error"]) == (502, True)
    assert client.get(f"/api/backups/{backup.id}").status_code == 200


def test_what_another_works_on_is_refused_without_an_option_of_the_command(api: Api, client: httpx.Client) -> None:
    (backup,) = api.run()
    way, body = f"/api/backups/{backup.id}", {"Confirm": backup.id, "Force": True}
    with source_lock(api.daemon.app.config.state_folder, "App", wait=False):
        answer = client.request("DELETE", way, json=body)
    assert (answer.status_code, answer.json()) == (409, {"Error": "App is being backed up already; wait for it to end"})


@pytest.mark.parametrize("key", ["run", "restore"])
def test_only_an_administrator_deletes(api: Api, key: str) -> None:
    (backup,) = api.run()
    with api.client(key) as other:
        answer = other.request("DELETE", f"/api/backups/{backup.id}", json={"Confirm": backup.id, "Force": True})
    assert (answer.status_code, "lacks the scope 'admin'" in answer.json()["Error"]) == (403, True)
