"""What holds for every command: finding the config, options before and after, streams, exit codes, a light start."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from backupman import __version__
from backupman.cli import program
from backupman.cli.call import CONFIG_PLACES, Call
from backupman.errors import ConfigError
from tests.cli.conftest import Inside
from tests.e2e.world import World

HEAVY = {"sqlmodel", "sqlalchemy", "alembic", "boto3", "botocore", "rich", "httpx", "jinja2", "yaml", "asyncio"}
LOADED = """
import sys
try:
    from backupman.__main__ import main
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command and group."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


EVERY = list(commands(typer.main.get_command(program())))


@pytest.mark.parametrize("words", [("version",), ("--help",), ("run", "--help"), ("key", "new", "--kind", "api")])
def test_what_needs_no_records_starts_light(words: tuple[str, ...]) -> None:
    assert loaded_by(*words) & HEAVY == set()


def test_the_version_needs_no_library_at_all() -> None:
    assert loaded_by("version") & {*HEAVY, "typer", "pydantic"} == set()


def test_records_in_sqlite_need_nothing_of_other_databases(world: World) -> None:
    loaded = loaded_by("list", "-c", str(world.config_file))
    assert "sqlalchemy.dialects.sqlite" in loaded
    assert loaded & {"sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.mysql", "psycopg", "pymysql"} == set()


def loaded_by(*words: str) -> set[str]:
    """The modules that a command has imported by its end."""
    done = subprocess.run([sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "backupman" in loaded
    return loaded


def test_version(world: World) -> None:
    assert world.run("version").out == f"backupman {__version__}\n"


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_has_help_that_fits_80_columns_and_shows_an_example(words: tuple[str, ...]) -> None:
    from typer.testing import CliRunner

    shown = CliRunner().invoke(program(), [*words, "-h"], prog_name="backupman")
    assert shown.exit_code == 0
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "--config" in shown.stdout
    if len(words) and words[-1] not in ("config", "events", "deliveries", "key", "notify", "version"):
        assert f"backupman {' '.join(words)}" in shown.stdout.split("Example")[1]


def test_the_config_is_taken_before_and_after_every_command(
    config: dict[str, Any], tmp_path: Path, inside: Inside
) -> None:
    good, bad = "good.yml", "bad.yml"
    (tmp_path / "config.yml").rename(tmp_path / good)
    for words in (("-c", good, "config", "check"), ("config", "-c", good, "check"), ("config", "check", "-c", good)):
        assert inside(*words).code == 0
    assert inside("-c", bad, "config", "check", "--config", good).code == 0, "the last one counts"
    missing = inside("-c", good, "config", "check", "-c", bad)
    assert (missing.code, missing.out) == (2, "")
    assert "bad.yml" in missing.err


def test_the_other_common_options_too(config: dict[str, Any], inside: Inside) -> None:
    assert inside("-q", "config", "check").out == inside("config", "check", "-q").out == ""


def test_where_the_config_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("backupman.cli.call.CONFIG_PLACES", (Path("config.yml"), tmp_path / "etc.yml"))
    with pytest.raises(ConfigError, match=r"config\.yml.*etc\.yml.*backupman init"):
        Call().config_file()
    (tmp_path / "etc.yml").touch()
    assert Call().config_file() == tmp_path / "etc.yml"
    (tmp_path / "config.yml").touch()
    assert Call().config_file() == Path("config.yml")
    monkeypatch.setenv("BACKUPMAN_CONFIG", "named.yml")
    assert Call().config_file() == Path("named.yml")
    assert Call(config=Path("said.yml")).config_file() == Path("said.yml")
    assert Path("/etc/backupman/config.yml") in CONFIG_PLACES


def test_commands_to_paste_hold_the_config_that_was_named() -> None:
    assert Call().again("show", "1a2b") == "backupman show 1a2b"
    named = Call(config=Path("my configs/a.yml"))
    assert named.again("list") == "backupman list -c 'my configs/a.yml'"
    advice = "see `backupman list`, or try `retry`, `backupman verify latest --level restore`"
    assert Call().pasteable(advice) == advice
    assert named.pasteable(advice) == (
        "see `backupman list -c 'my configs/a.yml'`, or try `retry`, "
        "`backupman verify latest --level restore -c 'my configs/a.yml'`"
    )


def test_so_do_those_that_an_error_and_the_doctor_advise(config: Any, tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "config.yml").rename(tmp_path / "own.yml")
    assert "see `backupman list -c own.yml`" in inside("restore", "latest", "-c", "own.yml").err
    doctor = inside("doctor", "-c", "own.yml").out
    assert "make the first one with `backupman run -c own.yml`" in " ".join(doctor.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--source", "Ap"], "did you mean 'App'"),
        (["run", "--job", "defalt"], "did you mean 'default'"),
        (["run", "--drain-timeout", "soon"], "--drain-timeout"),
        (["run", "--tag", "release"], "NAME=VALUE"),
        (["list", "--label", ""], "--label is empty: see that the variable that it was to hold is set, or"),
        (["list", "--config", ""], "--config is empty: see that the variable that it was to hold is set, or"),
        (["delete", "", "--yes", "--force"], "ID is empty: see that the variable that it was to hold is set\n"),
        (["store", "migrate", "--to", ""], "--to is empty: see that the variable that it was to hold is set\n"),
        (["run", "--sauce", "App"], "--source"),
        (["retry"], "--all"),
        (["retry", "1a2b", "--all"], "not both"),
        (["retry", "1a2b"], "backupman list"),
        (["show"], "ID"),
        (["show", "latest"], "backupman run"),
        (["list", "--since", "yesterday"], "2026-03-01"),
        (["list", "--status", "done"], "finished"),
        (["list", "--limit", "0"], "--limit"),
        (["events", "list", "--kind", "backup_repot"], "backup_report"),
        (["events", "replay", "1a2b"], "backupman events list"),
        (["deliveries", "retry", "17"], "backupman deliveries list"),
        (["key", "new", "--kind", "ssh"], "webhook"),
        (["bakup"], "bakup"),
        (["-c", "nowhere.yml", "list"], "nowhere.yml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_is_2_and_says_what_would_be_right(
    words: list[str], said: str, config: dict[str, Any], inside: Inside
) -> None:
    ended = inside(*words)
    assert ended.code == 2
    assert ended.out == ""
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_trace_is_shown_with_debug_alone(config: dict[str, Any], tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    assert "Traceback" not in inside("list").err
    ended = inside("--debug", "list")
    assert (ended.code, "Traceback" in ended.err) == (1, True)
    assert ended.err.splitlines()[-1].startswith("Error: ")


def test_a_fault_of_ours_is_a_sentence_too(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Call) -> None:
        raise RuntimeError("off by one")

    monkeypatch.setattr(Call, "load", broken)
    ended = inside("config", "paths")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert "off by one" in ended.err
    assert "report it" in ended.err
    assert "Traceback" in inside("config", "paths", "--debug").err


def test_ctrl_c_while_it_is_loaded_shows_no_trace(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    argv = [sys.executable, "-m", "backupman", "list"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_encoding_without_our_signs_breaks_nothing(world: World) -> None:
    world.env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = world.run("config", "check")
    assert (ended.code, ended.out[0]) == (0, "?")


def test_a_reader_that_goes_away_is_no_fault(world: World) -> None:
    world.run("run")
    process = world.start("list", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30) != 0
    assert process.stderr is not None
    with process.stderr:
        assert "Traceback" not in process.stderr.read()


def test_json_is_one_document_and_nothing_else(world: World) -> None:
    world.config["data_sources"].append({"provider": "sqlite", "label": "Gone", "db_path": "gone.db"})
    ended = world.run("run", "--json", "-v")
    assert list(json.loads(ended.out)) == ["Results", "Busy", "Errors", "Owed", "Interrupted"]
