"""What of a daemon's work waits for its records, as long as it does; and whether its own files are still its own."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backupman.engine.dispatcher import delivering
from backupman.engine.readiness import OwnFiles, Waits
from backupman.engine.scheduler import Scheduler
from backupman.errors import NotFoundError, StoreError
from backupman.records import now
from backupman.store import Store
from tests.e2e.world import wait_for
from tests.engine.test_scheduler_turns import Held, never


@pytest.fixture
def waits() -> Waits:
    """Nothing waits yet."""
    return Waits()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Scheduler]:
    """One that runs, without a job."""
    with closing(Store.open(f"sqlite:///{tmp_path}/records.db")) as store:
        made = Scheduler(store, "shop", Held(), never, now)
        made.start([])
        yield made
        made.close()


def test_each_forgets_only_what_it_could_not_do_itself(waits: Waits) -> None:
    for name in ("one", "other"):
        with pytest.raises(StoreError), waits.of(name):
            raise StoreError(f"{name} is away")
    with pytest.raises(NotFoundError), waits.of("third"):
        raise NotFoundError("nothing of the records")
    with waits.of("one"):
        pass
    assert waits.reason == "other is away"
    waits.over("other")
    assert waits.reason is None


def test_what_is_done_by_the_clock_waits_until_it_is_done_again(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = scheduler.waits
    monkeypatch.setattr("backupman.engine.scheduler._TRY_AGAIN", timedelta(seconds=0.1))
    away = threading.Event()
    away.set()

    def work() -> None:
        if away.is_set():
            raise StoreError("the store is away")

    scheduler.every(timedelta(days=1), "history", work)
    wait_for(lambda: waits.reason == "the store is away")
    away.clear()
    wait_for(lambda: waits.reason is None)  # and not only a day later


def test_deliveries_wait_too(waits: Waits) -> None:
    stopping, answers = threading.Event(), iter([StoreError("the store is away"), None])

    async def deliver_due() -> int:
        answer = next(answers, None)
        if answer:
            raise answer
        stopping.set()
        return 0

    said: list[str | None] = []

    def dispatcher() -> Any:
        said.append(waits.reason)
        return SimpleNamespace(deliver_due=deliver_due)

    delivering(dispatcher, stopping, waits).run()
    assert (said, waits.reason) == ([None, "the store is away"], None)


def test_records_in_a_damaged_file_are_made_anew_from_the_drives(tmp_path: Path) -> None:
    file = tmp_path / "records.db"
    Store.open(f"sqlite:///{file}").close()
    whole = file.read_bytes()
    anew = "; if it is the right file, stop backupman, move it away together with its -wal and -shm, and `backupman rec"
    for damaged, reason in ((b"no database at all, but a text" * 500, "not a database"), (whole[:5000], "malformed")):
        file.write_bytes(damaged)
        with pytest.raises(StoreError) as error:
            Store.open(f"sqlite:///{file}")
        assert f"{reason}{anew}" in error.value.sentence


def test_a_check_reads_records(tmp_path: Path) -> None:
    file = tmp_path / "records.db"
    with closing(Store.open(f"sqlite:///{file}")) as store:
        store.check()
        with closing(sqlite3.connect(file)) as database:
            database.execute("drop table backupman_backups")
        with pytest.raises(StoreError):
            store.check()


@pytest.mark.parametrize("happens", ["removed", "moved with its folder", "replaced"])
def test_own_files_that_are_not_where_they_were(happens: str, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    for name in ("daemon.lock", "backupman.db"):
        (folder / name).touch()
    files = OwnFiles("daemon", folder / "daemon.lock", folder / "backupman.db")
    (folder / "backupman.db").write_text("other records, and the same file")
    assert files.displaced() is None
    if happens == "removed":
        (folder / "backupman.db").unlink()
    elif happens == "replaced":
        (tmp_path / "other.db").touch()
        (tmp_path / "other.db").rename(folder / "backupman.db")
    else:
        folder.rename(tmp_path / "state.gone")
        folder.touch()
    where = folder / ("daemon.lock" if happens.startswith("moved") else "backupman.db")
    said = files.displaced()
    assert said and said.startswith(f"{where} was removed, moved or replaced while the daemon ran, ")
    assert "`backupman reconcile --fix`" in said


def test_records_on_a_server_are_not_lost_with_the_state_folder(tmp_path: Path) -> None:
    lock = tmp_path / "worker.lock"
    lock.touch()
    files = OwnFiles("worker", lock)
    lock.unlink()
    said = files.displaced()
    assert said and said.startswith(f"{lock} was removed, moved or replaced while the worker ran, so that another one ")
    assert "reconcile" not in said


def test_records_on_a_server_are_no_file_of_ours_and_a_path_that_cannot_be_looked_at_is_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "daemon.lock"
    lock.touch()
    files = OwnFiles("daemon", lock)
    assert files.displaced() is None

    def refused(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", refused)
    assert files.displaced() is None
