"""Figures over all backups for whoever watches them, found through indexes and without counting millions of rows."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import Connection, Integer, bindparam, exists, func, true
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from backupman.records import Backup, DriveFile, Kind, Status, Verification
from backupman.store._sessions import Sessions

Shown = Literal["verified", "proved"]
"""How a copy was shown to be good: it was read back and was right, or a drill has restored it."""
_FEW = 10_000
"""So many verifications are looked through at once; with more, the newest backups are among what was verified."""


@dataclass(frozen=True, order=True)
class Series:
    """What is backed up again and again: a database of a source, or a job on a device by what a sender says."""

    source: str
    database: str
    sender: str | None = None

    @property
    def kind(self) -> Kind:
        """Who makes it."""
        return Kind.OWN if self.sender is None else Kind.INGESTED


@dataclass(frozen=True)
class Copy:
    """A good backup of a series: sizes in bytes, times in seconds."""

    series: Series
    drive: str | None
    created_at: datetime
    stored_size: int | None
    seconds: float | None


@dataclass(frozen=True)
class Held:
    """A copy of a run on a drive."""

    drive: str
    status: str
    verified_at: datetime | None
    verify_error: str | None
    proved_at: datetime | None = None

    @property
    def is_bad(self) -> bool:
        """Whether it is kept, and was not right when it was last looked at."""
        return self.status == Status.FINISHED and self.verify_error is not None

    @property
    def is_right(self) -> bool:
        """Whether it is kept, and nothing is known to be wrong with it."""
        return self.status == Status.FINISHED and self.verify_error is None


@dataclass(frozen=True)
class Past:
    """One of the last backups of a series: sizes in bytes, times in seconds."""

    id: str
    status: str
    warning: bool
    created_at: datetime
    stored_size: int | None
    seconds: float | None
    timed_out: bool
    copies: tuple[Held, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How the last backup of a series ended."""

    series: Series
    created_at: datetime
    good: bool
    warning: bool


class Statistics:
    """Figures of the present."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def own_series(self, sources: Collection[str]) -> set[Series]:
        """Every database that these sources ever had.

        What failed before a source's databases were known has an empty one, and counts until one of them was backed up.
        """
        with self._sessions.reading() as session:
            return {series for source in sources for series in _own(session, source)}

    def ingested_series(self) -> set[Series]:
        """Every job of other machines that was ever told of."""
        query = columns(col(Backup.source), col(Backup.database), col(Backup.sender))
        found = self._rows(query.where(col(Backup.kind) == Kind.INGESTED).distinct())
        return {Series(source, database, sender) for source, database, sender in found}

    def newest_on(self, series: Collection[Series], drives: Collection[str], shown: Shown | None = None) -> list[Copy]:
        """The newest good copy of each series on each of the drives; or the newest that was `shown` to be good."""
        with self._sessions.reading() as session:
            if shown and (known := _shown(session, shown)) is not None:
                return [known[each, drive] for each in series for drive in drives if (each, drive) in known]
            found = [_newest(session, each, drive, shown) for each in series for drive in drives]
            return [copy for copy in found if copy]

    def newest(self, series: Collection[Series]) -> list[Copy]:
        """The newest good backup of each series, wherever it is."""
        with self._sessions.reading() as session:
            return [copy for each in series if (copy := _newest(session, each, None))]

    def last(self, series: Collection[Series]) -> list[Outcome]:
        """How the last backup of each series ended; one that is under way does not count."""
        with self._sessions.reading() as session:
            return [outcome for each in series if (outcome := _last(session, each))]

    def recent(self, series: Collection[Series], limit: int) -> dict[Series, list[Past]]:
        """The newest backups of each series with their copies, the newest first, also those that are under way."""
        with self._sessions.reading() as session:
            connection = session.connection()
            return {each: _recent(connection, each, limit) for each in series}

    def errors(self, backup_ids: Collection[str]) -> dict[str, str]:
        """What went wrong with these backups."""
        query = columns(col(Backup.id), col(Backup.error)).where(col(Backup.id).in_(backup_ids))
        return {backup_id: error for backup_id, error in self._rows(query) if error}

    def restore_seconds(self, backup_ids: Collection[str]) -> dict[str, float]:
        """How long the newest good drill of each of these backups took to restore it."""
        query = columns(col(Verification.backup_id), col(Verification.details)).where(
            col(Verification.backup_id).in_(backup_ids),
            col(Verification.level) == "restore",
            col(Verification.good).is_(True),
        )
        drills = self._rows(query.order_by(col(Verification.at)))
        return {backup_id: details["RestoreSeconds"] for backup_id, details in drills if "RestoreSeconds" in details}

    def _rows(self, query: Any) -> Sequence[Any]:
        with self._sessions.reading() as session:
            return session.connection().execute(query).all()


def _databases(session: Session, source: str) -> Iterator[str]:
    """Every database of a source: one step in an index each, where DISTINCT would read every backup."""
    query = columns(func.min(col(Backup.database))).where(col(Backup.source) == source)
    database = session.connection().execute(query).scalar()
    while database is not None:
        yield database
        database = session.connection().execute(query.where(col(Backup.database) > database)).scalar()


def _own(session: Session, source: str) -> list[Series]:
    found = [Series(source, database) for database in _databases(session, source)]
    nameless = Series(source, "")
    if len(found) == 1 or nameless not in found:
        return found
    named = [each for each in found if each != nameless]
    last = session.connection().execute(_of(nameless, col(Backup.created_at))).scalar()
    good = (_newest(session, each, None) for each in named)
    return named if last is None or any(copy and copy.created_at > last for copy in good) else found


def _of(series: Series, *wanted: Any) -> Any:
    """The backups of a series, the newest first: one step in the index of (source, database, created_at) each."""
    query = columns(*wanted).where(
        col(Backup.source) == series.source,
        col(Backup.database) == series.database,
        col(Backup.kind) == series.kind,
    )
    if series.sender is not None:
        query = query.where(col(Backup.sender) == series.sender)
    return query.order_by(col(Backup.created_at).desc()).limit(1)


def _recent(connection: Connection, series: Series, limit: int) -> list[Past]:
    asked: dict[str, Any] = {"source": series.source, "database": series.database, "kind": series.kind}
    asked |= {"sender": series.sender, "limit": limit}
    copies: dict[str, list[Held]] = {}
    if series.kind == Kind.OWN:
        for backup_id, *about in connection.execute(_newest_copies(), asked).all():
            copies.setdefault(backup_id, []).append(Held(*about))
    rows = connection.execute(_newest_runs(told=series.sender is not None), asked).all()
    return [Past(*(*row, tuple(copies.get(row[0], ())))) for row in rows]


@cache
def _newest_runs(*, told: bool) -> Any:
    """One query for all series: to make it anew for each takes longer than to ask it."""
    wanted = (Backup.id, Backup.status, Backup.warning, Backup.created_at, Backup.stored_size, Backup.seconds)
    query = columns(*map(_column, (*wanted, Backup.timed_out))).where(
        *(each == bindparam(each.key) for each in map(_column, (Backup.source, Backup.database, Backup.kind)))
    )
    if told:
        query = query.where(col(Backup.sender) == bindparam("sender"))
    return query.order_by(col(Backup.created_at).desc()).limit(bindparam("limit", type_=Integer))


@cache
def _newest_copies() -> Any:
    runs = _newest_runs(told=False).subquery()
    wanted = (DriveFile.label, DriveFile.status, DriveFile.verified_at, DriveFile.verify_error, DriveFile.proved_at)
    held = columns(runs.c.id, *map(_column, wanted)).join(runs, col(DriveFile.backup_id) == runs.c.id)
    return held.order_by(col(DriveFile.position))


def _column(attribute: Any) -> Any:
    return col(attribute)


def _newest(session: Session, series: Series, drive: str | None, shown: Shown | None = None) -> Copy | None:
    query = _of(series, col(Backup.created_at), col(Backup.stored_size), col(Backup.seconds))
    if drive is None:
        query = query.where(col(Backup.status) == Status.FINISHED)
    else:
        held = select(DriveFile.id).where(
            DriveFile.backup_id == Backup.id, DriveFile.label == drive, DriveFile.status == Status.FINISHED
        )
        if shown:
            time = {"verified": DriveFile.verified_at, "proved": DriveFile.proved_at}[shown]
            held = held.where(_column(time).is_not(None), col(DriveFile.verify_error).is_(None))
        query = query.where(exists(held.correlate(Backup)))
    row = session.connection().execute(query).first()
    return Copy(series, drive, *row) if row else None


def _shown(session: Session, shown: Shown) -> dict[tuple[Series, str], Copy] | None:
    """The newest copy of every series on every drive that was shown to be good; None where more than _FEW ever were.

    By way of the verifications, of which each such copy has one: where few or none were made, a way back through the
    backups of a series would end only at its oldest.
    """
    checked = columns(col(Verification.backup_id), col(Verification.drive)).where(col(Verification.good).is_(True))
    checked = checked.where(col(Verification.level) == "restore" if shown == "proved" else true()).limit(_FEW + 1)
    if len(session.connection().execute(checked).all()) > _FEW:
        return None
    each = checked.distinct().subquery()
    about = (Backup.source, Backup.database, DriveFile.label, Backup.created_at, Backup.stored_size, Backup.seconds)
    time = {"verified": DriveFile.verified_at, "proved": DriveFile.proved_at}[shown]
    rows = session.connection().execute(
        columns(*map(_column, about))
        .join_from(each, DriveFile, (each.c.backup_id == DriveFile.backup_id) & (each.c.drive == DriveFile.label))
        .join(Backup, col(Backup.id) == DriveFile.backup_id)
        .where(col(Backup.kind) == Kind.OWN, col(DriveFile.status) == Status.FINISHED)
        .where(_column(time).is_not(None), col(DriveFile.verify_error).is_(None))
        .order_by(col(Backup.created_at))
    )
    copies = [Copy(Series(source, database), drive, *row) for source, database, drive, *row in rows]
    return {(copy.series, copy.drive or ""): copy for copy in copies}


def _last(session: Session, series: Series) -> Outcome | None:
    query = _of(series, col(Backup.created_at), col(Backup.status), col(Backup.warning))
    row = session.connection().execute(query.where(col(Backup.status) != Status.PENDING)).first()
    return Outcome(series, row[0], row[1] == Status.FINISHED, row[2]) if row else None
