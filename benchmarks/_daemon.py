"""A real `backupman serve` on a config of the benchmark's own, and its HTTP as a client sees it."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from _measure import cannot_measure

KEY = "benchmark-key"
_START_WITHIN = 120.0


class Served:
    """A daemon that answers at `url`: `pid`, and requests over one kept connection."""

    def __init__(self, pid: int, host: str, port: int) -> None:
        self.pid = pid
        self.url = f"http://{host}:{port}"
        self._address = host, port
        self._connection = HTTPConnection(host, port, timeout=300)

    def another(self) -> "Served":
        """The same daemon over a connection of its own, for another thread."""
        return Served(self.pid, *self._address)

    def get(self, path: str) -> bytes:
        """The body of an answer; anything but 200 ends the benchmark."""
        self._connection.request("GET", path, headers={"X-Api-Key": KEY})
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            cannot_measure(f"GET {path} was answered with {answer.status}: {body[:300]!r}")
        return body

    def post(self, path: str, document: Any) -> Any:
        """The JSON of an answer."""
        headers = {"X-Api-Key": KEY, "Content-Type": "application/json"}
        self._connection.request("POST", path, json.dumps(document), headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            cannot_measure(f"POST {path} was answered with {answer.status}: {body[:300]!r}")
        return json.loads(body)

    def seconds(self, path: str) -> float:
        """How long an answer takes until its last byte."""
        started = time.perf_counter()
        self.get(path)
        return time.perf_counter() - started

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def write_config(folder: Path, **sections: Any) -> Path:
    """A config (JSON is YAML) with a key for its API and everything below the folder."""
    known: dict[str, Any] = {
        "state_folder": str(folder / "state"),
        "instance": "benchmark",
        "spool": {"min_free": "1MiB"},
        "http": {"host": "127.0.0.1", "api_keys": [KEY]},
        "drives": [{"provider": "local", "label": "Disk", "folder": str(folder / "drive")}],
    }
    file = folder / "config.yml"
    file.write_text(json.dumps(known | sections))
    file.chmod(0o600)
    return file


def small_database(file: Path) -> Path:
    """A SQLite database that is dumped in no time."""
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE notes (text)")
        database.executemany("INSERT INTO notes VALUES (?)", [(f"note {n}",) for n in range(100)])
    return file


def store_of(config: Path) -> str:
    """The SQLite file of the records, its tables made."""
    backupman(config, "list")
    return str(config.parent / "state" / "backupman.db")


def backupman(config: Path, *words: str) -> str:
    """What a command prints."""
    argv = [sys.executable, "-m", "backupman", *words, "-c", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        cannot_measure(f"`backupman {' '.join(words)}` ended with {done.returncode}: {done.stderr}")
    return done.stdout


@contextlib.contextmanager
def serving(config: Path) -> Iterator[Served]:
    """A daemon while the `with` lasts."""
    log = config.parent / "serve.log"
    argv = [sys.executable, "-m", "backupman", "serve", "-p", "0", "-c", str(config)]
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=dict(os.environ))
    try:
        host, port = _address(process, log)
        served = Served(process.pid, host, port)
        yield served
        served.close()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: "subprocess.Popen[bytes]", log: Path) -> tuple[str, int]:
    deadline = time.monotonic() + _START_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"http://([\d.]+):(\d+)", log.read_text(errors="replace")):
            return found[1], int(found[2])
        time.sleep(0.05)
    return cannot_measure(f"the daemon did not start: {log.read_text(errors='replace')[-2000:]}")
