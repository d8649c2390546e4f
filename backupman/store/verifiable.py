"""The backups of an instance that have finished copies, chosen for being verified: all of them, or a sample."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from random import Random

from sqlalchemy import ColumnElement, exists
from sqlmodel import Session, col, func, select

from backupman.records import Backup, DriveFile, Kind, Status

Sessions = Callable[[], AbstractContextManager[Session]]
_PAGE = 100


class Verifiable:
    """Backups with something to read back; those of a job and source come one after the other."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def all(self, instance: str, job: str | None = None) -> Iterator[Backup]:
        """Every one, in pages, of a job or of all."""
        for of_job, source in self._groups(instance, job):
            last = ""
            while page := self._page(instance, of_job, source, last):
                yield from page
                last = page[-1].id

    def sample(self, instance: str, count: int, chance: Random, job: str | None = None) -> Iterator[Backup]:
        """The newest of each database, and others by chance, up to `count` in all; each newest in any case."""
        newest = set(self._newest(instance, job))
        others = [found for found in self._ids(instance, job) if found not in newest]
        chosen = newest | set(chance.sample(others, min(len(others), max(0, count - len(newest)))))
        for of_job, source in self._groups(instance, job):
            ids = sorted(chosen.intersection(self._ids(instance, of_job, source)))
            for start in range(0, len(ids), _PAGE):
                yield from self._by_ids(ids[start : start + _PAGE])

    def newest_encrypted(self) -> Sequence[Backup]:
        """The newest of each database that is encrypted, whichever instance has made it."""
        copy, encrypted = _WITH_COPY, col(Backup.object_name).endswith(".age")
        mine = Backup.kind == Kind.OWN, copy, encrypted
        databases = Backup.source, Backup.database
        with self._sessions() as session:
            newest = select(*databases, func.max(Backup.created_at)).where(*mine).group_by(*databases)
            of = (
                (Backup.source == source, Backup.database == database, Backup.created_at == created_at)
                for source, database, created_at in sorted(session.exec(newest).all())
            )
            found = [session.exec(select(Backup).where(*mine, *each)).first() for each in of]
        return [backup for backup in found if backup]

    def _groups(self, instance: str, job: str | None) -> Sequence[tuple[str, str]]:
        with self._sessions() as session:
            query = select(Backup.job, Backup.source).where(*_with_copies(instance, job)).distinct()
            return sorted(session.exec(query))

    def _page(self, instance: str, job: str, source: str, after: str) -> Sequence[Backup]:
        with self._sessions() as session:
            query = select(Backup).where(*_with_copies(instance, job), Backup.source == source, col(Backup.id) > after)
            return session.exec(query.order_by(col(Backup.id)).limit(_PAGE)).all()

    def _ids(self, instance: str, job: str | None, source: str | None = None) -> Sequence[str]:
        with self._sessions() as session:
            query = select(Backup.id).where(*_with_copies(instance, job))
            return session.exec(query.where(Backup.source == source) if source is not None else query).all()

    def _newest(self, instance: str, job: str | None) -> Iterator[str]:
        databases = Backup.job, Backup.source, Backup.database
        with self._sessions() as session:
            query = select(*databases, func.max(Backup.created_at)).where(*_with_copies(instance, job))
            for of_job, source, database, created_at in session.exec(query.group_by(*databases)).all():
                mine = *_with_copies(instance, of_job), Backup.source == source, Backup.database == database
                yield session.exec(select(Backup.id).where(*mine, Backup.created_at == created_at)).first() or ""

    def _by_ids(self, ids: Sequence[str]) -> Sequence[Backup]:
        with self._sessions() as session:
            return session.exec(select(Backup).where(col(Backup.id).in_(ids)).order_by(col(Backup.id))).all()


_WITH_COPY = exists().where(col(DriveFile.backup_id) == col(Backup.id), col(DriveFile.status) == Status.FINISHED)


def _with_copies(instance: str, job: str | None) -> tuple[ColumnElement[bool] | bool, ...]:
    mine = Backup.instance == instance, Backup.kind == Kind.OWN, _WITH_COPY
    return mine if job is None else (*mine, Backup.job == job)
