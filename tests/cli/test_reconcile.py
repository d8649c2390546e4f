"""`reconcile` as a user types it: what is told, what is put right, what is never touched, and a catalogue made anew."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyrage
import pytest
import yaml

from backupman.store import Store
from tests.cli.conftest import Inside

DRIVES = ("Disk", "Away")


@pytest.fixture
def world(tmp_path: Path, inside: Inside) -> dict[str, Any]:
    """A config with two drives and one backup on both."""
    with closing(sqlite3.connect(tmp_path / "app.db")) as database, database:
        database.execute("create table users (name text)")
        database.execute("insert into users values ('Ada')")
    made: dict[str, Any] = {
        "instance": "here",
        "state_folder": str(tmp_path / "state"),
        "data_sources": [{"provider": "sqlite", "label": "App", "db_path": str(tmp_path / "app.db")}],
        "drives": [{"provider": "local", "label": label, "folder": str(tmp_path / label)} for label in DRIVES],
        "retry": {"attempts": 1},
        "spool": {"min_free": "1MiB"},
    }
    write(tmp_path, made)
    assert inside("run", "-q").code == 0
    return made


def write(folder: Path, config: dict[str, Any]) -> None:
    (folder / "config.yml").write_text(yaml.safe_dump(config))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def the_object(drive: Path) -> Path:
    [path] = drive.glob("app/*.gz")
    return path


def reconciled(inside: Inside, *words: str, code: int) -> list[dict[str, Any]]:
    """What `reconcile --json` says of each drive."""
    ended = inside("reconcile", "--json", *words)
    assert ended.code == code, ended.err
    results: list[dict[str, Any]] = json.loads(ended.out)["Results"]
    return results


def findings(result: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(each["Finding"], each["Mended"] is not None) for each in result["Objects"]]


def events(folder: Path) -> list[dict[str, Any]]:
    store = Store.open(f"sqlite:///{folder}/state/backupman.db")
    told = [event.payload for event in store.outbox.events(kind="reconcile_report")]
    store.close()
    return told


def test_where_all_is_right_nothing_is_told(world: dict[str, Any], inside: Inside, tmp_path: Path) -> None:
    ended = inside("reconcile")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == ["✓ Disk: 1 copy is as recorded", "✓ Away: 1 copy is as recorded"]
    assert inside("reconcile", "-q").out == ""


@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_a_bad_copy_is_told_and_then_copied_anew_from_the_other_drive(
    world: dict[str, Any], inside: Inside, tmp_path: Path, damage: str
) -> None:
    before = files(tmp_path / "Away")
    path = the_object(tmp_path / "Disk")
    path.unlink()
    if damage == "altered":
        path.write_bytes(b"cut off")
    ended = inside("reconcile", "--drive", "Disk")
    assert ended.code == 1
    assert damage in ended.out
    assert ended.err == "Put right what can be: backupman reconcile --fix\n"
    [result] = reconciled(inside, "--drive", "Disk", "--fix", code=0)
    assert (findings(result), result["Mended"], result["Failed"], result["Right"]) == ([(damage, True)], 1, 0, 1)
    assert result["Objects"][0]["Mended"] == "it was copied from another drive"
    assert files(tmp_path / "Disk") == before
    assert reconciled(inside, code=0)[0]["Objects"] == []


def test_what_verify_has_found_is_mended_and_a_bad_copy_is_never_taken_for_good(
    world: dict[str, Any], inside: Inside, tmp_path: Path
) -> None:
    good = files(tmp_path / "Away")
    for drive in DRIVES:
        path = the_object(tmp_path / drive)
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert inside("verify", "latest").code == 1
    damaged = files(tmp_path / "Away")
    [disk, _] = reconciled(inside, "--fix", code=1)
    assert findings(disk) == [("altered", False)]
    assert "damaged too" in disk["Objects"][0]["Error"]
    assert (files(tmp_path / "Disk"), files(tmp_path / "Away")) == (damaged, damaged)
    the_object(tmp_path / "Away").write_bytes(good[str(the_object(tmp_path / "Away").relative_to(tmp_path / "Away"))])
    [disk, away] = reconciled(inside, "--fix", code=0)
    assert findings(disk) == [("altered", True)]
    assert away["Objects"][0]["Mended"] == "it was read, and is what was stored"
    assert files(tmp_path / "Disk") == good


def test_a_sidecar_that_is_gone_is_written_again(world: dict[str, Any], inside: Inside, tmp_path: Path) -> None:
    before = json.loads(Path(f"{the_object(tmp_path / 'Disk')}.json").read_text())
    Path(f"{the_object(tmp_path / 'Disk')}.json").unlink()
    [result] = reconciled(inside, "--drive", "Disk", "--fix", code=0)
    assert findings(result) == [("bare", True)]
    after = json.loads(Path(f"{the_object(tmp_path / 'Disk')}.json").read_text())
    assert after | {"DumpedAt": ""} == before | {"DumpedAt": ""}


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_whole_catalogue_is_made_anew_from_the_drives_alone(
    world: dict[str, Any], inside: Inside, tmp_path: Path, encrypted: bool
) -> None:
    if encrypted:
        key = pyrage.x25519.Identity.generate()
        write(tmp_path, world | {"pipeline": {"encryption": {"recipients": [str(key.to_public())]}}})
    assert inside("run", "-q").code == 0
    before = json.loads(inside("list", "--json").out)["Results"]
    stored = [files(tmp_path / drive) for drive in DRIVES]
    shutil.rmtree(tmp_path / "state")
    assert inside("list", "--json").out == '{\n  "Results": []\n}\n'
    results = reconciled(inside, code=1)
    assert [findings(result) for result in results] == [[("orphaned", False)] * 2] * 2
    results = reconciled(inside, "--fix", code=0)
    assert [findings(result) for result in results] == [[("orphaned", True)] * 2] * 2
    after = json.loads(inside("list", "--json").out)["Results"]
    order = [each["Id"] for each in before]  # both began in one second, and a sidecar tells no less
    after.sort(key=lambda each: order.index(each["Id"]))
    same = ("Id", "Status", "Label", "Job", "Source", "Database", "SourceProvider", "Instance", "StoredSize", "Sha256")
    assert [{key: each[key] for key in same} for each in after] == [{key: each[key] for key in same} for each in before]
    assert [[file["Label"] for file in each["DriveFiles"]] for each in after] == [list(DRIVES)] * 2
    assert after[1]["Size"] == before[1]["Size"]
    assert after[0]["Size"] == (None if encrypted else before[0]["Size"])
    assert [files(tmp_path / drive) for drive in DRIVES] == stored
    assert json.loads(inside("show", after[1]["Id"], "--json").out)["Manifest"]["Tables"][0]["Rows"] == 1
    assert reconciled(inside, code=0)[0]["Right"] == 2
    assert inside("verify", "--all", "-q").code == 0
    assert [(event["Drive"], event["Orphaned"], event["Mended"]) for event in events(tmp_path)] == [
        *([("Away", 2, 2), ("Disk", 2, 2), ("Away", 2, 0), ("Disk", 2, 0)]),
    ]


def test_what_is_anothers_is_adopted_only_by_its_name_and_never_removed(
    world: dict[str, Any], inside: Inside, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "state")
    write(tmp_path, world | {"instance": "there"})
    (tmp_path / "Disk" / "photo.jpg").write_bytes(b"jpg")
    (tmp_path / "Disk" / "app" / "backup-20261121010000-0a0b0c0d.sqlite.gz").write_bytes(b"whose?")
    before = files(tmp_path / "Disk")
    [result] = reconciled(inside, "--drive", "Disk", "--fix", code=0)
    assert (result["Foreign"], result["Unclaimed"], findings(result)) == (2, 1, [("unclaimed", False)])
    assert events(tmp_path) == []
    shown = inside("reconcile", "--drive", "Disk").out
    assert "'here'" in shown
    assert "no sidecar says whose it is" in shown
    [result] = reconciled(inside, "--drive", "Disk", "--fix", "--adopt", "here", code=0)
    assert (result["Orphaned"], result["Mended"], result["Foreign"]) == (1, 1, 1)
    [adopted] = json.loads(inside("list", "--json").out)["Results"]
    assert (adopted["Instance"], adopted["Status"]) == ("there", "finished")
    assert files(tmp_path / "Disk") == before


def test_where_there_is_only_what_another_instance_left_both_ways_to_it_are_named(
    world: dict[str, Any], inside: Inside, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "state")
    write(tmp_path, world | {"instance": "there"})
    said = (
        "Nothing there is of there, and of here there are 2 objects. If this host takes the place of here, set "
        "`instance: here` in the config; if here is no more, take them over: backupman reconcile --fix --adopt here\n"
    )
    for words in ((), ("--fix",)):
        ended = inside("reconcile", *words)
        assert (ended.code, ended.err) == (0, said)
    assert inside("reconcile", "-q").err == ""
    refused = inside("restore", "latest", "--source", "App", "-o", "back.sqlite")
    assert refused.code == 2
    assert (
        "no backup of App with a copy is on record here: see `backupman list`, and `backupman reconcile` for what"
        in (refused.err)
    )
    assert inside("reconcile", "--fix", "--adopt", "here").err == ""
    assert inside("reconcile").err == ""


def test_a_drive_that_is_away_is_no_drive_whose_copies_are_gone(
    world: dict[str, Any], inside: Inside, tmp_path: Path
) -> None:
    (tmp_path / "Disk").rename(tmp_path / "unplugged")
    [disk, away] = reconciled(inside, "--fix", code=1)
    assert "is not there" in disk["Error"]
    assert (disk["Missing"], disk["Objects"], away["Right"], away["Error"]) == (0, [], 1, None)
    assert len(json.loads(inside("list", "--json").out)["Results"][0]["DriveFiles"]) == 2


def test_what_a_dead_upload_has_left_goes_by_its_recorded_name_alone(
    world: dict[str, Any], inside: Inside, tmp_path: Path
) -> None:
    path = the_object(tmp_path / "Disk")
    neighbour = path.with_name("backup-20261121010000-0a0b0c0d.sqlite.gz")
    neighbour.write_bytes(b"another's")
    Path(f"{path}.json").unlink()
    path.write_bytes(b"half")
    with closing(sqlite3.connect(tmp_path / "state/backupman.db")) as store, store:
        store.execute("update backupman_backups set status = 'failed', dump_status = 'failed'")
        store.execute("update backupman_drive_files set status = 'failed', session = 'x' where label = 'Disk'")
    [result] = reconciled(inside, "--drive", "Disk", code=1)
    assert sorted(findings(result)) == [("leftover", False), ("unclaimed", False)]
    [result] = reconciled(inside, "--drive", "Disk", "--fix", code=0)
    assert sorted(findings(result)) == [("leftover", True), ("unclaimed", False)]
    left = {name: data for name, data in files(tmp_path / "Disk").items() if not name.endswith("RESTORE.txt")}
    assert left == {f"app/{neighbour.name}": b"another's"}
    assert reconciled(inside, "--drive", "Disk", code=0)[0]["Leftover"] == 0


def test_an_upload_that_was_whole_after_all_is_taken_as_finished(
    world: dict[str, Any], inside: Inside, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "state/backupman.db")) as store, store:
        store.execute("update backupman_backups set status = 'failed'")
        store.execute("update backupman_drive_files set status = 'failed', ref = null where label = 'Disk'")
    [result] = reconciled(inside, "--drive", "Disk", "--fix", code=0)
    assert findings(result) == [("leftover", True)]
    [backup] = json.loads(inside("list", "--json").out)["Results"]
    assert (backup["Status"], [file["Status"] for file in backup["DriveFiles"]]) == ("finished", ["finished"] * 2)


@pytest.mark.parametrize("required", [False, True])
def test_a_copy_that_never_got_there_is_told_and_copied_from_another_drive(
    world: dict[str, Any], inside: Inside, tmp_path: Path, required: bool
) -> None:
    world["drives"][1] |= {"required": required, "bandwidth": "1GiB"}
    write(tmp_path, world)
    (tmp_path / "Away").rename(tmp_path / "unplugged")
    (tmp_path / "Away").touch()
    assert inside("run", "-q").code == int(required)
    (tmp_path / "Away").unlink()
    (tmp_path / "unplugged").rename(tmp_path / "Away")
    assert reconciled(inside, code=0)[1]["Objects"] == [], "its dump waits for a retry"
    with closing(sqlite3.connect(tmp_path / "state/backupman.db")) as store, store:
        store.execute("update backupman_backups set dump_path = null")  # as once it was kept long enough
    retried = inside("retry", "latest")
    assert (retried.code == 0, "`backupman reconcile --drive 'Away' --fix`" in retried.err) == (False, True)
    write(tmp_path, world | {"jobs": [{"label": "default", "drives": ["Disk"]}]})
    assert reconciled(inside, code=0)[1]["Objects"] == [], "the job puts nothing there any more"
    write(tmp_path, world | {"drives": [world["drives"][1]]})
    assert reconciled(inside, code=0)[0]["Objects"] == [], "the drive that has it is not in the config any more"
    write(tmp_path, world)
    ended = inside("reconcile", "--drive", "Away")
    assert (ended.code, ended.err) == (0, "Put right what can be: backupman reconcile --fix\n")
    assert ended.out.startswith("✓ Away: 1 copy is as recorded; of 1 more the upload has failed\n")
    shutil.rmtree(tmp_path / "state/bandwidth", ignore_errors=True)
    [away] = reconciled(inside, "--drive", "Away", "--fix", code=0)
    assert (findings(away), away["Right"]) == ([("absent", True)], 2)
    assert away["Reason"] == "Away: 2 copies are as recorded; 1 put right now"
    assert (tmp_path / "state/bandwidth/away").exists(), "the drive's pace was kept"
    objects = [{path.name: path.read_bytes() for path in (tmp_path / drive).glob("app/*.gz")} for drive in DRIVES]
    assert objects[0] == objects[1]
    newest = json.loads(inside("list", "--json").out)["Results"][0]
    assert (newest["Status"], [file["Status"] for file in newest["DriveFiles"]]) == ("finished", ["finished"] * 2)
    assert reconciled(inside, code=0)[1]["Objects"] == []


def test_the_table_fits_eighty_columns(
    world: dict[str, Any], inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    the_object(tmp_path / "Disk").unlink()
    said = inside("reconcile", "--drive", "Disk").out
    assert max(map(len, said.splitlines())) <= 80
    assert "✗ missing" in said
