"""What of a daemon's work waits for its records: told as long as it does, and no longer."""

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
from backupman.engine.readiness import Waits
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


def test_a_check_reads_records(tmp_path: Path) -> None:
    file = tmp_path / "records.db"
    with closing(Store.open(f"sqlite:///{file}")) as store:
        store.check()
        with closing(sqlite3.connect(file)) as database:
            database.execute("drop table backupman_backups")
        with pytest.raises(StoreError):
            store.check()
