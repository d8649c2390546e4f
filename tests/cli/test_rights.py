"""What the account may not look at is told in a sentence, and as no fault of backupman's."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Inside
from tests.e2e.world import Ended

NOBODY = 65534
WITHOUT = "-dac_override,-dac_read_search"
ORDINARY = ["setpriv", f"--bounding-set={WITHOUT}", f"--inh-caps={WITHOUT}"] if os.geteuid() == 0 else []
"""Root without the right to pass over all others."""


@pytest.fixture
def dark(tmp_path: Path, config: dict[str, Any]) -> Path:
    """A folder that may not be entered."""
    config["spool"] = {"min_free": "1MiB"}
    write(tmp_path, config)
    folder = tmp_path / "dark"
    folder.mkdir(mode=0o700 if ORDINARY else 0)
    if ORDINARY:
        os.chown(folder, NOBODY, NOBODY)
    return folder


def write(folder: Path, config: dict[str, Any], name: str = "config.yml") -> None:
    (folder / name).write_text(yaml.safe_dump(config))


def run(folder: Path, *words: str) -> Ended:
    """A command of an ordinary account."""
    argv = [*ORDINARY, sys.executable, "-m", "backupman", *words]
    done = subprocess.run(argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert "fault of backupman" not in done.stderr
    assert "Traceback" not in done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def test_a_config_in_a_folder_of_others(dark: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yml").rename(tmp_path / "kept.yml")
    code = f"""
import pathlib, sys
from backupman.cli import call, main
call.CONFIG_PLACES = (pathlib.Path("config.yml"), pathlib.Path({str(dark)!r}, "config.yml"))
sys.argv = ["backupman", "list"]
sys.exit(main())
"""
    argv = [*ORDINARY, sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = f"Error: {dark}/config.yml: the config cannot be read: Permission denied\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_where_a_file_would_go(dark: Path, tmp_path: Path) -> None:
    words = ("--source", "sqlite", "--db-path", "app.db", "--drive", "local", "--folder", "drive")
    ended = run(tmp_path, "init", "-c", f"{dark}/new.yml", *words)
    assert (ended.code, ended.err) == (2, f"Error: {dark}/new.yml cannot be written: Permission denied\n")
    ended = run(tmp_path, "install-service", "--root", f"{dark}/root", "--yes")
    assert (ended.code, "cannot be used: Permission denied" in ended.err) == (1, True)


def test_no_folder_is_to_be_made_where_only_the_rights_are_missing(dark: Path, tmp_path: Path) -> None:
    words = ("--source", "sqlite", "--db-path", "app.db", "--drive", "local", "--folder", "drive")
    (dark / "inner").mkdir() if ORDINARY else None
    ended = run(tmp_path, "init", "-c", f"{dark}/inner/new.yml", *words)
    assert (ended.code, ended.err) == (2, f"Error: {dark}/inner/new.yml cannot be written: Permission denied\n")


def test_a_dump_that_cannot_be_written_there(dark: Path, tmp_path: Path, inside: Inside) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db")) as database, database:
        database.execute("create table t (a)")
        database.execute("insert into t values (1)")
    assert inside("run", "-q").code == 0
    ended = run(tmp_path, "restore", "latest", "--output", f"{dark}/back")
    assert (ended.code, ended.err) == (1, f"Error: App: {dark}/back.part cannot be made: Permission denied\n")
    long = "x" * 300
    ended = run(tmp_path, "restore", "latest", "--output", long)
    assert (ended.code, "File name too long" in ended.err) == (1, True)


@pytest.mark.parametrize("where", ["spool", "source"])
def test_the_doctor_tells_of_a_spool_that_cannot_be_written(
    dark: Path, tmp_path: Path, config: dict[str, Any], where: str
) -> None:
    folder = str(dark / "spool")
    if where == "spool":
        config["spool"]["folder"] = folder
    else:
        config["data_sources"][0]["tmp_folder"] = folder
    write(tmp_path, config)
    ended = run(tmp_path, "doctor", "-q")
    assert ended.code == 1
    assert f"{folder}: no dump can be made: the account may not write in {dark}: give it the right to" in ended.err


def test_the_paths_of_a_service_are_all_told(dark: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    config["spool"]["folder"] = str(dark / "spool")
    write(tmp_path, config)
    ended = run(tmp_path, "config", "paths")
    assert ended.code == 0
    assert f"ReadWritePaths={dark}/spool\n" in ended.out
    assert f"! {dark}/spool cannot be looked at (Permission denied): call this as root" in ended.err


SOURCES: list[tuple[dict[str, Any], str]] = [
    ({"provider": "command", "argv": ["true"], "cwd": "."}, "is not there, or the account may not enter it: make it"),
    ({"provider": "postgres", "db_name": "x", "user": "me", "tool_path": "."}, "is not in "),
]


@pytest.mark.parametrize(("source", "said"), SOURCES, ids=["cwd", "tool_path"])
def test_what_a_source_names_there(
    dark: Path, tmp_path: Path, config: dict[str, Any], source: dict[str, Any], said: str
) -> None:
    inside_of_it = {name: str(dark / "x") if value == "." else value for name, value in source.items()}
    config["data_sources"] = [inside_of_it | {"label": "App"}]
    write(tmp_path, config)
    ended = run(tmp_path, "run", "-q")
    assert (ended.code, said in ended.err, "unexpected" in ended.err) == (1, True, False), ended.err


def test_templates_of_mails_there(dark: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    mail = {"smtp_host": "127.0.0.1", "smtp_port": 1, "destinations": [{"name": "a", "email": "a@example.com"}]}
    config["notifiers"] = {"mail": mail | {"templates": str(dark / "x")}}
    write(tmp_path, config)
    ended = run(tmp_path, "notify", "test")
    assert (ended.code, f"templates: there is no folder {dark}/x that may be read" in ended.out) == (1, True), ended.out
