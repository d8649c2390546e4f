"""`health`: everything is looked at, side by side and bounded in time, and nothing is left behind."""

import json
import time
from pathlib import Path
from typing import Any

import yaml

from backupman import __version__
from tests.cli.conftest import Inside
from tests.e2e.world import World

UP = {"Status": "UP", "Components": None}
QUIET = {
    "Endpoint": "webhook/Hook",
    "GivenUp": 0,
    "Oldest": None,
    "LastDelivered": None,
    "Drill": "never",
    "DrillAt": None,
    "Said": None,
}


def change(world: World, **sections: Any) -> None:
    """Write the config with other sections."""
    world.config |= sections
    world.config_file.write_text(yaml.safe_dump(world.config))


def test_all_up_in_the_documented_shape(world: World, inside: Inside) -> None:
    change(world)
    ended = inside("health", "--json")
    assert ended.code == 0
    assert json.loads(ended.out) == {
        "Version": __version__,
        "CommitSHA": None,
        "BuildDate": None,
        "Status": "UP",
        "Details": {
            "Database": UP,
            "Drives": {"Status": "UP", "Components": {"Disk": UP}},
            "DataSources": {"Status": "UP", "Components": {"App": UP}},
            "Messages": {"GivenUp": 0, "Oldest": None, "Endpoints": [QUIET]},
        },
    }
    assert world.litter(world.drive) == []
    assert inside("health").out.count("✓ UP") == 3
    assert inside("health", "-q").out == ""
    assert world.receiver.requests == []


def test_what_is_down_is_named_with_the_reason(world: World, inside: Inside) -> None:
    (world.folder / "blocked").write_text("")
    gone = {"provider": "sqlite", "label": "Gone", "db_path": "gone.db"}
    blocked = {"provider": "local", "label": "Blocked", "folder": str(world.folder / "blocked")}
    change(
        world, data_sources=[*world.config["data_sources"], gone], drives=[*world.config["drives"], blocked],
    )  # fmt: skip
    ended = inside("health", "--json")
    assert ended.code == 1
    document = json.loads(ended.out)
    assert document["Status"] == "DOWN"
    assert document["Details"]["Database"] == UP
    drives, sources = document["Details"]["Drives"], document["Details"]["DataSources"]
    assert (drives["Status"], drives["Components"]["Disk"]) == ("DOWN", UP)
    assert sources["Components"]["Gone"]["Status"] == "DOWN"
    assert "gone.db" in sources["Components"]["Gone"]["Error"]
    shown = inside("health")
    assert shown.out.count("✗ DOWN") == 2
    quiet = inside("health", "-q")
    assert (quiet.code, quiet.out) == (1, "")
    assert quiet.err.count("✗ DOWN") == 2
    assert "UP" not in quiet.err


def test_records_that_cannot_be_reached_are_down_and_hide_nothing(world: World, inside: Inside) -> None:
    change(world, state_folder=str(world.config_file))
    ended = inside("health", "--json")
    assert ended.code == 1
    details = json.loads(ended.out)["Details"]
    assert details["Database"]["Status"] == "DOWN"
    assert details["Messages"] is None
    assert details["DataSources"]["Status"] == "UP"


def test_a_check_that_hangs_is_down_when_its_time_is_up(world: World, inside: Inside, tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = {"provider": "s3", "label": "Cloud", "bucket": "b", "access_key": "a", "secret_key": "s"}
        server |= {"endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        change(world, drives=[server], spool={})
        started = time.monotonic()
        ended = inside("health", "--timeout", "3s", "--json")
        assert time.monotonic() - started < 15
    assert ended.code == 1
    cloud = json.loads(ended.out)["Details"]["Drives"]["Components"]["Cloud"]
    assert cloud == {"Status": "DOWN", "Components": None, "Error": "Cloud: no answer within 3 s"}
