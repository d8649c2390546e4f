"""Verifying over HTTP: asked for, done in its turn, shown with what a drill found, and counted in the metrics."""

import httpx
import pytest

from tests.api.conftest import Api
from tests.e2e.world import wait_for


@pytest.fixture
def backup_id(api: Api) -> str:
    return api.run("App")[0].id


def found(client: httpx.Client, backup_id: str) -> list[dict[str, object]]:
    results: list[dict[str, object]] = client.get(f"/api/backups/{backup_id}/verifications").json()["Results"]
    return results


def test_a_drill_is_begun_shown_and_counted(configured: Api) -> None:
    configured.config["data_sources"][0] |= {
        "assertions": [{"sql": "SELECT count(*) FROM users", "expect": "= 2"}],
        "freshness": "SELECT datetime('now')",
    }
    api = configured.start()
    backup_id = api.run("App")[0].id
    with api.client() as client:
        assert found(client, backup_id) == []
        answer = client.post(f"/api/backups/{backup_id}/verify", json={"Level": "restore", "Drives": ["Disk"]})
        assert (answer.status_code, answer.json()) == (202, {"Message": "Verification started", "Id": backup_id})
        wait_for(lambda: found(client, backup_id), 60)
        (shown,) = found(client, backup_id)
        assert (shown["Drive"], shown["Level"], shown["Good"], shown["Error"]) == ("Disk", "restore", True, None)
        drill = shown["Drill"]
        assert isinstance(drill, dict)
        assert (drill["Tables"], drill["Rows"], drill["Compared"]) == (1, 2, True)
        assert drill["Assertions"][0] == {
            "Sql": "SELECT count(*) FROM users",
            "Expect": "= 2",
            "Found": "2",
            "Good": True,
            "Error": None,
        }
        (file,) = client.get(f"/api/backups/{backup_id}").json()["DriveFiles"]
        assert file["ProvedAt"] == file["VerifiedAt"] == shown["At"]
        text = client.get("/metrics").text
    of = '{database="app",drive="Disk",source="App"}'
    for name in ("newest_proved_age_seconds", "drill_restore_seconds", "drill_newest_row_age_seconds"):
        assert f"backupman_{name}{of}" in text


def test_every_byte_is_what_is_verified_when_nothing_is_said(api: Api, client: httpx.Client, backup_id: str) -> None:
    assert client.post(f"/api/backups/{backup_id}/verify").status_code == 202
    wait_for(lambda: found(client, backup_id), 60)
    assert [(each["Level"], each["Drill"]) for each in found(client, backup_id)] == [("checksum", None)]


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"Drives": ["Disc"]}, 404, "there is no drive 'Disc'; did you mean 'Disk'?"),
        ({"Level": "thorough"}, 422, "Level"),
        ({"Identity": "AGE-SECRET-KEY-1"}, 422, "Identity"),
    ],
)
def test_what_is_asked_wrongly_is_said(
    client: httpx.Client, backup_id: str, body: dict[str, object], status: int, why: str
) -> None:
    answer = client.post(f"/api/backups/{backup_id}/verify", json=body)
    assert (answer.status_code, why in answer.text) == (status, True)


def test_who_may_only_read_verifies_nothing(api: Api, backup_id: str) -> None:
    with api.client("read") as client:
        assert client.post(f"/api/backups/{backup_id}/verify").status_code == 403
        assert client.get(f"/api/backups/{backup_id}/verifications").status_code == 200
        assert client.get("/api/backups/nothing/verifications").status_code == 404
