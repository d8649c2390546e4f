"""The hooks of the real program: which run when, and what is in their placeholders."""

from pathlib import Path

import pytest

from tests.e2e.world import World

SAID = ["sh", "-c", 'printf "%s|" "$@" >> said; echo >> said', "sh", "{label}", "{status}", "{repository}", "{output}"]
FAILING = {"provider": "command", "label": "Dump", "argv": ["sh", "-c", "echo row; echo no room >&2; exit 3"]}


@pytest.fixture
def hooked(world: World) -> World:
    """A world in which every error is written down."""
    world.config["on_error"] = [SAID]
    return world


def said(world: World) -> list[list[str]]:
    """What the error hooks were given."""
    file = world.folder / "said"
    return [line.split("|")[:-1] for line in file.read_text().splitlines()] if file.exists() else []


def test_each_hook_has_its_time(hooked: World) -> None:
    hooked.config["hooks"] = {
        name: [f"echo {name} {{status}} >> order"] for name in ("before_backup", "after_backup", "on_error")
    }
    assert hooked.run("run", "-q").code == 0
    hooked.config["data_sources"] = [FAILING]
    assert hooked.run("run", "-q").code == 1
    order = (hooked.folder / "order").read_text().splitlines()
    good, bad = ["before_backup pending", "after_backup finished"], ["before_backup pending", "after_backup failed"]
    assert order == [*good, *bad, "on_error failed"]


def test_what_a_dump_has_printed_is_the_output(hooked: World) -> None:
    hooked.config["data_sources"] = [FAILING]
    assert hooked.run("run", "-q").code == 1
    assert said(hooked) == [["Dump", "failed", "", "no room"]]


def test_an_error_hook_of_a_job_that_fails_keeps_those_of_every_job_from_nothing(hooked: World) -> None:
    hooked.config |= {"data_sources": [FAILING], "hooks": {"on_error": ["echo no line; exit 1"]}}
    ended = hooked.run("run")
    assert ended.code == 1
    assert said(hooked) == [["Dump", "failed", "", "no room"]]


def test_a_hook_that_fails_before_is_the_error_of_the_backup(hooked: World) -> None:
    hooked.config["hooks"] = {"before_backup": ["echo not yet; exit 1"]}
    assert hooked.run("run", "-q").code == 1
    assert said(hooked) == [["App", "failed", "", "not yet"]]


def test_a_hook_that_fails_after_a_good_backup_is_an_error_too(hooked: World) -> None:
    hooked.config["hooks"] = {"after_backup": ["echo still stopped; exit 5"]}
    assert hooked.run("run", "-q").code == 0
    assert said(hooked) == [["App", "finished", "", "still stopped"]]


def test_a_drive_that_fails_is_the_repository(hooked: World) -> None:
    (hooked.folder / "a file").touch()
    hooked.config["drives"].append({"provider": "local", "label": "Bad", "folder": str(hooked.folder / "a file" / "x")})
    assert hooked.run("run", "-q").code == 1
    assert [each[:3] for each in said(hooked)] == [["App", "failed", "Bad"]]


def test_a_secret_that_a_hook_prints_is_in_no_record(hooked: World) -> None:
    hooked.config["hooks"] = {"before_backup": ["echo the token is t0ken; exit 4"]}
    ended = hooked.run("run")
    assert ended.code == 1
    assert said(hooked) == [["App", "failed", "", "the token is ***"]]
    assert "t0ken" not in ended.out + ended.err + str(hooked.backups())


@pytest.mark.parametrize("command", [("prune",), ("verify", "latest")])
def test_errors_beside_a_backup_name_their_drive(hooked: World, command: tuple[str, ...]) -> None:
    for _ in range(2):
        assert hooked.run("run", "-q").code == 0
    for backup in hooked.backups():
        path = Path(backup["DriveFiles"][0]["Path"])
        path.unlink()
        (path / "in the way").mkdir(parents=True)
    hooked.config["retention"] = {"keep_last": 1}
    assert hooked.run(*command, "-q").code == 1
    assert said(hooked) == [["App", "", "Disk", ""]]
