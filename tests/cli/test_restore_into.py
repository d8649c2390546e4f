"""`backupman restore` into databases: a new one unless it is confirmed otherwise, on record, and told."""

import io
import re
import shlex
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Inside
from tests.e2e.world import Ended
from tests.pages import ROOT, Page


class Keyboard(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def made(tmp_path: Path, config: dict[str, Any], inside: Inside) -> dict[str, Any]:
    """A config with a backup of a database of two names, onto two drives, one name of which is gone since."""
    with closing(sqlite3.connect(tmp_path / "app.db")) as database, database:
        database.execute("create table users (name text)")
        database.executemany("insert into users values (?)", [("Ada",), ("Grace",)])
    config["drives"].append({"provider": "local", "label": "Other", "folder": "other"})
    config["data_sources"].append({"provider": "command", "label": "Cmd", "argv": ["seq", "9"]})
    config["spool"] = {"min_free": "1MiB"}
    write(tmp_path, config)
    assert inside("run", "-q").code == 0
    with closing(sqlite3.connect(tmp_path / "app.db")) as database, database:
        database.execute("delete from users where name = 'Ada'")
    return config


def write(folder: Path, config: dict[str, Any]) -> None:
    (folder / "config.yml").write_text(yaml.safe_dump(config))


def names_in(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        return [name for (name,) in database.execute("select name from users order by 1")]


def stored(folder: Path, drive: str) -> Path:
    """The object of App on a drive."""
    [found] = [path for path in (folder / drive / "app").iterdir() if path.suffix == ".gz"]
    return found


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def refused(ended: Ended, *words: str, code: int) -> None:
    assert ended.code == code, ended.err
    assert ended.err.count("Error: ") == 1
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err


def databases(folder: Path) -> list[str]:
    """Every file that is there beside the config, the state and the drives."""
    return sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != "config.yml")


def records(inside: Inside) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = inside("restores", "--json").json["Results"]
    return found


def told(inside: Inside) -> list[str]:
    """The kinds of what was told of restores, the oldest first."""
    events = inside("events", "list", "--json").json["Results"]
    return [event["Event"] for event in reversed(events) if event["Event"].startswith("restore")]


def test_without_a_name_it_is_a_new_database_beside_the_old_one(tmp_path: Path, made: Any, inside: Inside) -> None:
    ended = inside("restore", "latest", "--source", "App")
    assert ended.code == 0, ended.err
    [new] = [name for name in databases(tmp_path) if "_restored_" in name]
    assert names_in(tmp_path / new) == ["Ada", "Grace"]
    assert names_in(tmp_path / "app.db") == ["Grace"]
    assert f"restored into {tmp_path / new}" in ended.err
    [record] = records(inside)
    about = {"Status": "finished", "Target": str(tmp_path / new), "Drive": "Disk", "Label": "App", "Error": None}
    assert record.items() >= about.items()
    assert record["Size"] == (tmp_path / new).stat().st_size
    assert told(inside) == ["restore_start", "restore_success"]
    assert f"✓ finished  {record['BackupId'][:8]} App" in inside("restores").out
    assert f"into {tmp_path / new}" in inside("show", record["BackupId"]).out
    assert list((tmp_path / "state/spool").iterdir()) == []


def test_what_is_there_is_never_touched_unasked(tmp_path: Path, made: Any, inside: Inside) -> None:
    refused(inside("restore", "latest", "--source", "App", "--to-database", "app"), "is there already", code=1)
    assert names_in(tmp_path / "app.db") == ["Grace"]
    [record] = records(inside)
    assert record["Status"] == "failed"
    assert "is there already" in record["Error"]
    assert told(inside) == ["restore_start", "restore_failure"]


def test_a_replacement_is_confirmed_by_its_name(
    tmp_path: Path, made: Any, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = ("restore", "latest", "--source", "App", "--clean")
    refused(inside(*clean), f"this replaces the file {tmp_path}/app.db: say --yes if that is meant", code=2)
    monkeypatch.setattr(sys, "stdin", Keyboard("yes\n"))
    refused(inside(*clean), "'yes' is not", "nothing was done", code=2)
    assert names_in(tmp_path / "app.db") == ["Grace"]
    assert records(inside) == []
    monkeypatch.setattr(sys, "stdin", Keyboard(f"{tmp_path}/app.db\n"))
    ended = inside(*clean)
    assert ended.code == 0, ended.err
    assert f"This replaces the file {tmp_path}/app.db." in ended.err
    assert names_in(tmp_path / "app.db") == ["Ada", "Grace"]
    assert databases(tmp_path) == ["app.db"]


@pytest.mark.parametrize("option", ["--url", "--to-source", "--to-database", "--output"])
def test_a_place_from_a_variable_that_is_unset_is_not_the_original(
    option: str, tmp_path: Path, made: Any, inside: Inside
) -> None:
    ended = inside("restore", "latest", "--source", "App", "--clean", "--yes", option, "")
    refused(ended, f"{option} is empty: see that the variable that it was to hold is set, or leave it out", code=2)
    assert names_in(tmp_path / "app.db") == ["Grace"]


def test_nothing_is_replaced_by_what_is_damaged(tmp_path: Path, made: Any, inside: Inside) -> None:
    for drive in ("drive", "other"):
        flip(stored(tmp_path, drive))
    ended = inside("restore", "latest", "--source", "App", "--clean", "--yes")
    refused(ended, "App: no copy can be restored: Disk: ", "; Other: ", code=1)
    assert names_in(tmp_path / "app.db") == ["Grace"]
    ended = inside("restore", "latest", "--source", "App", "--to-database", "new")
    refused(ended, "App: no copy can be restored: Disk: ", "; Other: ", code=1)
    assert databases(tmp_path) == ["app.db"]
    assert list((tmp_path / "state/spool").iterdir()) == []


@pytest.mark.parametrize("clean", [(), ("--clean", "--yes")])
def test_the_next_drive_is_taken_where_a_copy_is_damaged_or_away(
    tmp_path: Path, made: Any, inside: Inside, clean: tuple[str, ...]
) -> None:
    flip(stored(tmp_path, "drive")) if clean else stored(tmp_path, "drive").unlink()
    ended = inside("restore", "latest", "--source", "App", "--to-database", "new", *clean)
    assert ended.code == 0, ended.err
    assert names_in(tmp_path / "new.db") == ["Ada", "Grace"]
    assert "Disk: " in ended.err
    [record] = records(inside)
    assert record["Drive"] == "Other"
    assert record["Warnings"][0].startswith("Disk: ")


def test_another_source_and_a_url_say_where_it_goes(tmp_path: Path, made: Any, inside: Inside) -> None:
    (tmp_path / "elsewhere").mkdir()
    made["data_sources"].append({"provider": "sqlite", "label": "Copy", "db_path": "elsewhere/copy.db"})
    write(tmp_path, made)
    ended = inside("restore", "latest", "--source", "App", "--to-source", "Copy", "--to-database", "mine")
    assert ended.code == 0, ended.err
    assert names_in(tmp_path / "elsewhere/mine.db") == ["Ada", "Grace"]
    ended = inside("restore", "latest", "--source", "App", "--url", f"sqlite://{tmp_path}/elsewhere/by_url.sqlite")
    assert ended.code == 0, ended.err
    assert names_in(tmp_path / "elsewhere/by_url.sqlite") == ["Ada", "Grace"]


def test_what_cannot_be_is_said_before_anything_is_begun(
    tmp_path: Path, made: Any, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKUPMAN_RESTORE_PASSWORD", "from-the-environment")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    app = ("latest", "--source", "App")
    calls = {
        ("latest", "--source", "Cmd"): ("cannot restore into a source of provider command", 1),
        (*app, "--to-source", "Cmd"): ("cannot restore into a source of provider command", 1),
        (*app, "--to-source", "Ap"): ("there is no source 'Ap'; did you mean 'App'?", 2),
        (*app, "--to-source", "App", "--url", "sqlite:///x"): ("--to-source and --url both name a server", 2),
        (*app, "--output", "x", "--clean"): ("--clean goes with a restore into a database", 2),
        (*app, "--clean", "--table", "users"): ("would be replaced as a whole by some of its tables", 2),
        (*app, "--from-drive", "Othr"): ("there is no drive 'Othr'", 2),
        (*app, "--url", "postgresql://u:secret@h/x"): ("a dump of sqlite cannot go into h, which is postgres", 2),
        (*app, "--url", "postgresql://u:secret@h:port/x"): ("this is no URL", 2),
        (*app, "--url", "postgresql://u:secret@h/x?tls_mod=allow"): ("--url: tls_mod: unknown key; did you mean", 2),
        (*app, "--url", "postgresql://u:secret@h/x?tls_mode=alow"): (
            "--url: tls_mode: should be 'disable', 'allow'",
            2,
        ),
        (*app, "--url", "postgresql://u:secret@h/x", "--to-database", "y"): ("--url names a database already", 2),
        (*app, "--url", "ftp://u:secret@h/x"): ("it begins with postgresql://", 2),
        (*app, "--url", "sqlite:///"): ("needs the whole path of a file", 2),
        ("latest", "--source", "Shop"): ("no backup of Shop with a copy is on record here", 2),
    }
    for words, (sentence, code) in calls.items():
        ended = inside("restore", *words)
        refused(ended, sentence, code=code)
        assert "secret" not in ended.err
        assert "from-the-environment" not in ended.err
    del made["data_sources"][0]
    write(tmp_path, made)
    [app_id] = [each["Id"] for each in inside("list", "--json").json["Results"] if each["Label"] == "App"]
    refused(inside("restore", app_id), "its source 'App' is not in the config any more", code=2)
    assert records(inside) == []
    assert databases(tmp_path) == ["app.db"]


def test_what_was_restored_before_there_was_anything(config: Any, inside: Inside) -> None:
    assert "Nothing was restored yet" in inside("restores").out


def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path, made: Any, inside: Inside) -> None:
    page = Page(ROOT / "docs/restore.md")
    made["data_sources"][0]["label"] = "shop"
    made["drives"][1]["label"] = "offsite"
    write(tmp_path, made)
    assert inside("run", "-q").code == 0
    for title in ("Restore", "Into a database", "Over what is there", "Into a file"):
        section = page.section(title) if title != "Restore" else page.text.split("\n## ")[0]
        commands = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
        assert commands, title
        for line in "".join(commands).splitlines():
            program, *words = shlex.split(line)
            ended = inside(*words)
            assert (program, ended.code) == ("backupman", 0), ended.err
    found = databases(tmp_path)
    assert {"app.db", "shop_test.db", "from_offsite.db", "shop.dump"} < set(found)
    assert len(found) == 5
    for name in found:
        assert names_in(tmp_path / name) == ["Grace"]
