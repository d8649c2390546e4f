"""A backup that somebody deletes: every copy first, then the record, and never what would be missed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from backupman.app import App
from backupman.drives.local import Local
from backupman.engine.locks import source_lock
from backupman.engine.runner import Order
from backupman.errors import BusyError, ConfigError, NotFoundError
from backupman.records import Backup, Event, Restore, Status, now
from backupman.retention import FOR_EVER
from tests.store.conftest import statements


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app with one source and two drives."""
    with closing(sqlite3.connect(tmp_path / "app.db")) as database, database:
        database.execute("create table users (name text)")
    config = {
        "state_folder": str(tmp_path / "state"),
        "data_sources": [{"provider": "sqlite", "label": "App", "db_path": str(tmp_path / "app.db")}],
        "drives": [
            {"provider": "local", "label": label, "folder": str(tmp_path / label)} for label in ("disk", "other")
        ],
        "retry": {"attempts": 1},
        "spool": {"min_free": "1MiB"},
    }
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    app = App.from_config(tmp_path / "config.yml")
    yield app
    app.close()


def made(app: App) -> Backup:
    """A new backup."""
    (backup,) = app.executor.run(app.plans, None, Order(), wait=True).backups
    return app.store.backups.get(backup.id)


def objects(folder: Path) -> set[str]:
    """What the drives hold, without what stands beside all backups."""
    found = (file for label in ("disk", "other") for file in (folder / label).rglob("*"))
    return {str(file.relative_to(folder)) for file in found if file.is_file() and file.name != "RESTORE.txt"}


def test_every_copy_goes_with_its_sidecar_and_then_the_record(app: App, tmp_path: Path) -> None:
    old = made(app)
    before = objects(tmp_path)
    new = made(app)
    assert len(objects(tmp_path)) == 8
    found = app.deleter.delete(new, "me")
    assert (found.is_complete, [step.file.label for step in found.removed]) == (True, ["disk", "other"])
    assert objects(tmp_path) == before
    with pytest.raises(NotFoundError):
        app.store.backups.get(new.id)
    assert app.store.backups.get("latest").id == old.id


def test_the_last_good_one_goes_only_by_force(app: App, tmp_path: Path) -> None:
    old, new = made(app), made(app)
    for file in old.drive_files:
        app.store.backups.change_drive_file(old.id, file.label, verify_error="damaged")
    with pytest.raises(ConfigError, match=f"the last good backup of 'app' of App; .* delete {new.id[:8]} --force"):
        app.deleter.delete(new, "me")
    assert len(objects(tmp_path)) == 8
    assert app.deleter.delete(old, "me", force=True).is_complete
    assert app.deleter.delete(new, "me", force=True).is_complete
    assert objects(tmp_path) == set()


def test_a_copy_on_a_drive_that_has_left_the_config_is_no_other_one(app: App) -> None:
    old, new = made(app), made(app)
    for backup in (old, new):
        app.store.backups.change_drive_file(backup.id, "disk", proved_at=now())
    with closing(sqlite3.connect(app.config.state_folder / "backupman.db")) as store, store:
        store.execute("update backupman_drive_files set label = 'former ' || label where backup_id = ?", (old.id,))
    with pytest.raises(ConfigError, match="the last good backup of 'app' of App"):
        app.deleter.delete(new, "me")
    third = made(app)
    with pytest.raises(ConfigError, match="the last backup of 'app' of App that a drill has proved"):
        app.deleter.delete(new, "me")
    app.store.backups.change_drive_file(third.id, "other", proved_at=now())
    assert app.deleter.delete(new, "me").is_complete


def test_the_last_proved_one_goes_only_by_force(app: App) -> None:
    proved, _ = made(app), made(app)
    app.store.backups.change_drive_file(proved.id, "disk", proved_at=now())
    with pytest.raises(ConfigError, match="the last backup of 'app' of App that a drill has proved"):
        app.deleter.delete(proved, "me")
    assert app.deleter.delete(proved, "me", force=True).is_complete


@pytest.mark.parametrize("until", [FOR_EVER, now() + timedelta(days=1)])
def test_a_pinned_one_stays_until_it_is_unpinned(app: App, until: object) -> None:
    made(app)
    pinned = made(app)
    app.store.copies.pin(pinned.id, until)  # type: ignore[arg-type]  # a time
    with pytest.raises(ConfigError, match=r"is pinned .*; unpin it first"):
        app.deleter.delete(pinned, "me", force=True)
    app.store.copies.pin(pinned.id, now() - timedelta(days=1))  # over: as if it were not pinned
    assert app.deleter.delete(pinned, "me").is_complete


def test_what_is_in_use_or_somebody_elses_is_refused(app: App) -> None:
    made(app)
    backup = made(app)
    with (
        source_lock(app.config.state_folder, "App", wait=False),
        pytest.raises(BusyError, match="being backed up"),
    ):
        app.deleter.delete(backup, "me")
    app.store.backups.change(backup.id, status=Status.PENDING)
    with pytest.raises(BusyError, match="wait for it to end, or cancel it on the dashboard"):
        app.deleter.delete(backup, "me")
    app.store.backups.change(backup.id, status=Status.FINISHED, instance="elsewhere")
    with pytest.raises(ConfigError, match="was made on elsewhere"):
        app.deleter.delete(backup, "me", force=True)
    app.store.backups.change(backup.id, instance=app.config.instance)
    instance = app.config.instance
    restore = Restore(backup_id=backup.id, instance=instance, label="App", source="App", database="app", target="x")
    event = Event(kind="restore_start", instance=instance, job="", backup_id=backup.id, payload={})
    app.store.restores.begin(restore, lambda _: (event, []))
    with pytest.raises(BusyError, match="being restored"):
        app.deleter.delete(backup, "me")


def test_what_cannot_be_removed_keeps_its_record(app: App) -> None:
    made(app)
    backup = made(app)
    stuck = Path(backup.drive_files[0].path or "")
    stuck.unlink()
    stuck.mkdir()
    (stuck / "something").touch()
    found = app.deleter.delete(backup, "me")
    (error,) = found.errors
    assert error.sentence.startswith(f"deletion could not remove {stuck}: ")
    assert [file.label for file in app.store.backups.get(backup.id).drive_files] == ["disk"]
    (stuck / "something").unlink()
    stuck.rmdir()
    assert app.deleter.delete(backup, "me").is_complete


def test_no_record_goes_while_another_disk_stands_in_the_place_of_a_drive(app: App, tmp_path: Path) -> None:
    made(app)
    backup = made(app)
    away = (tmp_path / "disk").rename(tmp_path / "away")
    (tmp_path / "disk").mkdir()
    found = app.deleter.delete(backup, "me")
    (error,) = found.errors
    assert error.sentence.startswith("deletion on disk failed: disk holds none of what is to be removed (1 on record)")
    assert [file.label for file in app.store.backups.get(backup.id).drive_files] == ["disk"]
    (tmp_path / "disk").rmdir()
    away.rename(tmp_path / "disk")
    assert app.deleter.delete(backup, "me").is_complete
    assert not [name for name in objects(tmp_path) if backup.id[:8] in name]


def test_of_copies_that_somebody_has_removed_by_hand_the_records_go_by_force(app: App) -> None:
    backups = [made(app), made(app)]
    for file in (file for backup in backups for file in backup.drive_files):
        Path(file.path or "").unlink()
    assert not app.deleter.delete(backups[1], "me").is_complete
    assert app.deleter.delete(backups[1], "me", force=True).is_complete
    assert app.deleter.delete(backups[0], "me", force=True).is_complete


def test_a_drive_that_is_never_deleted_from_keeps_its_copy_and_the_record(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(app)
    backup = made(app)
    able = Local.capabilities
    monkeypatch.setattr(
        Local,
        "capabilities",
        property(lambda drive: replace(able, deletes=drive.label == "disk")),
    )
    found = app.deleter.delete(backup, "me")
    assert (found.errors, found.is_complete) == ([], False)
    assert found.retained == [f"other is never deleted from: {backup.drive_files[1].path} stays"]
    assert [file.label for file in app.store.backups.get(backup.id).drive_files] == ["other"]


def test_a_copy_whose_sidecar_cannot_go_stays_whole(app: App) -> None:
    """The lock of an S3 object ends before that of its sidecar, which was stored when the dump had ended."""
    made(app)
    backup = made(app)
    for file in backup.drive_files:
        sidecar = Path(f"{file.path}.json")
        sidecar.unlink()
        sidecar.mkdir()  # which is not removed as a file is
    assert not app.deleter.delete(backup, "me").is_complete
    assert [Path(file.path or "").is_file() for file in app.store.backups.get(backup.id).drive_files] == [True, True]


def test_a_copy_on_a_drive_that_left_the_config_stays_on_record(app: App) -> None:
    made(app)
    backup = made(app)
    app.config.drives[:] = [drive for drive in app.config.drives if drive.label == "disk"]
    found = app.deleter.delete(backup, "me")
    assert [step.file.label for step in found.removed] == ["disk"]
    assert "the config names other no more; put the drive back" in found.errors[0].sentence
    assert len(app.store.backups.get(backup.id).drive_files) == 1


def test_a_failed_one_goes_with_what_is_kept_for_its_retry(app: App, tmp_path: Path) -> None:
    kept = made(app)
    (tmp_path / "disk").rename(tmp_path / "away")
    (tmp_path / "disk").touch()  # nothing can be stored there
    failed = made(app)
    assert (failed.status, bool(failed.dump_path)) == (Status.FAILED, True)
    assert app.deleter.delete(failed, "me").is_complete
    assert not Path(failed.dump_path or "").exists()
    assert [backup.id for backup in app.store.backups.list()] == [kept.id]


def test_where_nothing_is_ever_removed_no_copy_is_looked_at(app: App) -> None:
    """Whoever removes nothing has many: after a million backups a look at all of a source would take seconds."""
    [plan] = app.plans
    with statements(app.store) as seen:
        assert app.pruner.plan(plan, plan.sources[0]).steps == []
    assert seen == []
