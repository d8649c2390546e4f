"""Procrastinate's queues in our PostgreSQL: its tables in a schema of their own, filled in our own transactions."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from typing import Any

import psycopg
from procrastinate import App, SyncPsycopgConnector
from procrastinate.connector import BaseConnector
from procrastinate.schema import SchemaManager
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url
from sqlmodel import Session

from backupman.errors import StoreError
from backupman.records import Assignment, AssignmentKind, AssignmentState
from backupman.store import AS_TEXT, KEPT_ALIVE
from backupman.store.assignments import Place
from backupman.text import first_line

log = logging.getLogger(__name__)

SCHEMA = "backupman_queue"
TASK = "backupman.assignment"
_LOCK = 7209318
_PRIORITIES = {
    AssignmentKind.DELIVER: 30,
    AssignmentKind.RESTORE: 20,
    AssignmentKind.RETRY: 10,
    AssignmentKind.VERIFY: -10,
}
_ASKED = 10
"""What somebody asked for goes before what is only due."""


@dataclass(frozen=True)
class Task:
    """A task in Procrastinate's queue: its number, the id of its assignment, and whether a worker has fetched it."""

    number: int
    assignment: str
    fetched: bool

    def fits(self, place: Place | None) -> bool:
        """Whether it is the task of an assignment that has not ended, and both are at the same point."""
        if place is None or place.task_id != self.number:
            return False
        return self.fetched == (place.state == AssignmentState.RUNNING)


class Queue:
    """The queues of one installation.

    Args:
        address: the store's; PostgreSQL.
    """

    def __init__(self, address: str, instance: str) -> None:
        self._url = make_url(address).set(drivername="postgresql")
        self._scope = hashlib.sha256(instance.encode()).hexdigest()[:8]
        self._deferring = App(connector=SyncPsycopgConnector())  # never opened: it writes with our own connections

    def prepare(self) -> None:
        """Make Procrastinate's tables, or bring them up to date. Raises StoreError."""
        try:
            with psycopg.connect(self.conninfo, autocommit=True) as connection:
                _migrate(connection)
        except psycopg.Error as error:
            raise StoreError(f"the queues in {self._place} cannot be made: {first_line(str(error))}") from error

    def put(
        self, session: Session, assignment: Assignment, excerpt: dict[str, Any], wait: timedelta | None = None
    ) -> None:
        """Put an assignment into its queue, in the session's transaction; it can be taken after `wait`."""
        with _search_path(session) as connection:
            assignment.task_id = self._deferring.configure_task(
                TASK,
                queue=self.name_of(assignment.queue),
                lock=self._lock_of(assignment),
                priority=_priority(assignment),
                connection=connection,
                schedule_in={"seconds": wait.total_seconds()} if wait else None,
            ).defer(assignment=assignment.id, excerpt=excerpt)

    def drop(self, session: Session, task_ids: Sequence[int]) -> None:
        """Take tasks out of their queues whose worker is dead, or that nobody needs any more; their locks are free."""
        with _search_path(session) as connection:
            connection.execute("DELETE FROM procrastinate_jobs WHERE id = ANY(%s)", [list(task_ids)])

    def tasks(self, session: Session) -> list[Task]:
        """The tasks of all queues that have not ended."""
        with _search_path(session) as connection:
            found = connection.execute(
                "SELECT id, args->>'assignment', status = 'doing' FROM procrastinate_jobs"
                " WHERE left(queue_name, 9) = %s",
                [f"{self._scope}-"],
            )
            return [Task(*row) for row in found]

    def analyze(self, session: Session) -> None:
        """Let PostgreSQL count what waits: until it has, each fetch compares every task with all others."""
        with _search_path(session) as connection:
            connection.execute("ANALYZE procrastinate_jobs")

    def excerpt_of(self, session: Session, task_id: int) -> dict[str, Any] | None:
        """What the config says of a task."""
        with _search_path(session) as connection:
            found = connection.execute("SELECT args->'excerpt' FROM procrastinate_jobs WHERE id = %s", [task_id])
            row = found.fetchone()
            return row[0] if row else None

    def app(self, connector: BaseConnector, work: Callable[[str, dict[str, Any]], None]) -> App:
        """Procrastinate's app of a worker, which does what is in the queues by `work`."""
        app = App(connector=connector)

        @app.task(name=TASK)
        def _assignment(assignment: str, excerpt: dict[str, Any]) -> None:
            work(assignment, excerpt)

        return app

    def name_of(self, queue: str) -> str:
        """A queue's name in Procrastinate; as a channel of PostgreSQL's it has room for 40 bytes."""
        return f"{self._scope}-{queue}"

    @property
    def conninfo(self) -> str:
        """How to connect, for psycopg; the tables of the queues are found first."""
        options = f"{self._url.query.get('options', '')} -c search_path={SCHEMA}".strip()
        return make_conninfo(self.plain_conninfo, options=options)

    @property
    def plain_conninfo(self) -> str:
        """How to connect, for psycopg."""
        settings = self._url.translate_connect_args(username="user", database="dbname") | dict(self._url.query)
        return make_conninfo("", **KEPT_ALIVE | AS_TEXT | settings)

    @property
    def channel(self) -> str:
        """The name of the channel on which the installation's hosts tell each other how things go on."""
        return f"backupman_{self._scope}"

    @property
    def _place(self) -> str:
        return self._url.set(query={}).render_as_string(hide_password=True)

    def _lock_of(self, assignment: Assignment) -> str | None:
        """Held by a task under way: whatever dumps a source goes one after the other, in the order of the queue."""
        if assignment.kind in (AssignmentKind.BACKUP, AssignmentKind.RETRY):
            return f"{self._scope} dumps {assignment.source}"
        if assignment.kind == AssignmentKind.VERIFY:
            return f"{self._scope} verifies {assignment.source}"
        return f"{self._scope} delivers from {assignment.queue}" if assignment.kind == AssignmentKind.DELIVER else None


def _priority(assignment: Assignment) -> int:
    asked = assignment.kind == AssignmentKind.BACKUP and assignment.run_id is None
    return _ASKED if asked else _PRIORITIES.get(AssignmentKind(assignment.kind), 0)


@contextmanager
def _search_path(session: Session) -> Iterator[psycopg.Connection[Any]]:
    """The session's own connection, which finds the tables of the queues meanwhile."""
    session.flush()
    connection: psycopg.Connection[Any] = session.connection().connection.driver_connection  # type: ignore[assignment]
    row = connection.execute("SELECT current_setting('search_path')").fetchone()
    assert row  # noqa: S101 - of a SELECT without a table
    connection.execute("SELECT set_config('search_path', %s, true)", [SCHEMA])
    yield connection
    connection.execute("SELECT set_config('search_path', %s, true)", [row[0]])


def _migrate(connection: psycopg.Connection[Any]) -> None:
    """One process at a time. A table of ours says which of Procrastinate's migrations were applied."""
    connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    connection.execute(f"SET search_path TO {SCHEMA}")
    connection.execute("CREATE TABLE IF NOT EXISTS applied (name text PRIMARY KEY)")
    applied = {name for (name,) in connection.execute("SELECT name FROM applied").fetchall()}
    known = {file.name: file for file in resources.files("procrastinate.sql.migrations").iterdir()}
    names = sorted(name for name in known if name.endswith(".sql"))
    if newer := applied - set(names):
        raise StoreError(
            f"the queues were made by a newer Procrastinate ({max(newer)}): install at least that version here"
        )
    with connection.transaction():
        if not applied:
            connection.execute(SchemaManager.get_schema())
        for name in names:
            if applied and name not in applied:
                connection.execute(known[name].read_text().encode())
            if name not in applied:
                connection.execute("INSERT INTO applied VALUES (%s)", [name])
