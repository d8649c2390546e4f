"""What waits for its turn can be cancelled, and what has ended cannot, whatever is still done for it."""

from tests.api.conftest import Api
from tests.e2e.world import wait_for


def test_a_database_is_cancelled_while_another_of_its_source_is_dumped(configured: Api) -> None:
    shop = {"provider": "postgres", "label": "Shop", "host": "127.0.0.1", "databases": ["first", "second"]}
    configured.config["data_sources"] = [shop]
    configured.config["jobs"][0]["hooks"] = {"before_backup": ["sleep 60"]}
    with configured.start().client() as client:
        ids = client.post("/api/backups").json()["Ids"]
        for backup_id in reversed(ids):
            answer = client.post(f"/api/backups/{backup_id}/cancel")
            assert (answer.status_code, answer.json()) == (200, {"Message": "Backup cancelled", "Id": backup_id})
        configured.idle()
        found = client.get("/api/backups").json()["Results"]
    # The first one's hook was under way: it is ended, and the record says who asked for that.
    assert {(backup["Status"], backup["Error"]) for backup in found} == {
        ("failed", "Shop/first: cancelled by api key"),
        ("failed", "Shop/second: cancelled by api key"),
    }


def test_what_has_ended_is_not_cancelled_while_its_hooks_go_on(configured: Api) -> None:
    held = configured.folder / "held"
    configured.config["jobs"][0]["hooks"] = {"after_backup": [f"until test -e {held}; do sleep 0.02; done"]}
    with configured.start().client() as client:
        (backup_id,) = client.post("/api/backups").json()["Ids"]
        wait_for(lambda: client.get(f"/api/backups/{backup_id}").json()["Status"] == "finished")
        assert configured.daemon.app.executor.busy
        answer = client.post(f"/api/backups/{backup_id}/cancel")
        assert (answer.status_code, answer.json()) == (409, {"Error": "App: the backup is not under way here"})
        held.touch()
        configured.idle()
