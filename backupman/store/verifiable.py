"""The backups of an instance that have finished copies, chosen for being verified: all of them, or a sample."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from sqlalchemy import ColumnElement, exists
from sqlmodel import Session, col, func, or_, select

from backupman.records import Backup, DriveFile, Kind, Status
from backupman.store._sessions import Sessions

_PAGE = 100

_Conditions = Sequence[ColumnElement[bool] | bool]


@dataclass(frozen=True)
class Named:
    """What a config names, by labels: copies of its sources or on its drives concern it, and not those of others."""

    sources: Collection[str]
    drives: Collection[str]

    @property
    def with_copy(self) -> ColumnElement[bool]:
        """Whether a backup has such a copy, finished."""
        ours = or_(col(Backup.source).in_(self.sources), col(DriveFile.label).in_(self.drives))
        finished = col(DriveFile.status) == Status.FINISHED
        return exists().where(col(DriveFile.backup_id) == col(Backup.id), finished, ours)


class Verifiable:
    """Backups with something to read back; those of a job and source come one after the other."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def all(self, instance: str, named: Named, job: str | None = None) -> Iterator[Backup]:
        """Every one, in pages, of a job or of all."""
        mine = _mine(instance, named)
        with self._sessions.reading() as session:
            groups = list(self._groups(session, job))
        for of_job, source in groups:
            last = ""
            while page := self._page(mine, of_job, source, last):
                yield from page
                last = page[-1].id

    def sample(
        self, instance: str, named: Named, count: int, chance: Random, job: str | None = None
    ) -> Iterator[Backup]:
        """The newest of each database, and others by chance, up to `count` in all; each newest in any case."""
        mine = _mine(instance, named)
        groups = self._newest(mine, job)
        newest = {found for ids in groups.values() for found in ids}
        if (more := count - len(newest)) > 0:
            others = [found for found in self._ids(mine, job) if found[0] not in newest]
            for found, *group in chance.sample(others, min(len(others), more)):
                groups.setdefault((group[0], group[1]), []).append(found)
        for _, chosen in sorted(groups.items()):
            ids = sorted(chosen)
            for start in range(0, len(ids), _PAGE):
                yield from self._by_ids(ids[start : start + _PAGE])

    def newest_encrypted(self, named: Named) -> Sequence[Backup]:
        """The newest of each database that is encrypted, whichever instance has made it."""
        mine = Backup.kind == Kind.OWN, named.with_copy, col(Backup.object_name).endswith(".age")
        databases = Backup.source, Backup.database
        with self._sessions.reading() as session:
            newest = select(*databases, func.max(Backup.created_at)).where(*mine).group_by(*databases)
            of = (
                (Backup.source == source, Backup.database == database, Backup.created_at == created_at)
                for source, database, created_at in sorted(session.exec(newest).all())
            )
            found = [session.exec(select(Backup).where(*mine, *each)).first() for each in of]
        return [backup for backup in found if backup]

    def _groups(self, session: Session, job: str | None) -> Iterator[tuple[str, str]]:
        """Every job with its sources, in order: one step in an index each, where DISTINCT would read every backup."""
        for of_job in [job] if job is not None else _each(session, Backup.job):
            for source in _each(session, Backup.source, Backup.job == of_job):
                yield of_job, source

    def _page(self, mine: _Conditions, job: str, source: str, after: str) -> Sequence[Backup]:
        with self._sessions.reading() as session:
            query = select(Backup).where(*mine, Backup.job == job, Backup.source == source, col(Backup.id) > after)
            return session.exec(query.order_by(col(Backup.id)).limit(_PAGE)).all()

    def _ids(self, mine: _Conditions, job: str | None) -> Sequence[tuple[str, str, str]]:
        """Of all of them the id, the job and the source."""
        query = select(Backup.id, Backup.job, Backup.source).where(*mine)
        with self._sessions.reading() as session:
            return session.exec(query if job is None else query.where(Backup.job == job)).all()

    def _newest(self, mine: _Conditions, job: str | None) -> dict[tuple[str, str], list[str]]:
        """The ids of the newest of each database, by job and source."""
        found: dict[tuple[str, str], list[str]] = {}
        with self._sessions.reading() as session:
            for of_job, source in self._groups(session, job):
                of_source = select(Backup.id).where(*mine, Backup.job == of_job, Backup.source == source)
                for database in _each(session, Backup.database, Backup.source == source):
                    query = of_source.where(Backup.database == database)
                    newest = session.exec(query.order_by(col(Backup.created_at).desc()).limit(1)).first()
                    found.setdefault((of_job, source), []).extend([newest] if newest else [])
        return found

    def _by_ids(self, ids: Sequence[str]) -> Sequence[Backup]:
        with self._sessions.reading() as session:
            return session.exec(select(Backup).where(col(Backup.id).in_(ids)).order_by(col(Backup.id))).all()


def _mine(instance: str, named: Named) -> _Conditions:
    return Backup.instance == instance, Backup.kind == Kind.OWN, named.with_copy


def _each(session: Session, column: Any, *wanted: Any) -> Iterator[str]:
    """Every value of a column that leads an index behind those of `wanted`, in order."""
    query = select(func.min(column)).where(*wanted)
    value = session.exec(query).one()
    while value is not None:
        yield value
        value = session.exec(query.where(column > value)).one()
