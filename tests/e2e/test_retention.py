"""Retention by age through the real process: what goes, what never goes, and what cannot be deleted."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.e2e.world import World


def age(world: World, days: int) -> None:
    """Make every record older by so many days, and every mark."""
    with closing(sqlite3.connect(world.folder / "state/backupman.db")) as store, store:
        for table, column in (("backups", "created_at"), ("drive_files", "trashed_at")):
            older = f"update backupman_{table} set {column} = datetime({column}, ?) || '.000000'"
            store.execute(older, (f"{-days} days",))


def test_old_copies_go_with_their_records_and_sidecars(world: World) -> None:
    world.config["retention"] = {"enabled": True, "by": "age", "value": 7}
    assert world.run("run").code == 0
    age(world, 10)
    assert world.run("run").code == 0
    (kept,) = world.backups()
    name = Path(kept["DriveFiles"][0]["Path"]).name
    assert world.litter(world.drive) == ["app/RESTORE.txt", f"app/{name}", f"app/{name}.json"]


def test_the_last_finished_copy_stays_however_old_while_newer_backups_fail(world: World) -> None:
    world.config["retention"] = {"by": "age", "value": 7}
    assert world.run("run").code == 0
    before = world.objects()
    (world.folder / "app.db").rename(world.folder / "away.db")
    for _ in range(2):
        age(world, 10)
        assert world.run("run").code == 1
    assert world.objects() == before
    assert [backup["Status"] for backup in world.backups()] == ["failed", "failed", "finished"]


def test_an_object_that_cannot_be_deleted_stops_no_other_and_is_said(world: World) -> None:
    world.config |= {"retention": {"by": "age", "value": 7}, "on_error": ["echo {error} >> errors.txt"]}
    for _ in range(3):
        assert world.run("run").code == 0
    newer, stuck, older = (Path(backup["DriveFiles"][0]["Path"]) for backup in world.backups())
    stuck.unlink()
    stuck.mkdir()
    (stuck / "something").touch()
    age(world, 10)
    ended = world.run("run")
    assert ended.code == 1
    assert stuck.name in ended.err
    assert not newer.exists() and not older.exists()
    assert {Path(backup["DriveFiles"][0]["Path"]).name for backup in world.backups()} >= {stuck.name}
    assert len(world.backups()) == 2
    assert stuck.name in (world.folder / "errors.txt").read_text()


def test_nothing_is_removed_without_a_rule(world: World) -> None:
    assert world.run("run").code == 0
    age(world, 10_000)
    assert world.run("run").code == 0
    assert len(world.objects()) == 2
