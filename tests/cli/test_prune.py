"""`prune`, `pin` and `unpin` as a user types them: shown first, done then, undone while there is time."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backupman.engine.locks import source_lock
from backupman.records import Event, Restore
from backupman.store import Store
from tests.e2e.test_retention import age
from tests.e2e.world import World


@pytest.fixture
def aged(world: World) -> World:
    """Four backups, of today, yesterday and the days before."""
    for _ in range(3):
        assert world.run("run", "-q").code == 0
        age(world, 1)
    assert world.run("run", "-q").code == 0
    return world


def planned(world: World, *words: str) -> list[tuple[str, str]]:
    """What `prune --json` says: action and reason, the newest first."""
    ended = world.run("prune", "--json", *words)
    return [(step["Action"], step["Reason"]) for step in json.loads(ended.out)["Results"]]


def test_a_dry_run_shows_everything_and_removes_nothing(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 2}
    before = aged.litter(aged.drive)
    ended = aged.run("prune", "--dry-run")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].split() == ["LABEL", "DRIVE", "BEGAN", "SIZE", "WHAT", "WHY"]
    assert [line.rstrip().split("  ")[-1] for line in lines[1:]] == [
        "the newest",
        "last 2 of 2",
        "no rule keeps it",
        "no rule keeps it",
    ]
    assert aged.litter(aged.drive) == before
    assert len(aged.backups()) == 4


def test_what_goes_is_removed_with_record_and_sidecar_and_told(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 2}
    aged.config["notifiers"]["webhook"]["endpoints"][0]["events"] = ["prune_report"]
    ended = aged.run("prune")
    assert ended.code == 0
    assert ended.out.count("✗ delete") == 2
    assert len(aged.backups()) == 2
    assert len(aged.litter(aged.drive)) == 5  # and RESTORE.txt
    assert aged.run("prune").out == "Nothing is to be removed: 2 copies.\n"
    told = [json.loads(request.body) for request in aged.receiver.requests]
    [first] = [each["Payload"] for each in told if each["Event"] == "prune_report"]
    assert (first["Deleted"], first["Marked"], first["Failed"]) == (2, 0, 0)
    assert (first["Label"], first["Kept"], len(first["Copies"])) == ("App", 2, 2)
    assert first["Freed"] == sum(copy["Size"] for copy in first["Copies"])
    assert first["Reason"].startswith("App: 2 old copies deleted (")


def test_the_trash_gives_time_to_think(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 2, "trash_for": "2d"}
    ended = aged.run("prune")
    assert ended.out.count("… mark") == 2
    assert len(aged.objects()) == 4
    assert aged.run("prune").out == "Nothing is to be removed: 4 copies, 2 of them in the trash.\n"
    oldest = aged.backups()[-1]["Id"]
    assert "Trash" in aged.run("show", oldest).out
    assert aged.run("pin", oldest[:8]).code == 0
    shown = aged.run("show", oldest).out
    assert "Trash" not in shown
    assert "for ever" in shown
    age(aged, 3)
    assert [action for action, _ in planned(aged)] == ["keep", "keep", "delete", "keep"]
    assert len(aged.objects()) == 3
    assert aged.run("unpin", oldest[:8]).code == 0
    assert [action for action, _ in planned(aged, "--dry-run")] == ["keep", "keep", "mark"]


def test_a_rule_that_keeps_it_again_takes_it_out_of_the_trash(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 2, "trash_for": "2d"}
    aged.run("prune")
    aged.config["retention"] = {"keep_last": 4, "trash_for": "2d"}
    aged.run("prune")
    assert not any(file["TrashedAt"] for backup in aged.backups() for file in backup["DriveFiles"])


def test_a_drive_has_rules_of_its_own(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 1}
    aged.config["drives"][0]["retention"] = {"keep_daily": 3}
    assert [action for action, _ in planned(aged, "--dry-run")] == ["keep", "keep", "keep", "delete"]
    aged.config["drives"][0]["retention"] = {"enabled": False}
    assert aged.run("prune").err == (
        "Error: no retention is configured: nothing is ever removed; see `retention` in the config\n"
    )


def test_nothing_goes_while_newer_backups_fail(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 1}
    (aged.folder / "app.db").rename(aged.folder / "away.db")
    assert aged.run("run", "-q").code == 1
    assert planned(aged) == [("keep", "the newest"), *[("keep", "newer backups keep failing")] * 3]
    assert len(aged.objects()) == 4


def test_nothing_goes_while_backups_fail_that_are_older_than_one_of_a_clock_that_was_ahead(world: World) -> None:
    assert world.run("run", "-q").code == 0
    age(world, -400)
    world.config["retention"] = {"enabled": False}
    for _ in range(2):
        assert world.run("run", "-q").code == 0
    world.config["retention"] = {"keep_last": 1}
    (world.folder / "app.db").rename(world.folder / "away.db")
    assert world.run("run", "-q").code == 1
    reasons = ["its time lies ahead", "the newest", "newer backups keep failing"]
    assert planned(world) == [("keep", reason) for reason in reasons]


def test_what_cannot_be_deleted_is_said_and_stays_on_record(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 2}
    stuck = Path(aged.backups()[-1]["DriveFiles"][0]["Path"])
    stuck.unlink()
    stuck.mkdir()
    (stuck / "something").touch()
    ended = aged.run("prune")
    assert ended.code == 1
    assert "✗ not deleted" in ended.out
    assert f"✗ retention could not remove {stuck}" in ended.err
    assert len(aged.backups()) == 3


def test_no_record_goes_while_another_disk_stands_in_the_place_of_the_drive(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 2}
    away = aged.drive.rename(aged.folder / "away")
    aged.drive.mkdir()
    ended = aged.run("prune")
    assert ended.code == 1
    assert "Disk holds none of what is to be removed (2 on record), so nothing was: is its disk mounted?" in ended.err
    assert len(aged.backups()) == 4
    aged.drive.rmdir()
    away.rename(aged.drive)
    Path(aged.backups()[-1]["DriveFiles"][0]["Path"]).unlink()  # one that somebody has removed by hand
    assert aged.run("prune").code == 0
    assert len(aged.backups()) == 2


def test_the_newest_copy_does_not_make_another_disk_the_right_one(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 2}
    aged.drive.rename(aged.folder / "away")
    aged.drive.mkdir()
    ended = aged.run("run")
    assert "retention on Disk failed: Disk holds none of what is to be removed (3 on record)" in ended.err
    assert len(aged.backups()) == 5


def test_no_copy_goes_while_none_is_there_of_those_that_are_to_stay(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 2}
    newest, second, *_ = (Path(backup["DriveFiles"][0]["Path"]) for backup in aged.backups())
    newest.unlink()
    second.write_bytes(b"cut")
    ended = aged.run("prune")
    assert ended.code == 1
    assert ended.out.count("✗ not deleted") == 2
    assert ended.err.count("✗ retention could not remove") == 1
    assert (
        "Disk holds none of the copies of App that are to stay (2 on record), so no other was removed: `backupman "
        "reconcile --drive 'Disk'` says what is gone" in " ".join(ended.err.split())
    )
    assert (len(aged.objects()), len(aged.backups())) == (3, 4)
    assert aged.run("run").code == 0
    assert len(aged.backups()) == 2


def test_no_proved_copy_goes_while_none_is_there_of_the_proved_ones_that_are_to_stay(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 1}
    backups = aged.backups()
    with closing(sqlite3.connect(aged.folder / "state/backupman.db")) as store, store:
        proving = "update backupman_drive_files set proved_at = created_at where backup_id in (?, ?)"
        store.execute(proving, [backup["Id"] for backup in backups[1:3]])
    _, proved, older, _ = (Path(backup["DriveFiles"][0]["Path"]) for backup in backups)
    proved.unlink()
    ended = aged.run("prune")
    assert ended.code == 1
    assert "Disk holds none of the proved copies of App that are to stay (1 on record)" in " ".join(ended.err.split())
    assert older.exists()
    assert len(aged.objects()) == 2, "what was never proved goes"


def test_a_source_that_is_being_backed_up_is_busy(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 2}
    with source_lock(aged.folder / "state", "App", wait=False):
        ended = aged.run("prune")
        assert planned(aged, "--dry-run")
    assert ended.code == 3
    assert "App is being backed up already" in ended.err
    assert len(aged.objects()) == 4


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["prune", "--job", "nightyl"], "there is no job 'nightyl'"),
        (["prune", "--source", "Ap"], "there is no source 'Ap'; did you mean 'App'?"),
        (["pin", "latest", "--until", "soon"], "--until: 'soon' is no time: write for example 90d or 2027-01-31"),
        (["pin", "latest", "--until", "2020-01-01"], "--until: 2020-01-01 is over already"),
        (["pin", "ffffffff"], "there is no backup"),
    ],
)
def test_what_is_not_there_is_said(world: World, words: list[str], why: str) -> None:
    world.config["retention"] = {"keep_last": 2}
    ended = world.run(*words)
    assert ended.code != 0
    assert why in ended.err


def test_a_copy_that_is_being_restored_stays(aged: World) -> None:
    aged.config["retention"] = {"keep_last": 1}
    oldest = aged.backups()[-1]["Id"]
    store = Store.open(f"sqlite:///{aged.folder}/state/backupman.db")
    restore = Restore(
        backup_id=oldest, label="App", instance="test-host", source="App", database="app", target="app.db"
    )
    event = Event(kind="restore_start", instance="test-host", job="default", payload={})
    store.restores.begin(restore, lambda begun: (event, []))
    store.close()
    assert planned(aged, "--dry-run")[-1] == ("keep", "it is being restored")


def test_each_drive_loses_its_own_copies(world: World) -> None:
    second = world.folder / "second"
    world.config["drives"].append({"provider": "local", "label": "Second", "folder": str(second)})
    second.mkdir()
    for _ in range(3):
        assert world.run("run", "-q").code == 0
        age(world, 1)
    world.config["retention"] = {"keep_last": 1}
    world.config["drives"][1]["retention"] = {"keep_last": 2}
    assert world.run("prune", "-q").code == 0
    held = {folder: sorted(path.name for path in folder.rglob("backup-*.gz")) for folder in (world.drive, second)}
    assert [len(names) for names in held.values()] == [1, 2]
    on_record = {(file["Label"], Path(file["Path"]).name) for each in world.backups() for file in each["DriveFiles"]}
    assert on_record == {("Disk", name) for name in held[world.drive]} | {("Second", name) for name in held[second]}
