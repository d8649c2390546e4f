"""The daemon's log as a user sets it up, in the config, by options, by the environment; as JSON and in the journal."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, TextIO

import httpx
import pytest
import yaml

from tests.e2e.world import World, end, wait_for
from tests.servers._process import free_port

LEAKS = 'echo "login with $PW refused\n2026-01-01T00:00:00+00:00 INFO forged" >&2; exit 3'
NOISY = """
import logging
from backupman.drives.local import Local

class Noisy(Local):
    def upload(self, *arguments):
        logging.getLogger(__name__).warning("the disk grows\\nold")
        return super().upload(*arguments)
"""
SECRETS = ["t0ken-of-hook", "pw-of-leaks", "s3cret-key"]


@pytest.fixture
def logged(world: World) -> World:
    """A daemon with a source that works, one that tells its password, and a receiver that cannot be reached."""
    world.config["data_sources"].append(
        {"provider": "command", "label": "Leaks", "argv": ["sh", "-c", LEAKS], "env": {"PW": SECRETS[1]}}
    )
    (hook,) = world.config["notifiers"]["webhook"]["endpoints"]
    hook |= {"url": f"http://127.0.0.1:{free_port()}/{SECRETS[0]}", "token": SECRETS[0]}
    world.config["http"] = {"host": "127.0.0.1", "port": free_port(), "api_keys": [SECRETS[2]]}
    return world


def client(world: World, key: str = SECRETS[2]) -> httpx.Client:
    """A client of the daemon."""
    url = f"http://127.0.0.1:{world.config['http']['port']}"
    headers = {"X-Api-Key": key}
    return httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=90)


def answers(world: World) -> bool:
    """Whether the daemon answers."""
    try:
        with client(world) as api:
            return api.get("/livez").is_success
    except httpx.TransportError:
        return False


def settled(world: World) -> list[dict[str, Any]]:
    """The backups, once nothing is under way any more."""
    with client(world) as api:
        found: list[dict[str, Any]] = api.get("/api/backups").json()["Results"]
    return [] if any(backup["Status"] == "pending" for backup in found) else found


def work(world: World) -> dict[str, str]:
    """Let the daemon make all backups and refuse a caller; the ids by source."""
    wait_for(lambda: answers(world))
    with client(world) as api:
        ids = api.post("/api/backups").json()["Ids"]
    with client(world, "wrong-key") as api:
        assert api.get("/api/backups/%0A%1B[2J").status_code == 401
    wait_for(lambda: settled(world))
    found = {backup["Label"]: backup["Id"] for backup in settled(world)}
    assert sorted(found.values()) == sorted(ids)
    return found


def test_json(logged: World) -> None:
    logged.config["log"] = {"format": "json", "level": "debug"}
    process = logged.start("serve")
    ids = work(logged)
    ended = end(process, signal.SIGTERM)
    assert ended.code == 0
    assert ended.out == ""
    lines = [json.loads(line) for line in ended.err.splitlines()]
    for secret in SECRETS:
        assert secret not in ended.err
    assert {"uvicorn.error", "apscheduler.scheduler", "backupman.api.keys"} <= {line["logger"] for line in lines}
    for source, last in (("App", "info"), ("Leaks", "error")):
        about = [line for line in lines if line.get("backup_id") == ids[source]]
        assert {(line["job"], line["source"]) for line in about} == {("default", source)}
        steps = [line for line in about if line["logger"] == "backupman.engine.steps"]
        assert "begins, onto Disk" in steps[0]["message"]
        assert steps[-1]["level"] == last
    (failed,) = [line["message"] for line in lines if "login with" in line["message"]]
    assert failed.endswith("login with *** refused 2026-01-01T00:00:00+00:00 INFO forged")
    assert not any("backup_id" not in line and line["message"].startswith(("App:", "Leaks:")) for line in lines)


def test_options_and_the_environment_count_more_than_the_config(logged: World) -> None:
    logged.config["log"] = {"format": "json", "level": "error"}
    logged.env = {"BACKUPMAN_LOG_FORMAT": "human"}
    process = logged.start("serve", "--log-level", "info")
    ids = work(logged)
    ended = end(process, signal.SIGTERM)
    assert f" INFO [default, App, {ids['App'][:8]}] App: finished in " in ended.err
    assert f" ERROR [default, Leaks, {ids['Leaks'][:8]}] Leaks: failed after " in ended.err


def test_a_reload_changes_the_level(logged: World) -> None:
    logged.config["log"] = {"level": "error"}
    process = logged.start("serve")
    wait_for(lambda: answers(logged))
    logged.config |= {"log": {"level": "info"}, "jobs": [{"label": "late", "cron": "@yearly"}]}
    logged.config_file.write_text(yaml.safe_dump(logged.config))
    process.send_signal(signal.SIGHUP)
    with client(logged) as api:
        wait_for(lambda: [job["Label"] for job in api.get("/api/jobs").json()["Results"]] == ["late"])
    ended = end(process, signal.SIGTERM)
    assert " serves on " not in ended.err
    assert " INFO stopping: SIGTERM" in ended.err
    assert " WARNING late: nobody is told when a backup is late" in ended.err, "what `config check` warns of"


def test_what_is_wrong_at_the_start_is_logged_too(logged: World) -> None:
    logged.config |= {"http": {"prot": 1}, "drivs": []}
    ended = logged.run("serve", "--log-format", "json")
    assert ended.code == 2
    lines = [json.loads(line) for line in ended.err.splitlines()]
    assert {line["level"] for line in lines} == {"critical"}
    assert [word for word in ("http.prot", "drivs") if not any(word in line["message"] for line in lines)] == []


def under_systemd(world: World, command: str) -> "tuple[subprocess.Popen[bytes], TextIO]":
    """A command as systemd starts it, with standard error as the stream that JOURNAL_STREAM names; and that stream."""
    world.config_file.write_text(yaml.safe_dump(world.config))
    read, write = os.pipe()
    status = os.fstat(write)
    process = subprocess.Popen(
        [sys.executable, "-m", "backupman", command, "-c", str(world.config_file)],
        cwd=world.folder,
        stdout=subprocess.DEVNULL,
        stderr=write,
        env=os.environ | {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}", "PYTHONPATH": str(Path.cwd())},
    )
    os.close(write)
    return process, os.fdopen(read, encoding="utf-8")


def test_the_journal_of_the_daemon(logged: World) -> None:
    process, journal = under_systemd(logged, "serve")
    with journal:
        ids = work(logged)
        process.send_signal(signal.SIGTERM)
        lines = journal.read().splitlines()
    assert process.wait(30) == 0
    assert f"<6>[default, App, {ids['App'][:8]}] App: begins, onto Disk" in lines
    (failed,) = [line for line in lines if "login with" in line]
    assert failed.startswith(f"<3>[default, Leaks, {ids['Leaks'][:8]}] Leaks: failed after ")
    assert all(line[:3] in ("<2>", "<3>", "<4>", "<6>") for line in lines)


def test_the_journal_of_a_single_run(world: World) -> None:
    process, journal = under_systemd(world, "run")
    with journal:
        lines = journal.read().splitlines()
    assert process.wait(30) == 0
    assert [line for line in lines if line.startswith("App: finished in ")]
    assert [line for line in lines if line[:2] == "20"] == []


def test_what_the_process_that_moves_the_data_logs(world: World) -> None:
    """It is another process: its lines reach the log all the same, with what they are about."""
    plugins = world.folder / "plugins"
    plugins.mkdir()
    (plugins / "noisy.py").write_text(NOISY)
    (plugins / "sitecustomize.py").write_text(
        f"import backupman.drives; backupman.drives.__path__.append({str(plugins)!r})"
    )
    world.config["drives"][0]["provider"] = "noisy"
    world.config |= {"log": {"format": "json"}, "http": {"port": free_port(), "api_keys": [SECRETS[2]]}}
    world.env = {"PYTHONPATH": f"{plugins}:{Path.cwd()}"}
    process = world.start("serve")
    wait_for(lambda: answers(world))
    with client(world) as api:
        (backup_id,) = api.post("/api/backups").json()["Ids"]
    wait_for(lambda: settled(world))
    lines = [json.loads(line) for line in end(process, signal.SIGTERM).err.splitlines()]
    said, *_ = [line for line in lines if line["message"] == "the disk grows old"]
    assert (said["level"], said["source"], said["backup_id"]) == ("warning", "App", backup_id)
