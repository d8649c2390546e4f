"""A restore that was cut off is settled, in whichever way it ended, and leaves nothing that is surely ours."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.app import App
from backupman.data_plane import DataPlane
from backupman.data_plane.messages import Message, Phase
from backupman.engine.locks import source_lock
from backupman.engine.restoring import RestoreOrder
from backupman.engine.runner import Order
from backupman.engine.targets import Destination, into_source, new_name
from backupman.errors import BusyError, Interrupted
from backupman.records import Restore

AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app with a backup of a SQLite database."""
    with closing(sqlite3.connect(tmp_path / "app.db")) as database, database:
        database.execute("create table users (name text)")
    settings: dict[str, Any] = {
        "instance": "host1",
        "state_folder": str(tmp_path / "state"),
        "spool": {"min_free": "1MiB"},
        "data_sources": [{"provider": "sqlite", "label": "App", "db_path": str(tmp_path / "app.db")}],
        "drives": [{"provider": "local", "label": "Disk", "folder": str(tmp_path / "drive")}],
    }
    (tmp_path / "config.yml").write_text(yaml.safe_dump(settings))
    made = App.from_config(tmp_path / "config.yml")
    assert made.executor.run(made.plans, None, Order(), wait=True).good
    yield made
    made.close()


def order(app: App, *, clean: bool = False) -> RestoreOrder:
    """Restore the backup into a database of 09:30, or over the old one."""
    backup = app.store.backups.get("latest")
    return RestoreOrder(backup, into_source(app.config, backup, AT, label=None, name=None, clean=clean))


def dead(app: App, **fields: Any) -> Restore:
    """The record of a restore whose process has died, with its folder."""
    backup = app.store.backups.get("latest")
    known = {"instance": "host1", "label": "App", "source": "App", "database": "app", "target": "new on App"}
    restore = Restore(backup_id=backup.id, **(known | fields))
    folder = app.spools.folder / f"restore-{restore.id}.work"
    folder.mkdir(parents=True)
    (folder / "litter").touch()
    announce = app.restorer._announcer("default")
    return app.store.restores.begin(restore, announce)


def kinds(app: App) -> list[str]:
    events = reversed(app.store.outbox.events(limit=None))
    return [event.kind for event in events if event.kind.startswith("restore")]


def test_what_a_dead_process_left_is_settled_and_named(app: App) -> None:
    restore = dead(app)
    app.recovery.settle()
    app.recovery.settle()
    settled = app.store.restores.get(restore.id)
    assert settled.status == "failed"
    assert settled.error is not None
    assert "backupman was killed, or the machine went down" in settled.error
    assert "look at new on App" in settled.error
    assert not (app.spools.folder / f"restore-{restore.id}.work").exists()
    assert kinds(app) == ["restore_start", "restore_failure"]


def test_what_others_do_and_what_is_still_done_is_left_alone(app: App) -> None:
    elsewhere, running = dead(app, instance="host2", target="a on App"), dead(app, target="b on App")
    with source_lock(app.config.state_folder, "restore into b on App", wait=False) as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    try:  # the child of a daemon that was killed, which is still at it
        app.recovery.settle()
        assert app.store.restores.get(running.id).status == "pending"
        assert (app.spools.folder / f"restore-{running.id}.work").exists()
    finally:
        child.communicate(b"\n")
    app.recovery.settle()
    assert app.store.restores.get(running.id).status == "failed"
    assert app.store.restores.get(elsewhere.id).status == "pending"


def test_one_that_is_cancelled_leaves_nothing(app: App, tmp_path: Path) -> None:
    data_plane = DataPlane()

    def cancel(message: Message) -> None:
        if isinstance(message, Phase):
            data_plane.cancel(Interrupted("App: cancelled by ada"))

    wanted = order(app)
    settled = app.restorer.restore(wanted, data_plane, cancel)
    assert (settled.status, settled.error) == ("failed", "App: cancelled by ada")
    assert not os.path.lexists(wanted.destination.database)
    assert [path.name for path in app.spools.folder.iterdir()] == []
    assert kinds(app) == ["restore_start", "restore_failure"]


@pytest.mark.parametrize(
    ("sent", "said"),
    [(signal.SIGKILL, "was killed by signal 9"), (signal.SIGBUS, "a disk failed while a file on it was read")],
)
def test_a_child_that_was_killed_may_have_left_the_target(app: App, sent: signal.Signals, said: str) -> None:
    """By the kernel: memory runs out, or what a mapped file holds cannot be read."""
    stored = Path(app.store.backups.get("latest").drive_files[0].path or "")
    stored.unlink()
    os.mkfifo(stored)  # whoever reads it waits
    data_plane = DataPlane()

    def kill(message: Message) -> None:
        if isinstance(message, Phase) and data_plane._child:
            os.kill(data_plane._child.pid, sent)

    settled = app.restorer.restore(order(app), data_plane, kill)
    assert settled.error is not None
    assert said in settled.error
    assert settled.error.endswith(f"; look at {settled.target}, which may be there, and is not to be used as it is")
    assert list(app.spools.folder.iterdir()) == []


def test_one_that_is_interrupted_is_settled_before_the_interrupt_goes_on(app: App) -> None:
    def interrupt(message: Message) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        app.restorer.restore(order(app), DataPlane(), interrupt)
    [settled] = app.store.restores.list()
    assert (settled.status, settled.error) == ("failed", "App: the restore was interrupted")
    app.restorer.restore(order(app), DataPlane())  # nothing is locked, and nothing is there
    assert [restore.status for restore in app.store.restores.list()] == ["finished", "failed"]


def test_one_goes_into_a_target_at_a_time(app: App) -> None:
    wanted = order(app)
    with (
        source_lock(app.config.state_folder, f"restore into {wanted.destination.place}", wait=False),
        pytest.raises(BusyError, match=r"another restore goes into .* now: wait for it to end"),
    ):
        app.restorer.restore(wanted, DataPlane())
    assert app.store.restores.list() == []


def test_what_is_being_backed_up_is_not_replaced(app: App) -> None:
    with (
        source_lock(app.config.state_folder, "App", wait=False),
        pytest.raises(BusyError, match="App is being backed up already"),
    ):
        app.restorer.restore(order(app, clean=True), DataPlane())
    assert app.store.restores.list() == []


def test_a_new_name_fits_every_server() -> None:
    assert new_name("shop", AT) == "shop_restored_202611210930"
    long = new_name("ü" * 60, AT)
    assert len(long.encode()) <= 63
    assert long.endswith("üüü_restored_202611210930")


def test_what_is_replaced_is_named_for_people(app: App) -> None:
    source = app.config.data_sources[0]
    assert Destination(source, "shop", replaces=True).replaced == "the database shop on App"
    assert Destination(source, "/srv/a.db", replaces=True).replaced == "the file /srv/a.db"
    assert Destination(source, "_globals", replaces=True).replaced == "roles and accounts on App"
