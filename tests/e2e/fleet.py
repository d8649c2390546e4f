"""A small fleet of real processes: a control host and workers, each in a folder of its own, on one PostgreSQL."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import Connection, sql
from sqlmodel import select

from backupman.errors import StoreError
from backupman.records import Assignment, AssignmentState, Backup, Status
from backupman.store import Store
from tests.e2e.forking import Forked
from tests.e2e.test_service import answers, api
from tests.e2e.world import World, wait_for
from tests.servers._process import free_port
from tests.servers.receiver import Receiver

INSTANCE = "fleet"
YEARLY = "0 0 1 1 *"

Rows = Connection[tuple[Any, ...]]


@dataclass
class Fleet:
    """The hosts, what they share, and what they have written; `secrets` are in the environment of all of them."""

    folder: Path
    receiver: Receiver
    address: str
    secrets: dict[str, str] = field(default_factory=dict)
    lease: str = "15s"
    running: list[Forked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store.open(self.address)
        self.control = self._host("control")
        self.control.config |= {
            "executor": "procrastinate",
            "data_sources": [],
            "drives": [{"provider": "local", "label": "Disk", "folder": str(self.drive)}],
            "jobs": [{"label": "nightly", "cron": YEARLY, "misfire_grace": "1h"}],
            "notifiers": {"webhook": {"endpoints": [{"name": "Hook", "url": f"{self.receiver.url}/hook"}]}},
            "http": {"host": "127.0.0.1", "port": free_port(), "api_keys": ["s3cret-key"]},
            "retry": {"attempts": 2, "first_wait": "50ms", "max_wait": "100ms"},
            "deliveries": {"first_wait": "100ms", "max_wait": "200ms"},
        }

    @property
    def drive(self) -> Path:
        """The folder of the drive, which all hosts share."""
        return self.folder / "drive"

    def sqlite(self, label: str, size: int = 0, **settings: Any) -> dict[str, Any]:
        """A SQLite source of its own, with so many bytes that do not compress."""
        file = self.folder / f"{label}.db"
        database = sqlite3.connect(file)
        with database:
            database.execute("create table users (name text, picture blob)")
            database.execute("insert into users values (?, randomblob(?))", (f"Ada of {label}", size))
        database.close()
        return {"provider": "sqlite", "label": label, "db_path": str(file), **settings}

    def held(self, label: str, **settings: Any) -> dict[str, Any]:
        """A source that notes the process of each dump in `<label>.begun`, and dumps once the file `go` is there."""
        wait = f"until test -e {self.folder}/go; do sleep 0.1; done"
        script = f"echo $$ >> {self.folder}/{label}.begun; head -c 300000 /dev/urandom; {wait}; echo dump"
        return {"provider": "command", "label": label, "argv": ["bash", "-c", script], **settings}

    def dumps(self, label: str) -> list[int]:
        """The processes of the dumps that a held source has begun."""
        file = self.folder / f"{label}.begun"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def go(self) -> None:
        """Let held sources dump."""
        (self.folder / "go").touch()

    def serve(self) -> Forked:
        """The daemon of the control host, once it answers."""
        process = self._start(self.control, "serve")
        wait_for(lambda: answers(self.control) or process.poll() is not None)
        assert process.poll() is None, process.err
        return process

    def reload(self, process: Forked, sign: int) -> None:
        """Let the daemon take the config as it is now."""
        self.control.write_config()
        known = process.err.count("the config was read anew")
        process.send_signal(sign)
        wait_for(lambda: process.err.count("the config was read anew") > known)

    def worker(self, name: str, *queues: str, take_any: bool = False, address: str = "", **sections: Any) -> Forked:
        """A worker on a host of that name, once it works."""
        host = self._host(name, address)
        host.config |= {"worker": {"take_any": take_any, "allow": [{"label": "*"}]}, **sections}
        process = self._start(host, "worker", *(word for queue in queues for word in ("--queue", queue)))
        wait_for(lambda: " works for " in process.err or process.poll() is not None)
        assert process.poll() is None, process.err
        return process

    def home(self, name: str) -> str:
        """The id of a host's state folder."""
        return (self.folder / name / "state/id").read_text().strip()

    def children(self, name: str) -> list[str]:
        """The command lines of what runs on a host."""
        return self._world(name).children()

    def ask(self, *sources: str) -> None:
        """Ask for backups of sources over HTTP."""
        with api(self.control) as client:
            for source in sources:
                answer = client.post("/api/backups", json={"Source": source})
                assert answer.status_code == 200, answer.text

    def get(self, path: str) -> Any:
        """What the API answers."""
        with api(self.control) as client:
            return client.get(path).json()

    def assignments(self) -> Sequence[Assignment]:
        """What has not ended."""
        return self.store.assignments.open(INSTANCE)

    def idle(self) -> bool:
        """Whether everything has ended."""
        return not self.assignments() and not self.store.backups.pending(INSTANCE)

    def backups(self, source: str | None = None) -> list[Backup]:
        """The backups of a source, or all, the oldest first."""
        found = self.store.backups.list(limit=1000)
        return [each for each in reversed(found) if source in (None, each.source)]

    def finished(self) -> list[Backup]:
        """The backups that are finished; none while the records cannot be read."""
        try:
            return [backup for backup in self.backups() if backup.status == Status.FINISHED]
        except StoreError:
            return []

    def ended(self) -> list[Assignment]:
        """All assignments that have ended."""
        query = select(Assignment).where(Assignment.state == AssignmentState.ENDED)
        return list(self.store.assignments.within(lambda session: session.exec(query).all()))

    def reports(self) -> Counter[str]:
        """How often each backup was reported."""
        told = [json.loads(request.body) for request in self.receiver.requests]
        return Counter(message["Payload"]["Id"] for message in told if message["Event"] == "backup_report")

    def reported(self) -> bool:
        """Whether every backup was reported."""
        return set(self.reports()) == {backup.id for backup in self.backups()}

    def litter(self) -> list[str]:
        """What is half-way on the drive."""
        return [name for name in World.litter(self.drive) if name.endswith(".part")]

    def close(self) -> None:
        """End every process that is left, by its id."""
        for process in self.running:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.store.close()

    def _host(self, name: str, address: str = "") -> World:
        world = self._world(name)
        world.folder.mkdir(exist_ok=True)
        world.config = {
            "instance": INSTANCE,
            "state_folder": str(world.folder / "state"),
            "database": {"url": address or self.address, "takeover_after": self.lease},
            "spool": {"min_free": "1MiB"},
        }
        return world

    def _world(self, name: str) -> World:
        return World(folder=self.folder / name, receiver=self.receiver)

    def _start(self, host: World, *words: str) -> Forked:
        process = host.fork(*words, "-c", str(host.config_file), **self.secrets)
        self.running.append(process)
        return process


@contextmanager
def fleet_in(folder: Path, receiver: Receiver, address: str, **secrets: str) -> Iterator[Fleet]:
    """A fleet while the `with` lasts."""
    fleet = Fleet(folder, receiver, address, secrets)
    try:
        yield fleet
    finally:
        fleet.close()


def everything_written(connection: Rows) -> str:
    """All rows of all tables of a database, ours and the queue's, as text."""
    tables = connection.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    ).fetchall()
    rows = [
        row
        for schema, table in tables
        for (row,) in connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(schema, table)))
    ]
    return "\n".join(rows)
