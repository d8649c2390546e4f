"""A fleet that is only on record: workers that live or do not, and work that waits for them, put there by the store."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import URL

from backupman.records import Assignment, AssignmentKind, Worker, new_id, now
from backupman.store import Store
from backupman.store.claims import Holder
from backupman.store.workers import worker_claim
from tests.servers.postgres import Postgres

_LONG = timedelta(hours=6)


@dataclass(frozen=True)
class Fleet:
    """The records of an installation, on PostgreSQL."""

    address: str
    store: Store
    instance: str

    @property
    def sections(self) -> dict[str, Any]:
        """What its config says of them."""
        return {"instance": self.instance, "database": {"url": self.address}, "executor": "procrastinate"}

    def worker(
        self,
        host: str,
        *queues: str,
        takes_any: bool = False,
        lives: bool = True,
        heard_at: datetime | None = None,
        stopped_at: datetime | None = None,
    ) -> Worker:
        """A worker that has come (again), with two slots; it lives unless that is denied."""
        at = heard_at or now()
        made = Worker(
            home=f"{self.instance} {host}"[:36],
            instance=self.instance,
            holder=new_id(),
            host=host,
            version="1.2.3",
            queues=list(queues),
            takes_any=takes_any,
            slots=2,
            started_at=at - timedelta(days=1),
            heard_at=at,
            stopped_at=stopped_at,
        )
        self.store.workers.come(made)
        if lives:
            self.store.claims.take(_holder(made), worker_claim(made.home), _LONG)
        return made

    def lose(self, worker: Worker) -> None:
        """Its claim is at its end."""
        self.store.claims.release(_holder(worker), worker_claim(worker.home))

    def work(
        self, queue: str, source: str = "App", *, at: datetime | None = None, by: Worker | None = None, **fields: Any
    ) -> Assignment:
        """An assignment that was handed out, and that waits unless a worker has taken it."""
        known: dict[str, Any] = {"kind": AssignmentKind.BACKUP, "job": "nightly", "source": source} | fields
        made = Assignment(instance=self.instance, queue=queue, created_at=at or now(), **known)
        self.store.assignments.hand_out([made], lambda *_: None)
        if by:
            self.take(made, by)
        return made

    def take(self, assignment: Assignment, by: Worker) -> None:
        """The worker has it under way."""
        assert self.store.assignments.take(assignment.id, home=by.home, holder=by.holder, host=by.host, at=now())


def _holder(worker: Worker) -> Holder:
    return Holder(worker.instance, worker.holder, worker.home, worker.host)


@contextmanager
def recorded(server: Postgres, instance: str = "") -> Iterator[Fleet]:
    """A fleet without workers and without work, in a database of its own."""
    database = server.create_database()
    url = URL.create("postgresql+psycopg", server.user, server.password, server.host, server.port, database)
    address = url.render_as_string(hide_password=False)
    store = Store.open(address)
    yield Fleet(address, store, instance)
    store.close()


@pytest.fixture(scope="session")
def shared_records(postgres: Postgres) -> Iterator[Fleet]:
    """The records of the fleets of all tests of a process: each is an installation of its own in them."""
    with recorded(postgres) as known:
        yield known


@pytest.fixture
def fleet(shared_records: Fleet) -> Fleet:
    """A fleet without workers and without work."""
    return replace(shared_records, instance=f"host-{new_id()[:8]}")
