"""Manners of every command: a help with an example that fits a terminal, and a word for whoever has mistyped."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from rich.cells import cell_len
from rich.console import Console

from backupman.cli import program
from backupman.cli.output import table
from backupman.records import Backup, DriveFile, Status
from backupman.store import Store
from tests.cli.conftest import Inside


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


COMMANDS = list(commands(typer.main.get_command(program())))
EACH = pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
LONG = "ProductionCustomersDatabaseOfTheNorthernRegionPrimaryWithoutAnySpaceAtAll"


@EACH
def test_the_help_has_an_example_and_fits_eighty_columns(
    path: tuple[str, ...], command: Any, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = inside(*path, "--help")
    assert (ended.code, ended.err) == (0, "")
    *_, examples = ended.out.partition("Example")
    assert f"backupman {' '.join(path)}" in examples
    assert [line for line in ended.out.splitlines() if cell_len(line) > 80] == []


@EACH
def test_an_option_with_a_letter_too_few_names_the_nearest(path: tuple[str, ...], command: Any, inside: Inside) -> None:
    option = max((option for parameter in command.params for option in parameter.opts), key=len)
    mistyped = option[:-2] + option[-1]
    ended = inside(*path, mistyped)
    assert (ended.code, ended.out) == (2, "")
    said = f"Error: there is no option {mistyped}; did you mean {option}? See `backupman {' '.join(path)} --help`"
    assert ended.err.splitlines() == [said]


def test_no_command_is_cut_off_in_the_help(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = inside("--help").out
    assert "..." not in said.partition("Commands:")[2]
    assert "Bring a backup back: decrypted, unpacked, checked from end" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rnu", "there is no command 'rnu'; did you mean run? See `backupman --help`"),
        ("config chekc", "there is no command 'chekc'; did you mean check? See `backupman config --help`"),
        ("list --status faild", "--status: 'faild' is none of its values; did you mean failed? See"),
        ("list --status x", "--status: 'x' is none of its values: write pending or finished or failed; see"),
        ("list --limit 0", "--limit: should be 1 or more; see"),
        ("list -n many", "--limit: should be a whole number; see"),
        ("list --label", "--label needs a value; see"),
        ("run --source My App", "nobody knows what 'App' is for: a value with spaces stands in quotes; see"),
        (
            "show",
            "ID is missing: The id of a backup, its beginning, or `latest`: the newest of the config's sources; see",
        ),
        ("key new", "--kind is missing: webhook: signs what is sent; api: opens the HTTP API; see"),
        ("run --source Ap", "there is no source 'Ap'; did you mean 'App'?"),
        ("run --source APP", "there is no source 'APP'; did you mean 'App'?"),
        ("run --job x", "there is no job 'x'; there is 'default'"),
        ("events list --kind backup_reprt", "there is no kind of event 'backup_reprt'; did you mean 'backup_report'?"),
        ("deliveries list --endpoint x", "there is no endpoint 'x'; there is none"),
        ("deliveries show x", "'x' is no id of a delivery: it is a number from `backupman deliveries list`"),
        ("deliveries show latest", "there is no delivery yet"),
        ("-c nowhere.yml list", "nowhere.yml: the config cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_call_is_answered_in_one_sentence(
    words: str, said: str, config: dict[str, Any], inside: Inside
) -> None:
    ended = inside(*words.split())
    assert (ended.code, ended.out) == (2, "")
    [line] = ended.err.splitlines()
    assert line.startswith(f"Error: {said}")


@pytest.fixture
def recorded(config: dict[str, Any], tmp_path: Path) -> str:
    """The id of a backup on record, with long names."""
    store = Store.open(f"sqlite:///{tmp_path}/state/backupman.db")
    backup = Backup(
        id="1a2b3c4d-0000-4000-8000-000000000000",
        status=Status.FAILED,
        dump_status=Status.FINISHED,
        label=LONG,
        job="default",
        source=LONG,
        database="app",
        source_provider="sqlite",
        instance="here",
        object_name="app/backup.sqlite.gz",
    )
    backup.drive_files = [DriveFile(backup_id=backup.id, provider="local", label="Disk", status=Status.FAILED)]
    store.backups.begin(backup, [])
    store.close()
    return backup.id


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("1a2b3c4e", "there is no backup '1a2b3c4e'; did you mean 1a2b3c4d?"),
        ("1a2c3c4d-0000-4000-8000-000000000000", "did you mean 1a2b3c4d-0000-4000-8000-000000000000?"),
        ("lattest", "did you mean latest?"),
        ("zz", "there is no backup 'zz'; see `backupman list`"),
    ],
)
def test_the_nearest_id_is_named(recorded: str, inside: Inside, typed: str, said: str) -> None:
    ended = inside("show", typed)
    assert ended.code == 2
    assert said in ended.err


def test_a_label_that_is_no_source_is_told_of(recorded: str, inside: Inside) -> None:
    ended = inside("list", "--label", "Apq")
    assert (ended.code, ended.out) == (0, "No backup fits; did you mean 'App'?\n")
    assert inside("list", "--label", "something-else").out == "No backup fits.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("list --since 9999-12-31T23:00-14:00", "is neither an age nor a time"),
        ("pin 1a2b3c4d --until 9999-12-31T23:00-14:00", "is no time: write for example 90d"),
        ("list --limit 99999999999999999999", "--limit: should be 1000000000 or less"),
        ("deliveries show 99999999999999999999", "'99999999999999999999' is no id of a delivery"),
    ],
)
def test_what_is_out_of_all_bounds_is_a_wrong_call(recorded: str, inside: Inside, words: str, said: str) -> None:
    ended = inside(*words.split())
    assert (ended.code, said in ended.err) == (2, True), ended.err


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_long_label_takes_no_id_away(
    recorded: str, inside: Inside, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    said = inside("list").out
    assert max(map(cell_len, said.splitlines())) <= columns
    assert "1a2b3c4d" in said
    shown = "".join(line.replace("Label", "").strip() for line in said.splitlines())
    assert LONG in shown or columns > 60


def test_where_a_table_has_no_room_each_row_is_a_block() -> None:
    shown = table("ID", "LABEL", "WHEN", "WHY")
    shown.columns[2].no_wrap = True
    shown.add_row("1a2b3c4d", "a label of several words", "2026-11-21 10:00 UTC", "")
    wide, narrow = Console(width=60), Console(width=40)
    with wide.capture() as seen:
        wide.print(shown)
    assert seen.get().splitlines()[0].split() == ["ID", "LABEL", "WHEN", "WHY"]
    with narrow.capture() as seen:
        narrow.print(shown)
    assert seen.get().splitlines() == [
        "1a2b3c4d",
        "  Label  a label of several words",
        "  When   2026-11-21 10:00 UTC",
    ]


@pytest.mark.parametrize(("asked", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_given_to_a_pipe_when_they_are_asked_for_and_pictures_never(
    recorded: str, inside: Inside, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], coloured: bool
) -> None:
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[31m" in inside("list").out) == coloured
    ended = inside("run", "--drain-timeout", "0")
    assert ended.code == 1  # its file is not there
    assert ended.err
    assert "\x1b[2K" not in ended.err


def test_what_is_sent_again_is_one_document_with_json(config: dict[str, Any], inside: Inside) -> None:
    assert json.loads(inside("deliveries", "retry", "--json").out) == {"Results": []}


@pytest.fixture
def told(config: dict[str, Any], tmp_path: Path, inside: Inside) -> dict[str, Any]:
    """A backup whose report nobody takes."""
    with closing(sqlite3.connect(tmp_path / "app.db")) as database, database:
        database.execute("create table t (a)")
        database.execute("insert into t values (1)")
    webhook = {"enabled": True, "endpoints": [{"name": "Ops", "url": "http://127.0.0.1:1/", "token": "x"}]}
    made = config | {"notifiers": {"webhook": webhook}, "spool": {"min_free": "1MiB"}}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(made))
    assert inside("run", "-q", "--drain-timeout", "0").code == 0
    return made


def test_latest_serves_for_events_and_deliveries(told: dict[str, Any], inside: Inside) -> None:
    shown = json.loads(inside("deliveries", "show", "latest", "--json").out)
    assert shown["Endpoint"] == "webhook/Ops"
    ended = inside("events", "replay", "latest", "--endpoint", "Ops", "--drain-timeout", "0", "--json")
    assert ended.code == 1
    assert [each["Endpoint"] for each in json.loads(ended.out)["Results"]] == ["webhook/Ops"]
    assert inside("deliveries", "drop", "latest").out == "1 delivery dropped.\n"


@pytest.mark.parametrize("words", [("--help",), ("key", "new", "--kind", "api")], ids=str)
def test_a_full_disk_behind_standard_output_is_no_fault_of_ours(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "backupman", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    said = "Error: what there is to be said cannot be written where it is to go: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, said)
