"""Google Drive through the real process: a backup comes, is downloaded, outlives a crash, and is removed in time."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.drives._google import CHUNK
from tests.drives._proxy import Answer, Forward, Request, proxy
from tests.e2e.test_crashes import OUTCOME, Service
from tests.e2e.world import World, assert_failed, wait_for
from tests.servers._process import free_port
from tests.servers.google_drive import Google

KEY = "s3cret-key"
SIZE = 6 * CHUNK + 77


@pytest.fixture
def google_world(world: World, google: Google, tmp_path: Path) -> World:
    """A source of several chunks, and one drive: Google's."""
    source = {"provider": "command", "label": "Big", "argv": ["head", "-c", str(SIZE), "/dev/urandom"]}
    world.config["data_sources"] = [source]
    world.config["drives"] = [settings(google, tmp_path)]
    world.config["pipeline"] = {"compression": {"method": "none"}}
    return world


def settings(google: Google, folder: Path, **more: Any) -> dict[str, Any]:
    files = google.user_files(folder / "google")
    about = {"provider": "google_drive", "label": "Google", "folder": "backups/db", "chunk_size": CHUNK}
    return about | {"endpoint": google.endpoint} | files | more


def stored(google: Google) -> list[str]:
    """The paths of all objects, without what stands beside them."""
    return sorted(path for path in google.drives.paths() if not path.endswith(("/", ".json", "RESTORE.txt")))


def age(world: World, days: int) -> None:
    """Make every record older by so many days."""
    with closing(sqlite3.connect(world.folder / "state/backupman.db")) as store, store:
        older = "update backupman_backups set created_at = datetime(created_at, ?) || '.000000'"
        store.execute(older, (f"-{days} days",))


def test_a_backup_comes_and_goes(google_world: World, google: Google) -> None:
    world = google_world
    world.config["retention"] = {"by": "age", "value": 7}
    assert world.run("health").code == 0
    ended = world.run("run", "--debug")
    assert ended.code == 0
    assert not [word for word in ("upload_id", "ya29.", "1//refresh", "httplib2") if word in ended.err]
    (backup,) = world.backups()
    (file,) = backup["DriveFiles"]
    assert [(backup["Status"], file["Status"], file["Provider"])] == [("finished", "finished", "google_drive")]
    assert stored(google) == [file["Path"]]
    assert file["Path"].startswith("backups/db/big/backup-")
    assert f"{file['Path']}.json" in google.drives.paths()
    assert world.reports()[0]["DriveFiles"][0]["Path"] == file["Path"]
    assert world.spool == []
    age(world, 10)
    assert world.run("run").code == 0
    (kept,) = world.backups()
    assert stored(google) == [kept["DriveFiles"][0]["Path"]] != [file["Path"]]
    assert len([path for path in google.drives.paths() if path.endswith(".json")]) == 1


def test_it_is_downloaded_over_the_api(google_world: World, google: Google) -> None:
    world = google_world
    assert world.run("run").code == 0
    (backup,) = world.backups()
    url = f"http://127.0.0.1:{(port := free_port())}"
    world.config["http"] = {"host": "127.0.0.1", "port": port, "api_keys": [KEY], "app_url": url}
    service = Service(world)

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/ping", trust_env=False, timeout=90).status_code == 200
        except httpx.TransportError:
            assert service.process.poll() is None
            return False

    try:
        wait_for(answers, 60)
        with httpx.Client(base_url=url, headers={"X-Api-Key": KEY}, trust_env=False, timeout=60) as client:
            whole = client.get(f"/api/backups/{backup['Id']}/download").content
            part = client.get(f"/api/backups/{backup['Id']}/download", headers={"Range": "bytes=1000-1099"})
            text = client.get(f"/api/backups/{backup['Id']}").text
        service.stop()
    finally:
        service.process.kill()
        service.process.communicate()
    assert whole == google.drives.paths()[backup["DriveFiles"][0]["Path"]]
    assert (part.status_code, part.content) == (206, whole[1000:1100])
    assert "upload_id" not in text


def test_a_consent_that_was_taken_back_is_said_with_what_mends_it(google_world: World, google: Google) -> None:
    world = google_world
    google.revoke()
    ended = world.run("run")
    assert ended.code == 1
    files = {key: world.config["drives"][0][key] for key in ("client_secret_file", "token_file")}
    command = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in files.items())
    (backup,) = world.backups()
    assert f"run `backupman auth-google {command}`" in backup["Error"]
    world.config["drives"] = [world.config["drives"][0] | google.user_files(world.folder / "google")]
    assert world.run("retry", "--all").code == 0
    assert len(stored(google)) == 1


def test_a_dump_that_fails_leaves_nothing(google_world: World, google: Google) -> None:
    world = google_world
    world.config["data_sources"][0]["argv"] = ["sh", "-c", f"head -c {SIZE} /dev/urandom; exit 3"]
    assert_failed(world, world.run("run"), "3")
    assert (stored(google), google.open_sessions()) == ([], [])


def test_an_upload_goes_on_after_everything_was_killed(google_world: World, google: Google) -> None:
    """The daemon and its child die when the dump is recorded; the last chunk was on its way and did not arrive."""
    world = google_world
    crashed, sending = world.folder / "crashed", world.folder / "sending"
    # The second half is dumped when the first one is on its way, so that the session is recorded by then.
    halves = f"head -c {2 * CHUNK} /dev/urandom; until [ -e {sending} ]; do sleep 0.05; done; "
    world.config["data_sources"][0]["argv"] = ["sh", "-c", f"{halves} head -c {SIZE - 2 * CHUNK} /dev/urandom"]
    world.config["jobs"] = [{"label": "often", "cron": "* * * * * *", "misfire_grace": "1h"}]
    world.config["http"] = {"host": "127.0.0.1", "port": free_port()}

    def hold_the_last_chunk(request: Request, forward: Forward) -> Answer | None:
        if "upload_id" not in request.query:
            return forward()
        sending.touch()
        if f"/{SIZE}" in request.headers.get("content-range", ""):
            wait_for(crashed.exists, 60)
            return None
        return forward()

    with proxy(google.endpoint) as between:
        between.rule = hold_the_last_chunk
        world.config["drives"][0]["endpoint"] = between.endpoint
        assert Service(world, ("group", f"after:{OUTCOME}:dumped")).wait(120) == -signal.SIGKILL
        assert len(google.open_sessions()) == 1
        between.rule = lambda request, forward: forward()
        between.seen.clear()
        world.config["jobs"][0]["cron"] = "0 0 1 1 *"
        after = Service(world)
        try:
            wait_for(lambda: len(stored(google)) == 1, 60)
            wait_for(lambda: world.reports(), 60)
        finally:
            after.stop()
        chunks = [
            request.headers["content-range"]
            for request in between.seen
            if request.method == "PUT" and request.length and f"/{SIZE}" in request.headers["content-range"]
        ]
    begun = [request for request in between.seen if request.method == "POST" and "/upload/" in request.target]
    assert len(begun) == 2, "of the sidecar and RESTORE.txt alone"
    assert len(chunks) == 1
    assert not chunks[0].startswith("bytes 0-"), "what Google holds is not sent again"
    (backup,) = world.backups()
    assert backup["Status"] == "finished"
    assert google.open_sessions() == []
    assert world.spool == []
    assert len(google.drives.paths()[stored(google)[0]]) == SIZE
