"""`doctor`: whether there are good backups, and copies that somebody has looked at."""

import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backupman.records import Status
from backupman.sources._landlock import kept_to
from backupman.store import Store
from tests.cli.conftest import Inside
from tests.cli.test_doctor import cared_for, config_of, findings, synchronized, write
from tests.e2e.world import World
from tests.servers import unavailable
from tests.servers._process import free_port
from tests.store.conftest import a_backup

__all__ = ["cared_for", "synchronized"]


def test_a_copy_that_is_not_right_is_a_problem(cared_for: World, inside: Inside) -> None:
    assert inside("run").code == 0
    copy = Path(cared_for.backups()[0]["DriveFiles"][0]["Path"])
    copy.write_bytes(copy.read_bytes() + b"x")
    assert inside("verify", "latest").code == 1
    said = dict(each[1:] for each in findings(inside, "problem") if each[0] == "proofs")
    new_one = "no copy of that backup is good: make a new one by `backupman run --source App`"
    assert re.fullmatch(rf"the copy of .* on Disk is not right: .* bytes, and [^;]*; {new_one}", said["App"])
    assert "1 of 1, 1 bad" in inside("list").out


def test_all_copies_that_are_not_right_are_named_and_what_helps(cared_for: World, inside: Inside) -> None:
    cared_for.config["drives"].append({"provider": "local", "label": "Away", "folder": "away"})
    write(cared_for)
    assert inside("run").code == 0
    for drive, marked in (("Disk", "2 of 2, 1 bad"), ("Away", "2 of 2, 2 bad")):
        [file] = [file for file in cared_for.backups()[0]["DriveFiles"] if file["Label"] == drive]
        (cared_for.folder / file["Path"]).write_bytes(b"x")
        assert inside("verify", "latest").code == 1
        [table] = [line for line in inside("list").out.splitlines() if "finished" in line]
        assert marked in table
        said = dict(each[1:] for each in findings(inside, "problem") if each[0] == "proofs")["App"]
        if drive == "Disk":
            assert re.match(r"the copy of .* on Disk is not right: ", said)
            assert said.endswith("; `backupman reconcile --fix` copies it anew from a drive that has a good one")
    assert re.match(r"the copies of .* on Disk and Away are not right: ", said)
    assert said.endswith("; no copy of that backup is good: make a new one by `backupman run --source App`")
    bad = cared_for.backups()[0]["Id"][:8]
    assert inside("run", "--source", "App").code == 0
    said = dict(each[1:] for each in findings(inside, "problem") if each[0] == "proofs")["App"]
    assert said.endswith(f"; no copy of that backup is good, and a newer one is there: `backupman delete {bad}`")
    assert inside("delete", bad, "--yes").code == 0
    assert "App" not in dict(each[1:] for each in findings(inside, "problem") if each[0] == "proofs")


def test_a_backup_that_only_fails_and_one_that_nobody_read(cared_for: World, inside: Inside) -> None:
    (cared_for.folder / "app.db").rename(cared_for.folder / "away.db")
    assert inside("run").code == 1
    assert ("proofs", "App") in {each[:2] for each in findings(inside, "problem")}
    (cared_for.folder / "away.db").rename(cared_for.folder / "app.db")
    assert inside("run").code == 0
    said = dict(each[1:] for each in findings(inside, "advice") if each[0] == "proofs")
    assert said["App"].startswith("no copy of it was ever read back")
    assert inside("verify", "latest").code == 0
    said = dict(each[1:] for each in findings(inside, "advice") if each[0] == "proofs")
    assert said["App"].startswith("no drill has ever restored it")


def test_a_database_that_was_mistyped_once_is_no_problem_any_more(cared_for: World, inside: Inside) -> None:
    server = {"provider": "postgres", "label": "Shop", "host": "127.0.0.1", "port": free_port(), "user": "backup"}
    for name in ("shp", "shop"):
        cared_for.config["data_sources"] = [server | {"db_name": name}]
        write(cared_for)
        assert inside("run").code == 1
        problems = [each[1] for each in findings(inside, "problem") if each[0] == "proofs"]
        assert problems == ["Shop"], "of the name that the config holds now, and of no other"


def test_a_kernel_that_cannot_close_a_drill_off(
    cared_for: World, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> list[str]:
        return [sentence for area, about, sentence in findings(inside, "advice") if (area, about) == ("proofs", "")]

    shop = {"provider": "postgres", "label": "Shop", "port": free_port(), "db_name": "shop"}
    drills = shop | {"label": "Drills", "db_name": "postgres"}
    cared_for.config["data_sources"].append(shop)
    write(cared_for)
    with kept_to(cared_for.folder) as restrict:
        if restrict is None:
            unavailable("landlock", "the kernel has no Landlock")
    assert said() == []
    monkeypatch.setattr("backupman.sources._landlock._CREATE_RULESET", 4095)  # a call that no kernel knows
    [sentence] = said()
    assert "no Landlock" in sentence and "scratch_server" in sentence
    cared_for.config |= {"data_sources": [shop | {"scratch_server": "Drills"}], "scratch_servers": [drills]}
    write(cared_for)
    assert said() == [], "it makes no server of its own"


def blog(world: World) -> None:
    """Let all databases of a server be backed up that is not there."""
    server = {"provider": "mysql", "label": "Blog", "host": "127.0.0.1", "port": free_port(), "databases": "all"}
    world.config["data_sources"] = [server | {"user": "backup", "password": "x", "tls": False}]
    write(world)


def record(world: World, hours: int, database: str, status: Status, trigger: str = "schedule") -> None:
    """A backup of it that began so many hours ago, and ended half an hour later."""
    began = datetime.now(UTC) - timedelta(hours=hours)
    about = {"label": "Blog", "source": "Blog", "database": database, "instance": config_of(world).instance}
    backup = a_backup(status=status, created_at=began, finished_at=began + timedelta(minutes=30), trigger=trigger)
    for name, value in about.items():
        setattr(backup, name, value)
    with closing(Store.open(config_of(world).database.address(world.folder / "state"))) as store:
        store.backups.begin(backup, [])


def test_one_look_at_a_server_in_vain_is_no_database_without_a_backup(cared_for: World, inside: Inside) -> None:
    blog(cared_for)

    def ended(hours: int, database: str, status: Status) -> None:
        record(cared_for, hours, database, status)

    def said() -> dict[str, str]:
        return dict(each[1:] for each in findings(inside, "problem") if each[0] == "proofs")

    ended(9, "", Status.FAILED)
    assert said() == {"Blog": "it has no good backup: see `backupman list`"}
    ended(8, "orders", Status.FINISHED)
    assert said() == {}
    ended(7, "", Status.FAILED)
    assert said() == {"Blog": "its last run has failed before its databases were known: see `backupman list`"}
    ended(6, "orders", Status.FINISHED)
    assert said() == {}


def test_a_database_that_only_failed_and_is_not_there_any_more_is_no_problem(cared_for: World, inside: Inside) -> None:
    blog(cared_for)

    def said() -> dict[str, str]:
        return dict(each[1:] for each in findings(inside, "problem") if each[0] == "proofs")

    broken = {"Blog/broken": "it has no good backup: see `backupman list`"}
    record(cared_for, 9, "broken", Status.FAILED)
    record(cared_for, 9, "orders", Status.FINISHED)
    assert said() == broken, "both are of one run"
    record(cared_for, 8, "orders", Status.FINISHED, trigger="retry")
    assert said() == broken, "a retry looks for no others"
    record(cared_for, 7, "", Status.FAILED)
    assert "Blog/broken" in said(), "a run that failed before its databases were known has seen none"
    record(cared_for, 6, "orders", Status.FINISHED)
    assert said() == {}
    record(cared_for, 5, "broken", Status.FAILED)
    assert said() == broken, "it is there again"
