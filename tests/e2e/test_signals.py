"""Signals and the watchdog: what is running ends well if it may, a reload disturbs nothing, a broken daemon goes."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.e2e.test_service import answers, api, jobs, served
from tests.e2e.world import World, end, wait_for

__all__ = ["served"]

BROKEN = """
import sys
from datetime import timedelta
import backupman.daemon
from backupman.cli import main
from backupman.engine.dispatcher import Dispatcher

async def broken(self, longest=0.0):
    raise ValueError("a fault of ours")

{fault}
sys.argv = ["backupman", "serve"]
sys.exit(main())
"""
NO_DELIVERIES = "Dispatcher.deliver_due = broken"
NO_HEARTBEAT = "backupman.daemon.Daemon._beat = lambda self: 0; backupman.daemon._DEAD_AFTER = timedelta(seconds=3)"


@pytest.fixture
def waiting(served: World) -> World:
    """A daemon whose source is dumped once the file `go` is there, and that has long to end."""
    argv = ["sh", "-c", f"echo begin; until [ -e {served.folder}/go ]; do sleep 0.05; done; echo done"]
    served.config |= {
        "data_sources": [{"provider": "command", "label": "Waits", "argv": argv}],
        "shutdown_grace": "90s",
    }
    return served


@pytest.fixture
def told(served: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """The next thing that systemd is told, other than that the daemon lives."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(served.folder / "notify"))
        listener.settimeout(90)
        monkeypatch.setenv("NOTIFY_SOCKET", str(served.folder / "notify"))

        def following() -> str:
            while (said := listener.recv(4096).decode()) == "WATCHDOG=1":
                pass
            return said

        yield following


def start_backup(world: World) -> str:
    """Let the daemon begin its backup; the id, once the dump is under way."""
    wait_for(lambda: answers(world))
    with api(world) as client:
        (backup_id,) = client.post("/api/backups").json()["Ids"]
    wait_for(lambda: world.litter(world.drive))
    return str(backup_id)


def taken(world: World) -> int:
    """The status of an answer to whoever wants a backup; 0 when nobody answers."""
    try:
        with api(world) as client:
            return client.post("/api/backups").status_code
    except httpx.TransportError:
        return 0


def test_what_is_running_may_end_and_nothing_new_begins(waiting: World) -> None:
    waiting.config["jobs"] = [{"label": "often", "cron": "* * * * * *"}]
    process = waiting.start("serve")
    wait_for(lambda: waiting.litter(waiting.drive))
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: taken(waiting) == 503)
    assert process.poll() is None
    (waiting.folder / "go").touch()
    process.communicate(timeout=90)
    assert process.returncode == 0
    (backup,) = waiting.backups()
    assert backup["Status"] == "finished"
    wait_for(lambda: waiting.children() == [])


def test_a_second_signal_waits_no_longer(waiting: World) -> None:
    process = waiting.start("serve")
    backup_id = start_backup(waiting)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: taken(waiting) == 503)  # two signals at once are one
    ended = end(process, signal.SIGINT)
    assert ended.code == 0
    (backup,) = waiting.backups()
    assert (backup["Id"], backup["Status"]) == (backup_id, "failed")
    assert "stopped" in backup["Error"]
    assert " INFO stopping: what is still running is ended now" in ended.err
    waiting.assert_clean()


def test_systemd_is_asked_for_as_long_as_it_may_take(waiting: World, told: Callable[[], str]) -> None:
    process = waiting.start("serve")
    assert told().splitlines()[0] == "READY=1"
    process.send_signal(signal.SIGTERM)
    assert told().splitlines() == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=150000000"]
    process.communicate(timeout=120)


def test_the_watchdog_is_fed_while_it_stops(waiting: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(waiting.folder / "notify"))
        told.settimeout(90)
        monkeypatch.setenv("NOTIFY_SOCKET", str(waiting.folder / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        process = waiting.start("serve")
        start_backup(waiting)
        process.send_signal(signal.SIGTERM)
        while not told.recv(4096).startswith(b"STOPPING=1"):
            pass
        assert [told.recv(4096) for _ in range(5)] == [b"WATCHDOG=1"] * 5
        (waiting.folder / "go").touch()
        process.communicate(timeout=120)


def test_nobody_waits_for_a_systemd_that_does_not_listen(served: World, told: Callable[[], str]) -> None:
    process = served.start("serve")
    assert told().splitlines()[0] == "READY=1"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as another, pytest.raises(BlockingIOError):
        another.setblocking(False)
        while True:  # until it keeps no more
            another.sendto(b"X", str(served.folder / "notify"))
    served.config["jobs"].append({"label": "weekly", "cron": "@weekly"})
    served.write_config()
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: jobs(served) == ["daily", "weekly"])
    assert end(process, signal.SIGTERM).code == 0


def test_a_reload_leaves_what_is_running_alone(waiting: World, told: Callable[[], str]) -> None:
    process = waiting.start("serve")
    assert told().splitlines() == ["READY=1", f"STATUS=serves on 127.0.0.1:{waiting.config['http']['port']}, jobs: 1"]
    backup_id = start_backup(waiting)
    waiting.config["jobs"] += [{"label": "weekly", "cron": "@weekly"}]
    waiting.config["data_sources"].append({"provider": "command", "label": "New", "argv": ["echo", "new"]})
    waiting.config_file.write_text(yaml.safe_dump(waiting.config))
    process.send_signal(signal.SIGHUP)
    assert told() == "RELOADING=1"
    assert told().endswith("jobs: 2")
    assert jobs(waiting) == ["daily", "weekly"]
    with api(waiting) as client:
        assert client.get(f"/api/backups/{backup_id}").json()["Status"] == "pending"
        (waiting.folder / "go").touch()
        wait_for(lambda: client.get(f"/api/backups/{backup_id}").json()["Status"] == "finished")
        ids = client.post("/api/backups", json={"Source": "New"}).json()["Ids"]
        wait_for(lambda: client.get(f"/api/backups/{ids[0]}").json()["Status"] == "finished")
    end(process, signal.SIGTERM)


def test_a_wrong_config_is_refused_at_a_reload_and_systemd_sees_it_ready(
    waiting: World, told: Callable[[], str]
) -> None:
    process = waiting.start("serve")
    told()
    waiting.config_file.write_text("jobs: [")
    process.send_signal(signal.SIGHUP)
    assert [told(), told().splitlines()[0]] == ["RELOADING=1", "READY=1"]
    assert jobs(waiting) == ["daily"]
    end(process, signal.SIGTERM)


def end_of(world: World, fault: str) -> str:
    """What a daemon with a fault logs until it ends, by itself and to be started again."""
    world.config_file.write_text(yaml.safe_dump(world.config))
    ended = subprocess.run(
        [sys.executable, "-c", BROKEN.format(fault=fault)],
        cwd=world.folder,
        env=os.environ | {"BACKUPMAN_CONFIG": str(world.config_file), "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 1
    assert " CRITICAL stopping: a part of the daemon has ended by itself" in ended.stderr
    return ended.stderr


def test_a_daemon_that_cannot_deliver_any_more_ends(served: World) -> None:
    said = end_of(served, NO_DELIVERIES)
    assert " CRITICAL the thread dispatcher has ended unexpectedly\n  Traceback" in said
    assert "ValueError: a fault of ours" in said


def test_a_daemon_whose_scheduler_stands_still_ends(served: World) -> None:
    assert " serves on " in end_of(served, NO_HEARTBEAT)
