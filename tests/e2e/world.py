"""A small world around the real program: a folder, a config, the process as a user starts it, and what it left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from backupman.naming import RESTORE_TXT
from tests.e2e import forking
from tests.servers.receiver import Receiver


@dataclass(frozen=True)
class Ended:
    """What a command ended with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


@dataclass
class World:
    """A config that tests change as they like, and the commands run on it."""

    folder: Path
    receiver: Receiver
    config: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    _started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def config_file(self) -> Path:
        """Where the config is written before each command."""
        return self.folder / "config.yml"

    @property
    def drive(self) -> Path:
        """The folder of the local drive."""
        return self.folder / "drive"

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command."""
        self.write_config()
        started = subprocess.Popen(
            [sys.executable, "-m", "backupman", *words],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(),
        )
        self._started.append(started)
        return started

    def end_all(self) -> None:
        """End what a test that has failed left running."""
        for process in self._started:
            with process:  # its pipes would be found open by another test
                process.kill()

    def fork(self, *words: str, main: str = "backupman.cli.main", **env: str) -> forking.Forked:
        """Start a command where it does not matter how the program itself begins."""
        self.write_config()
        return forking.Forked(words, self.folder, self._environment() | env, main)

    def write_config(self) -> None:
        """Write the config as it is now."""
        self.config_file.write_text(yaml.safe_dump(self.config, allow_unicode=True))

    def _environment(self) -> dict[str, str]:
        return dict(os.environ) | {"BACKUPMAN_CONFIG": str(self.config_file), "COLUMNS": "200"} | self.env

    def run(self, *words: str, timeout: float = 180) -> Ended:
        """Run a command to its end."""
        if not self.env:
            self.write_config()
            return Ended(*forking.run(words, self.folder, self._environment(), timeout))
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"`backupman {' '.join(words)}` did not end: {out}{err}") from None
        return Ended(process.returncode, out, err)

    def backups(self) -> list[dict[str, Any]]:
        """All records, the newest first."""
        results: list[dict[str, Any]] = self.run("list", "--json").json["Results"]
        return results

    def reports(self) -> list[dict[str, Any]]:
        """The payloads of the `backup_report`s that arrived at the webhook."""
        return [json.loads(request.body)["Payload"] for request in self.receiver.requests]

    def objects(self) -> list[str]:
        """What is visible on the local drive, without what stands beside the dumps."""
        return [name for name in self.litter(self.drive) if not name.endswith((".json", RESTORE_TXT))]

    @staticmethod
    def litter(folder: Path) -> list[str]:
        """Every file below a folder."""
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    @property
    def spool(self) -> list[str]:
        """Every file in the default spool folder."""
        return self.litter(self.folder / "state/spool")

    def children(self) -> list[str]:
        """The command lines of processes of ours that are still there, told by their working folder."""
        return sorted(_ours(self.folder))

    def assert_clean(self) -> None:
        """Nothing partial stands under a final name or waits in a corner, and nobody is left running."""
        assert self.objects() == []
        assert self.spool == []
        assert [name for name in self.litter(self.folder) if name.endswith(".part")] == []
        deadline = time.monotonic() + 30
        while left := self.children():
            assert time.monotonic() < deadline, left
            time.sleep(0.05)


def _ours(folder: Path) -> Iterator[str]:
    for process in psutil.process_iter(["cwd", "cmdline", "status"]):
        if process.info["cwd"] == str(folder) and process.info["status"] != psutil.STATUS_ZOMBIE:
            yield " ".join(process.info["cmdline"] or [])


def wait_for(condition: Any, seconds: float = 90) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come true in {seconds} s"
        time.sleep(0.05)


def end(
    process: "subprocess.Popen[str] | forking.Forked", sign: signal.Signals = signal.SIGINT, timeout: float = 90
) -> Ended:
    """Send a signal to a command and wait for its end."""
    process.send_signal(sign)
    out, err = process.communicate(timeout=timeout)
    assert process.returncode is not None
    return Ended(process.returncode, out, err)


def assert_failed(world: World, ended: Ended, *words: str) -> dict[str, Any]:
    """The backup has failed, said so everywhere in one sentence with these words, and left nothing."""
    assert ended.code == 1, ended.err
    (backup,) = world.backups()
    assert backup["Status"] == "failed"
    assert backup["Error"].startswith(f"{backup['Label']}: ") or backup["Label"] in backup["Error"]
    for word in words:
        assert word.lower() in backup["Error"].lower()
    assert "Traceback" not in ended.err
    assert backup["Error"].split("\n")[0] in " ".join(ended.err.split()) or backup["Error"] in ended.err
    (report,) = world.reports()
    assert (report["Id"], report["Status"], report["DumpPath"]) == (backup["Id"], "failed", None)
    assert {file["Status"] for file in report["DriveFiles"]} == {"failed"}
    world.assert_clean()
    return backup
