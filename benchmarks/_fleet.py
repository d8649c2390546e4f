"""A fleet of the benchmark's own: a control host and workers on this machine, their records in a private PostgreSQL."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from _daemon import Served, small_database, write_config
from _measure import cannot_measure

_COME_WITHIN = 120.0
_POLL = 0.2


class Records:
    """A database for the records of one installation, asked in SQL beside it."""

    def __init__(self, socket: Path, name: str) -> None:
        with psycopg.connect(f"host={socket} user=postgres dbname=postgres", autocommit=True) as server:
            server.execute(f'CREATE DATABASE "{name}"'.encode())
        self.url = f"postgresql://postgres@/{name}?host={socket}"
        self._connection = psycopg.connect(
            f"host={socket} user=postgres dbname={name} application_name=benchmark", autocommit=True
        )

    def ask(self, query: LiteralString) -> list[tuple[Any, ...]]:
        """The rows of a query; none where its tables are not made yet."""
        try:
            return self._connection.execute(query).fetchall()
        except psycopg.errors.UndefinedTable:
            return []

    def number(self, query: LiteralString) -> float:
        """The one number that a query gives; 0 where there is none."""
        rows = self.ask(query)
        return float(rows[0][0] or 0) if rows else 0.0

    def connections(self) -> int:
        """How many others are connected to the database now."""
        return int(
            self.number(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name <> 'benchmark'"
            )
        )

    def wait(self, query: LiteralString, wanted: float, within: float, watch: Callable[[], None] | None = None) -> None:
        """Until the number is there."""
        deadline = time.monotonic() + within
        while (found := self.number(query)) < wanted:
            if time.monotonic() > deadline:
                cannot_measure(f"after {within:.0f} s there are {found:g} of {wanted:g}: {query}")
            if watch:
                watch()
            time.sleep(_POLL)


def config_of(folder: Path, records: Records, jobs: int, executor: str, **settings: Any) -> Path:
    """The config of so many jobs, each of one small SQLite database, of a daemon that makes them or hands them out."""
    folder.mkdir()
    file = small_database(folder / "notes.db")
    names = [f"db-{number:05}" for number in range(jobs)]
    return write_config(
        folder,
        executor=executor,
        database={"url": records.url},
        max_parallel=1,
        monitoring_verbosity=0,
        data_sources=[{"provider": "sqlite", "label": name, "db_path": str(file)} for name in names],
        jobs=[{"label": f"job-{name}", "data_sources": [name], **settings} for name in names],
    )


@contextlib.contextmanager
def working(folder: Path, records: Records, count: int) -> Iterator[None]:
    """So many workers, each doing one thing at a time, while the `with` lasts."""
    processes = []
    try:
        for number in range(count):
            home = folder / f"worker-{number}"
            home.mkdir()
            config = write_config(home, database={"url": records.url}, max_parallel=1)
            with (home / "worker.log").open("wb") as out:
                argv = [sys.executable, "-m", "backupman", "worker", "-c", str(config)]
                processes.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out))
        records.wait("SELECT count(*) FROM backupman_workers WHERE stopped_at IS NULL", count, _COME_WITHIN)
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()


def ask_for_all(daemon: Served) -> None:
    """Ask for a backup of everything; what is answered at once are those that have begun."""
    daemon.post("/api/backups", {})
