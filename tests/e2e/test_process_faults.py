"""Processes, disks, messages and configs that fail: nothing is lost, nobody is left running, everything is said."""

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.world import Ended, World, assert_failed, end, wait_for
from tests.servers._process import free_port
from tests.servers.disk import mounted_disk


def test_the_process_that_moves_the_data_is_killed(world: World) -> None:
    world.config["data_sources"] = [slow_source()]
    process = world.start("run")
    child = data_plane_of(process.pid)
    wait_for(lambda: world.litter(world.drive))
    child.kill()
    out, err = process.communicate(timeout=90)
    backup = assert_failed(world, Ended(process.returncode, out, err), "killed by signal 9")
    assert "report it" not in backup["Error"]


def slow_source(**changes: Any) -> dict[str, Any]:
    """A source that writes a good start and then hangs."""
    argv = ["sh", "-c", "head -c 20000000 /dev/urandom; sleep 600"]
    return {"provider": "command", "label": "Slow", "argv": argv} | changes


def data_plane_of(parent: int) -> psutil.Process:
    """The child process of a command that moves the data, once it is there."""
    found: list[psutil.Process] = []

    def there() -> bool:
        found[:] = [
            child
            for child in psutil.Process(parent).children()
            if "backupman.data_plane.child" in " ".join(child.cmdline())
        ]
        return bool(found)

    wait_for(there)
    return found[0]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_children_and_says_so(world: World, sign: signal.Signals) -> None:
    world.config["data_sources"] = [slow_source()]
    process = world.start("run")
    wait_for(lambda: world.litter(world.drive))
    ended = end(process, sign)
    assert ended.code == 130
    (backup,) = world.backups()
    assert (backup["Status"], backup["Phase"]) == ("failed", None)
    assert "interrupted" in backup["Error"]
    assert [report["Status"] for report in world.reports()] == ["failed"]
    world.assert_clean()


def test_a_dump_that_takes_too_long_is_ended(world: World) -> None:
    world.config["data_sources"] = [slow_source(timeout="1s")]
    assert_failed(world, world.run("run"), "timeout")


def test_a_source_never_runs_twice_at_once(world: World) -> None:
    world.config["data_sources"] = [slow_source()]
    first = world.start("run")
    wait_for(lambda: world.litter(world.drive))
    second = world.run("run")
    assert second.code == 3
    assert "Slow" in second.err
    assert len(world.backups()) == 1
    end(first)
    world.assert_clean()


def test_a_full_disk_under_the_spool(world: World, small_disk: Path) -> None:
    world.config["spool"] = {"folder": str(small_disk), "min_free": "0"}
    world.config["data_sources"] = [
        {"provider": "command", "label": "Big", "argv": ["head", "-c", "60000000", "/dev/urandom"]}
    ]
    assert_failed(world, world.run("run"), "full", "spool")
    assert world.litter(small_disk) == []


def test_the_spool_leaves_room_for_the_database(world: World, small_disk: Path) -> None:
    world.config["spool"] = {"folder": str(small_disk), "min_free": "1GiB"}
    assert_failed(world, world.run("run"), "min_free")


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 8 MB of its own."""
    with mounted_disk(tmp_path / "small", "8m") as folder:
        yield folder


def test_a_webhook_that_is_down_is_owed_and_never_fails_a_backup(world: World) -> None:
    world.config["notifiers"]["webhook"]["endpoints"][0]["url"] = f"http://127.0.0.1:{free_port()}/"
    world.config["deliveries"] = {"first_wait": "1h", "max_wait": "1h"}
    ended = world.run("run")
    assert ended.code == 0
    assert "owed" in ended.err
    (delivery,) = world.run("deliveries", "list", "--json").json["Results"]
    assert delivery["State"] == "owed"
    assert delivery["Attempts"] == 1
    world.config["notifiers"]["webhook"]["endpoints"][0]["url"] = f"{world.receiver.url}/hook"
    assert world.run("deliveries", "retry").code == 0
    assert [report["Status"] for report in world.reports()] == ["finished"]


def test_an_smtp_server_that_refuses(world: World, receiver: Any) -> None:
    world.config["notifiers"]["mail"] = {
        "enabled": True,
        "smtp_host": "127.0.0.1",
        "smtp_port": free_port(),
        "destinations": [{"name": "Ops", "email": "ops@example.com"}],
    }
    world.config["deliveries"] = {"first_wait": "1h", "max_wait": "1h"}
    ended = world.run("run")
    assert ended.code == 0
    deliveries = world.run("deliveries", "list", "--json").json["Results"]
    assert {delivery["Endpoint"].split("/")[0]: delivery["State"] for delivery in deliveries} == {
        "mail": "owed",
        "webhook": "delivered",
    }


def test_a_state_folder_that_cannot_be_written(world: World) -> None:
    world.config["state_folder"] = str(world.folder / "app.db")
    ended = world.run("run")
    assert ended.code == 1
    assert "app.db" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data_sources: [", ["config.yml:1", "YAML"]),
        ("data_sources:\n  - {provider: sqlite, label: A, db_path: x}\ndrivers: []\n", ["config.yml:3", "drives"]),
        (
            "data_sources:\n  - {provider: sqlite, label: A, db_path: x}\n"
            "  - {provider: sqlite, label: A, db_path: y}\n"
            "drives:\n  - {provider: local, label: D, folder: d}\n",
            ["config.yml:3", "twice"],
        ),
    ],
    ids=["corrupt", "unknown key", "label twice"],
)
def test_a_wrong_config(text: str, words: list[str], world: World) -> None:
    broken = world.folder / "broken.yml"
    broken.write_text(text)
    for command in (["run", "-c", str(broken)], ["-c", str(broken), "config", "check"]):
        ended = world.run(*command)
        assert ended.code == 2
        for word in words:
            assert word.replace("config.yml", "broken.yml") in ended.err
        assert "Traceback" not in ended.err


def test_a_source_s_own_copy_leaves_room_too(world: World, small_disk: Path) -> None:
    world.config["spool"] = {"folder": str(small_disk), "min_free": "4MiB"}
    big = "import pathlib, time; pathlib.Path('dump/x').write_bytes(bytes(6000000)); time.sleep(600)"
    script = f'cd "$(dirname "$(find {small_disk} -name "*.work")")"/*.work && mkdir dump && python3 -c "{big}"'
    world.config["data_sources"] = [{"provider": "command", "label": "Copy", "argv": ["bash", "-c", script]}]
    assert_failed(world, world.run("run"), "min_free")
