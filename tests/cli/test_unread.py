"""Where nobody reads standard error, or its disk is full, a command does all of its work and ends as it would."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import World


@pytest.fixture(params=["full disk", "closed pipe"])
def lost(request: pytest.FixtureRequest) -> Iterator[int]:
    """Where nothing can be written to."""
    if request.param == "full disk":
        written = os.open("/dev/full", os.O_WRONLY)
    else:
        read, written = os.pipe()
        os.close(read)
    yield written
    os.close(written)


def ended(world: World, lost: int, *words: str) -> int:
    """What a command ends with whose standard error is lost."""
    world.write_config()
    argv = [sys.executable, "-m", "backupman", *words]
    return subprocess.run(argv, cwd=world.folder, stdout=subprocess.PIPE, stderr=lost, check=False).returncode


def test_a_restore_ends_well_from_the_next_good_copy_and_is_told(world: World, lost: int) -> None:
    world.config["notifiers"]["webhook"]["endpoints"][0]["events"] = ["restore_success"]
    world.config["drives"].append({"provider": "local", "label": "Other", "folder": str(world.folder / "other")})
    assert world.run("run", "-q").code == 0
    [copy] = [world.drive / name for name in world.objects()]
    copy.write_bytes(b"damaged")
    assert ended(world, lost, "restore", "latest", "--to-database", str(world.folder / "new.db")) == 0
    assert (world.folder / "new.db").exists()
    assert [report["Drive"] for report in world.reports()] == ["Other"]
    assert ended(world, lost, "restore", "latest", "--output", str(world.folder / "file")) == 0
    assert (world.folder / "file").exists()


def test_other_commands_end_as_they_would(world: World, lost: int, tmp_path: Path) -> None:
    world.config["notifiers"]["webhook"]["endpoints"][0]["url"] = "http://127.0.0.1:1/"
    assert ended(world, lost, "run", "--drain-timeout", "0") == 0, "that somebody is still owed is said there"
    assert ended(world, lost, "show", "nope") == 2
    (tmp_path / "app.db").unlink()
    assert ended(world, lost, "run", "-q", "--drain-timeout", "0") == 1
