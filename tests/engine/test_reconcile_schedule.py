"""Records and drives are compared when it is due: once, caught up once, and never twice at a time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.app import App
from backupman.engine.locks import reconcile_lock
from backupman.engine.reconcile_schedule import ReconcileSchedule
from backupman.engine.reconciling import Reconciler
from backupman.errors import Interrupted
from backupman.records import DriveFile, RunState
from tests.e2e.world import wait_for
from tests.store.conftest import a_backup, finish

MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
RUNS = "reconcile: drives"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app with a backup on record whose only copy is gone, and a comparison at every full hour."""
    (tmp_path / "drive").mkdir()
    config = {
        "instance": "host1",
        "state_folder": str(tmp_path / "state"),
        "data_sources": [{"provider": "sqlite", "label": "shop", "db_path": str(tmp_path / "shop.db")}],
        "drives": [{"provider": "local", "label": "disk", "folder": str(tmp_path / "drive")}],
        "reconcile": {"cron": "0 * * * *", "timezone": "UTC", "fix": True},
    }
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    made = App.from_config(tmp_path / "config.yml")
    backup = a_backup("disk", sha256="ab" * 32, stored_size=5)
    file: DriveFile = backup.drive_files[0]
    file.ref, file.size = backup.object_name, 5
    made.store.backups.settle(made.store.backups.begin(backup, []).id, finish, lambda _: [])
    yield made
    made.close()


class Clock:
    """A clock that is set by hand."""

    time = MIDNIGHT + timedelta(minutes=30)

    def __call__(self) -> datetime:
        return self.time


def states(app: App) -> list[tuple[datetime, str]]:
    return [(run.due_at, run.state) for run in app.store.jobs.runs("host1", RUNS)]


def test_what_is_due_is_done_once_and_tells_what_is_wrong(app: App) -> None:
    clock = Clock()
    schedule = ReconcileSchedule(app.store, "host1", clock)
    schedule.check()  # nobody has said what there is to do
    schedule.watch(app.config, app.reconciler)
    for _ in range(2):
        schedule.check()
    assert states(app) == [(clock.time, RunState.SKIPPED)]  # from now on, not what was before
    clock.time = MIDNIGHT + timedelta(hours=5, minutes=10)
    for _ in range(2):
        schedule.check()
    due = MIDNIGHT + timedelta(hours=5)
    wait_for(lambda: states(app)[0] == (due, RunState.DONE), 120)
    assert len(states(app)) == 2
    [event] = app.store.outbox.events(kind="reconcile_report")
    assert (event.payload["Drive"], event.payload["Missing"], event.payload["Failed"]) == ("disk", 1, 1)
    assert "no other drive holds a copy" in event.payload["Objects"][0]["Error"]
    schedule.stop("the test is over")
    clock.time += timedelta(hours=1)
    schedule.check()
    assert len(states(app)) == 2


def test_beside_one_by_hand_it_is_left_out(app: App) -> None:
    clock = Clock()
    schedule = ReconcileSchedule(app.store, "host1", clock)
    schedule.watch(app.config, app.reconciler)
    schedule.check()
    clock.time += timedelta(hours=1)
    with reconcile_lock(app.config.state_folder):
        schedule.check()
        wait_for(lambda: states(app)[0][1] == RunState.DONE, 120)
    assert app.store.outbox.events(kind="reconcile_report") == []
    schedule.stop("the test is over")


def test_what_is_stopped_tells_nothing(app: App) -> None:
    app.reconciler.stop("backupman was stopped")
    with pytest.raises(Interrupted, match="was stopped"):
        list(app.reconciler.reconcile(app.config.drives, fix=True))
    assert app.store.outbox.events(kind="reconcile_report") == []


@pytest.mark.parametrize("begun", [False, True])
def test_an_object_of_a_backup_that_was_begun_meanwhile_is_nobody_else_s(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    name = "shop/backup-20261121010000-0a0b0c0d.sqlite.gz"
    (tmp_path / "drive/shop").mkdir()
    (tmp_path / f"drive/{name}").touch()
    run = Reconciler._run

    def and_then(*arguments: Any, **more: Any) -> None:
        run(*arguments, **more)
        if begun:
            app.store.backups.begin(a_backup("disk", object_name=name), [])

    monkeypatch.setattr(Reconciler, "_run", and_then)
    [review] = app.reconciler.reconcile(app.config.drives, fix=False)
    assert (review.counts["unclaimed"], review.counts["missing"]) == (0 if begun else 1, 1)


def test_one_that_broke_is_not_on_record_as_done(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a fault of ours")

    clock = Clock()
    schedule = ReconcileSchedule(app.store, "host1", clock)
    schedule.watch(app.config, app.reconciler)
    schedule.check()
    clock.time += timedelta(hours=1)
    monkeypatch.setattr(app.reconciler, "reconcile", broken)
    schedule.check()
    wait_for(lambda: states(app)[0][1] == RunState.INTERRUPTED, 120)
    assert app.store.jobs.runs("host1", RUNS)[0].reason == "unexpected ValueError"
    schedule.stop("the test is over")
