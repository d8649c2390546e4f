"""How things stand with what a job promises: which backups it has begun, and which of them are good."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select

from backupman.events import EventKind
from backupman.records import Backup, Event, Kind, Status
from backupman.store._sessions import Sessions

# As SQLAlchemy sees them: SQLModel types columns as the records' own values.
_B: Any = Backup
_E: Any = Event


_ONE_RUN = timedelta(minutes=10)
"""All backups of a source in one run are recorded before the first is made: within seconds, even of hundreds."""


@dataclass(frozen=True)
class Made:
    """What is known of a settled backup, as far as deadlines care: `size` is the tool's bytes."""

    label: str
    status: str
    created_at: datetime
    finished_at: datetime | None
    size: int | None
    timed_out: bool

    @property
    def span(self) -> tuple[datetime, datetime]:
        """From its beginning to its end."""
        return self.created_at, self.finished_at or self.created_at


@dataclass(frozen=True)
class Of:
    """Whose backups: a source's by a job, or those that a sender tells of a device's job."""

    instance: str
    job: str
    source: str
    sender: str | None = None

    def matches(self) -> ColumnElement[bool]:
        """As a condition."""
        found = and_(_B.job == self.job, _B.source == self.source, _B.instance == self.instance)
        if self.sender is None:
            return and_(found, _B.kind == Kind.OWN)
        return and_(found, _B.kind == Kind.INGESTED, _B.sender == self.sender)


class Standing:
    """Reads, all of them by index: the newest backups are asked for, never the whole history."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def databases(self, of: Of, until: datetime) -> list[str]:
        """The databases that the newest run found, sorted; none before a run got so far as to list them."""
        listed = and_(of.matches(), _B.database != "", _B.created_at <= until)
        newest = self._first(_newest_first(select(_B.created_at).where(listed, _B.trigger != "retry")))
        if newest is None:
            return []
        same_run = _B.created_at.between(newest - _ONE_RUN, newest)
        return sorted(name for (name,) in self._rows(select(_B.database).where(listed, same_run).distinct()))

    def good(self, of: Of, database: str | None, until: datetime, limit: int) -> list[Made]:
        """The newest good backups begun until then, of one database or of any, the newest first."""
        query = _about(of, database, until).where(_B.status == Status.FINISHED).limit(limit)
        return [Made(*row) for row in self._rows(query)]

    def newest(self, of: Of, database: str | None, until: datetime) -> Made | None:
        """The newest settled backup."""
        rows = self._rows(_about(of, database, until).where(_B.status != Status.PENDING).limit(1))
        return Made(*rows[0]) if rows else None

    def first_begun(self, of: Of, database: str) -> datetime | None:
        """When the oldest backup of a database began."""
        query = select(_B.created_at).where(of.matches(), _B.database == database).order_by(_B.created_at).limit(1)
        found: datetime | None = self._first(query)
        return found

    def under_way(self, of: Of) -> bool:
        """Whether a backup of a source's newest run is not settled."""
        newest = self._first(_newest_first(select(_B.created_at).where(of.matches())))
        if newest is None:
            return False
        same_run = and_(of.matches(), _B.created_at >= newest - _ONE_RUN)
        return self._first(select(_B.id).where(same_run, _B.status == Status.PENDING).limit(1)) is not None

    def begun(self, of: Of, since: datetime) -> bool:
        """Whether a backup of a source was begun since then."""
        return self._first(select(_B.id).where(of.matches(), _B.created_at >= since).limit(1)) is not None

    def last_event(self) -> int:
        """The sequence number of the newest event."""
        return self._first(select(func.max(_E.seq))) or 0

    def settled_after(self, seq: int, instance: str) -> list[tuple[int, Of]]:
        """What was settled after an event: its own event's number, and whose backup it is, in order."""
        query = select(_E.seq, _B.job, _B.source, _B.sender).join(_B, _B.id == _E.backup_id)
        query = query.where(_E.seq > seq, _E.kind == EventKind.BACKUP_REPORT, _E.instance == instance)
        return [(seq, Of(instance, *about)) for seq, *about in self._rows(query.order_by(_E.seq))]

    def _rows(self, query: Select[Any]) -> Sequence[Any]:
        with self._sessions.reading() as session:
            return session.connection().execute(query).all()

    def _first(self, query: Select[Any]) -> Any:
        with self._sessions.reading() as session:
            return session.connection().execute(query).scalar()


def _about(of: Of, database: str | None, until: datetime) -> Select[Any]:
    query = select(_B.label, _B.status, _B.created_at, _B.finished_at, _B.size, _B.timed_out)
    query = query.where(of.matches(), _B.created_at <= until)
    if database is not None:
        query = query.where(_B.database == database)
    return query.order_by(_B.created_at.desc(), _B.id.desc())


def _newest_first(query: Select[Any]) -> Select[Any]:
    return query.order_by(_B.created_at.desc()).limit(1)
