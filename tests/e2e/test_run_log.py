"""What is logged about a backup is kept with it, without secrets, and sent to those who take logs."""

import re

import pytest

from tests.e2e.world import World

CHECK = "addffa72-da17-40ae-be9c-ff591afb942a"


@pytest.fixture
def watched(world: World) -> World:
    """A world with a check beside the webhook."""
    world.config["notifiers"]["healthchecks"] = {"ping_url": f"{world.receiver.url}/{CHECK}"}
    return world


def pinged(world: World, end: str) -> str:
    """The body of the ping whose path ends so."""
    [body] = [each.body for each in world.receiver.requests if each.path.partition("?")[0].endswith(end)]
    return body.decode()


def test_the_log_of_a_backup_is_shown_and_sent(watched: World) -> None:
    assert watched.run("run").code == 0
    lines = watched.run("show", "latest", "--log").out.splitlines()
    assert [line.split(" ", 2)[1] for line in lines] == ["INFO"] * len(lines)
    assert "App: begins, onto Disk" in lines[0]
    assert "App: finished in" in lines[-1]
    body = pinged(watched, f"/{CHECK}")
    assert "App: begins, onto Disk" in body and "stored on Disk" in body
    (backup,) = watched.backups()
    assert watched.run("show", "latest", "--log", "--json").json == {"Id": backup["Id"], "Lines": lines}


def test_a_run_says_no_more_to_its_terminal_than_before(watched: World) -> None:
    ended = watched.run("run")
    assert "begins, onto" not in ended.out + ended.err


def test_a_failure_is_logged_without_secrets(watched: World) -> None:
    watched.config["drives"].append({"provider": "local", "label": "Gone", "folder": "/proc/t0ken/x"})
    assert watched.run("run").code == 1
    log = watched.run("show", "latest", "--log").out
    assert "ERROR App: failed on Gone" in log
    assert "t0ken" not in log and "***" in log
    [line] = [line for line in pinged(watched, "/fail").splitlines() if "ERROR App: failed on Gone" in line]
    assert "t0ken" not in line


@pytest.mark.parametrize(
    ("verbosity", "levels"), [("-2", set()), ("-1", {"ERROR"}), ("1", {"ERROR", "WARNING", "INFO"})]
)
def test_the_verbosity_says_what_is_kept(watched: World, verbosity: str, levels: set[str]) -> None:
    watched.config["drives"].append({"provider": "local", "label": "Gone", "folder": "/proc/none/x"})
    watched.config["monitoring_verbosity"] = 2
    assert watched.run("run", "--monitoring-verbosity", verbosity).code == 1
    lines = watched.run("show", "latest", "--log", "--json").json["Lines"]
    assert {line.split(" ", 2)[1] for line in lines} == levels
    if not levels:
        assert watched.run("show", "latest", "--log").out == "Nothing was kept of its log.\n"


def test_an_unknown_verbosity_is_refused(watched: World) -> None:
    assert watched.run("run", "--monitoring-verbosity", "3").code == 2
    watched.config["monitoring_verbosity"] = 3
    assert "monitoring_verbosity" in watched.run("run").err


def test_figures_and_what_is_in_it_are_logged_where_they_are_asked_for(watched: World) -> None:
    ended = watched.run("run", "--stats", "--list")
    assert ended.code == 0 and "row" not in ended.out
    said = [line.split(" ", 2)[2] for line in watched.run("show", "latest", "--log", "--json").json["Lines"]]
    dumped = next(line for line in said if "% of it" in line)
    assert re.fullmatch(r"App: [\d.]+ KiB at [\d.]+ \wiB/s, \d+ bytes to store, which is [\d.]+% of it", dumped)
    assert any(line.startswith("App: made by ") for line in said)
    [backup] = watched.backups()
    [file] = backup["DriveFiles"]
    [stored] = [line for line in said if file["Path"].rsplit("/", 1)[-1] in line]
    assert file["Sha256"] in stored
    assert "App: users, 2 rows" in said
    assert "App: users, 2 rows" in pinged(watched, f"/{CHECK}")
    assert watched.run("run", "--stats", "--list", "--monitoring-verbosity", "0").code == 0
    assert watched.run("show", "latest", "--log", "--json").json["Lines"] == []
