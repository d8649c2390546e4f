"""A daemon and commands on one file of records: nobody takes another's log away."""

import signal
import sqlite3
from contextlib import closing

import yaml

from tests.e2e.test_service import answers, api, jobs, served
from tests.e2e.world import World, end, wait_for
from tests.posix_locks import posix_locks

__all__ = ["served"]


def test_a_look_and_a_reload_leave_the_daemon_its_records(served: World) -> None:
    """Whoever closes a file of SQLite's drops its process's locks; the next command would then remove the log."""
    daemon = served.start("serve")
    wait_for(lambda: answers(served))
    file = served.folder / "state/backupman.db"
    inode = file.stat().st_ino

    def held() -> list[tuple[str, int]]:
        return [lock for lock in posix_locks(daemon.pid) if lock[1] == inode]

    with api(served) as client:
        before = held()
        assert before
        assert client.get("/health").is_success
        assert held() == before
        served.config["jobs"] = [{"label": "renamed", "cron": "@daily"}]
        served.config_file.write_text(yaml.safe_dump(served.config))
        daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: jobs(served) == ["renamed"])
        assert held() == before
        assert served.run("list").code == 0
        assert file.with_name(file.name + "-wal").exists(), "the last to leave removes it, and the daemon has not left"
        for _ in range(2):
            (asked,) = client.post("/api/backups").json()["Ids"]
            wait_for(lambda: client.get(f"/api/backups/{asked}").json()["Status"] == "finished")  # noqa: B023 - asked now
            assert served.run("run").code == 0
        listed = client.get("/api/backups").json()["Results"]
    assert len(listed) == 4 and {each["Id"] for each in listed} == {each["Id"] for each in served.backups()}
    assert end(daemon, signal.SIGTERM).code == 0
    assert len(served.backups()) == 4
    with closing(sqlite3.connect(file)) as records:
        assert records.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
