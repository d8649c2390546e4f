"""A fleet that is only on record: workers that live or do not, and work that waits for them, put there by the store."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from backupman.config import Config
from backupman.records import Assignment, AssignmentKind, Worker, new_id, now
from backupman.store import Store
from backupman.store.claims import Holder
from backupman.store.workers import worker_claim
from tests.store.conftest import server_address

INSTANCE = "host1"
EXECUTOR = {"executor": "procrastinate"} if "executor" in Config.model_fields else {}
_LONG = timedelta(hours=6)


def sections(request: pytest.FixtureRequest, instance: str = INSTANCE) -> dict[str, Any]:
    """What a config has in which work is handed to workers; its database is empty, and goes after the test."""
    return {"instance": instance, "database": {"url": server_address(request, "postgres")}, **EXECUTOR}


@contextmanager
def shared_store(config: dict[str, Any]) -> Iterator[Store]:
    """The records of such a config."""
    store = Store.open(config["database"]["url"])
    yield store
    store.close()


def worker(
    store: Store,
    host: str,
    *queues: str,
    takes_any: bool = False,
    lives: bool = True,
    heard_at: datetime | None = None,
    stopped_at: datetime | None = None,
    instance: str = INSTANCE,
) -> Worker:
    """A worker that has come, with two slots; it lives unless that is denied."""
    at = heard_at or now()
    made = Worker(
        home=f"home of {host}"[:36],
        instance=instance,
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
    store.workers.come(made)
    holder = Holder(instance, made.holder, made.home, host)
    store.claims.release(holder, worker_claim(made.home))
    if lives:
        store.claims.take(holder, worker_claim(made.home), _LONG)
    return made


def gone(store: Store, made: Worker) -> None:
    """The worker's claim is at its end: nothing is heard of it any more."""
    store.claims.release(Holder(made.instance, made.holder, made.home, made.host), worker_claim(made.home))


def work(
    store: Store,
    queue: str,
    source: str = "App",
    *,
    at: datetime | None = None,
    by: Worker | None = None,
    instance: str = INSTANCE,
    **fields: Any,
) -> Assignment:
    """An assignment that was handed out, and that waits unless a worker has taken it."""
    known: dict[str, Any] = {"kind": AssignmentKind.BACKUP, "job": "nightly", "source": source} | fields
    made = Assignment(instance=instance, queue=queue, created_at=at or now(), **known)
    store.assignments.hand_out([made], lambda *_: None)
    if by:
        taken = store.assignments.take(made.id, home=by.home, holder=by.holder, host=by.host, at=at or now())
        assert taken
        return taken
    return made
