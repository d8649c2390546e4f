"""A fleet in one process: a control host's config, its queues in a real PostgreSQL, workers on record, and a clock."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg import Connection
from sqlalchemy import URL
from sqlmodel import select

from backupman.app import App
from backupman.config.worker import load_worker
from backupman.engine.holding import Holding
from backupman.engine.live import Live
from backupman.errors import StoreError
from backupman.fleet.channel import Speaker
from backupman.fleet.handing import Handing
from backupman.fleet.queue import Queue
from backupman.fleet.reaping import Reaper
from backupman.fleet.runs import RunsOfWorkers
from backupman.fleet.tasks import Tasks
from backupman.records import Assignment, Backup, Worker, new_id
from backupman.store import Store
from backupman.store.claims import Holder
from backupman.store.workers import worker_claim
from tests.engine._virtual import Clock
from tests.servers.postgres import Postgres

LONG = timedelta(hours=6)
BEGAN = "2026-03-02 09:00"


def address_of(server: Postgres, database: str) -> str:
    """The address of a database, as a config has it."""
    url = URL.create("postgresql+psycopg", server.user, server.password, server.host, server.port, database)
    return url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def records(postgres: Postgres) -> str:
    """The address of a database with all tables; each test is an installation of its own in it."""
    address = address_of(postgres, postgres.create_database())
    Store.open(address).close()
    Queue(address, "").prepare()
    return address


@dataclass
class Bed:
    """An installation, and what a daemon and a worker would hold of it."""

    folder: Path
    address: str
    server: Postgres
    instance: str = field(default_factory=lambda: f"shop-{new_id()[:8]}")
    clock: Clock = field(default_factory=lambda: Clock(BEGAN))
    apps: list[App] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config: dict[str, Any] = {
            "instance": self.instance,
            "executor": "procrastinate",
            "state_folder": str(self.folder / "control"),
            "database": {"url": self.address},
            "data_sources": [self.source("App"), self.source("Blog", queue="db7")],
            "drives": [{"provider": "local", "label": "Disk", "folder": str(self.folder / "drive")}],
            "jobs": [{"label": "nightly", "cron": "0 2 * * *", "timezone": "UTC", "misfire_grace": "1h"}],
            "spool": {"min_free": "1MiB"},
        }
        self.store = Store.open(self.address)
        self.queue = Queue(self.address, self.instance)
        self.speaker = Speaker(self.queue.plain_conninfo, self.queue.channel)
        self.begin()
        self.runs = RunsOfWorkers(self.store, self.instance, lambda: self.handing)
        self.reaper = Reaper(self.store, self.instance, self.queue, lambda: self.handing, self.clock)

    def source(self, label: str, **settings: Any) -> dict[str, Any]:
        """A SQLite source."""
        file = self.folder / f"{label}.db"
        with sqlite3.connect(file) as database:
            database.execute("create table if not exists users (name text)")
        database.close()
        return {"provider": "sqlite", "label": label, "db_path": str(file), **settings}

    def begin(self, **sections: Any) -> None:
        """The control host takes its config, perhaps another one."""
        self.config |= sections
        file = self.folder / "config.yml"
        file.write_text(yaml.safe_dump(self.config))
        self.app = App.from_config(file)
        self.apps.append(self.app)
        self.handing = Handing(self.app, self.queue, self.speaker, self.clock)

    @property
    def plan(self) -> Any:
        """The first job."""
        return self.app.plans[0]

    def worker(self, *, lives: bool = True) -> Worker:
        """A worker on record."""
        home = f"home {new_id()[:8]}"
        at = self.clock()
        made = Worker(
            home=home, instance=self.instance, holder=new_id(), host="db-7", version="1", started_at=at, heard_at=at
        )
        self.store.workers.come(made)
        if lives:
            self.store.claims.take(Holder(self.instance, made.holder, home, made.host), worker_claim(home), LONG)
        return made

    def take(self, assignment: Assignment, worker: Worker) -> None:
        """A worker takes an assignment, and Procrastinate notes that its task is under way."""
        taken = self.store.assignments.take(
            assignment.id, home=worker.home, holder=worker.holder, host=worker.host, at=self.clock()
        )
        assert taken
        self.sql("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", taken.task_id)

    def tasks_of(self, holding: Holding, **sections: Any) -> Tasks:
        """What a worker in this process does assignments with; its config has these sections."""
        file = self.folder / "worker.yml"
        own = {"instance": self.instance, "state_folder": str(self.folder / "worker"), "spool": {"min_free": "1MiB"}}
        file.write_text(yaml.safe_dump(own | {"database": {"url": self.address}} | sections))
        return Tasks(load_worker(file), self.store, holding, self.queue, Live(), self.clock)

    def asked(self, *labels: str) -> list[Assignment]:
        """What waits after somebody has asked for backups of sources."""
        from backupman.engine.runner import Order

        self.handing.start(self.app.plans, labels, Order(), wait=False)
        return [each for each in self.open() if each.source in labels]

    def open(self) -> Sequence[Assignment]:
        """What has not ended, the oldest first."""
        return sorted(self.store.assignments.open(self.instance), key=lambda each: (each.created_at, each.source))

    def get(self, assignment: Assignment) -> Assignment:
        """An assignment as it stands now."""
        [found] = self.store.assignments.among([assignment.id])
        return found

    def all(self) -> list[Assignment]:
        """Every assignment of the installation."""
        query = select(Assignment).where(Assignment.instance == self.instance)
        return list(self.store.assignments.within(lambda session: session.exec(query).all()))

    def backups(self) -> list[Backup]:
        """The installation's backups, the oldest first."""
        return [each for each in reversed(self.store.backups.list()) if each.instance == self.instance]

    def reports(self) -> list[str]:
        """The ids of the backups that were reported."""
        events = self.store.outbox.events(limit=None)
        found = [event for event in events if event.instance == self.instance and event.kind == "backup_report"]
        return [event.payload["Id"] for event in found]

    def sql(self, query: Any, *values: Any) -> list[tuple[Any, ...]]:
        """What a statement on the queues' tables gives."""
        with self.connect() as connection:
            cursor = connection.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def connect(self) -> Connection[tuple[Any, ...]]:
        """A connection that finds the queues' tables."""
        import psycopg

        return psycopg.connect(self.queue.conninfo, autocommit=True)

    def tasks(self) -> list[dict[str, Any]]:
        """The installation's tasks in Procrastinate's table, in the order of their numbers."""
        query = (
            "SELECT id, queue_name, lock, priority, status::text, args FROM procrastinate_jobs"
            " WHERE left(queue_name, 9) = %s ORDER BY id"
        )
        names = ("id", "queue", "lock", "priority", "status", "args")
        return [dict(zip(names, row, strict=True)) for row in self.sql(query, self.queue.name_of(""))]

    def close(self) -> None:
        for app in self.apps:
            app.close()
        self.store.close()


@pytest.fixture
def bed(tmp_path: Path, postgres: Postgres, records: str) -> Iterator[Bed]:
    """An installation without workers and without work."""
    made = Bed(tmp_path, records, postgres)
    yield made
    made.close()


@pytest.fixture
def holding(bed: Bed) -> Iterator[Holding]:
    """What a worker in this process claims."""
    made = Holding(bed.store, bed.instance, bed.folder / "worker", LONG)
    yield made
    made.close()


def fails(*_: object) -> None:
    """PostgreSQL is not there, in the middle of a transaction."""
    raise StoreError("the records cannot be reached")
