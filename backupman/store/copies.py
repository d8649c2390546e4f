"""The finished copies of an instance's backups, as retention sees them: judged, marked, pinned, forgotten."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import contains_eager
from sqlmodel import Session, col, func, select

from backupman.errors import NotFoundError
from backupman.records import Backup, DriveFile, Kind, ManifestRecord, Status
from backupman.store._sessions import Sessions


def with_backup() -> Any:
    """The option of a query of drive files joined with their backups that gives each its own."""
    backup: Any = DriveFile.backup  # as SQLAlchemy sees them: SQLModel types them as the records' own values
    files: Any = Backup.drive_files
    return contains_eager(backup).lazyload(files)


class Copies:
    """Finished drive files, each with its backup. Only an instance's own: another's drives are other drives."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def of(self, instance: str, job: str, source: str, databases: Collection[str] | None = None) -> Sequence[DriveFile]:
        """Every copy of a source's databases that a job has made, the newest first."""
        with self._sessions.reading() as session:
            query = (
                select(DriveFile)
                .join(Backup)
                .where(Backup.instance == instance, Backup.job == job, Backup.source == source)
                .where(Backup.kind == Kind.OWN, DriveFile.status == Status.FINISHED)
                .order_by(col(Backup.created_at).desc(), col(Backup.id).desc())
                .options(with_backup())
            )
            if databases is not None:
                query = query.where(col(Backup.database).in_(databases))
            return session.exec(query).all()

    def failing(self, instance: str, job: str, source: str, databases: Collection[str], until: datetime) -> set[str]:
        """Those of the databases whose newest settled backup by the job, of those begun until then, has failed.

        One that failed before the databases of its source were known, was to be of all of them.
        """
        with self._sessions.reading() as session:
            newest = (
                select(Backup.status)
                .where(Backup.instance == instance, Backup.job == job, Backup.source == source)
                .where(Backup.kind == Kind.OWN, Backup.status != Status.PENDING, Backup.created_at <= until)
                .order_by(col(Backup.created_at).desc())
                .limit(1)
            )
            found = {
                name: session.exec(newest.where(col(Backup.database).in_([name, ""]))).first() for name in databases
            }
        return {name for name, status in found.items() if status == Status.FAILED}

    def bad(self, instance: str, job: str, source: str, drives: Collection[str]) -> int:
        """How many copies on these drives of a source's backups by a job are known to be bad, and are still kept."""
        with self._sessions.reading() as session:
            query = (
                select(func.count())
                .select_from(DriveFile)
                .join(Backup)
                .where(Backup.instance == instance, Backup.job == job, Backup.source == source)
                .where(DriveFile.status == Status.FINISHED, col(DriveFile.verify_error).is_not(None))
                .where(col(DriveFile.trashed_at).is_(None), col(DriveFile.label).in_(drives))
            )
            return session.exec(query).one()

    def is_held(self, drive_file_id: str) -> bool:
        """Whether a copy is still kept: on record, finished, and not waiting for its deletion."""
        with self._sessions.reading() as session:
            file = session.get(DriveFile, drive_file_id)
            return file is not None and file.status == Status.FINISHED and file.trashed_at is None

    def mark(self, drive_file_id: str, time: datetime | None) -> None:
        """Say since when a copy waits for its deletion; None: it does not any more."""
        with self._sessions.writing() as session:
            if file := session.get(DriveFile, drive_file_id):
                file.trashed_at = time

    def pin(self, backup_id: str, until: datetime | None) -> Backup:
        """Keep a backup's copies until then; None: as the rules say.

        Raises:
            NotFoundError: there is no such backup.
        """
        with self._sessions.writing() as session:
            backup = session.get(Backup, backup_id)
            if not backup:
                raise NotFoundError(f"there is no backup {backup_id}")
            backup.pinned_until = until
            if until:
                for file in backup.drive_files:
                    file.trashed_at = None
            return backup

    def forget(self, drive_file_id: str) -> None:
        """Drop the record of a copy whose object is gone, and the backup's when no copy of it is left."""
        with self._sessions.writing() as session:
            drive_file = session.get(DriveFile, drive_file_id)
            if not drive_file:
                return
            backup = drive_file.backup
            others = [other for other in backup.drive_files if other is not drive_file]
            if all(other.status == Status.FAILED for other in others):
                _drop(session, backup)
            else:
                session.delete(drive_file)

    def forget_backup(self, backup_id: str) -> None:
        """Drop the record of a backup of which no drive holds anything, if it is still there."""
        with self._sessions.writing() as session:
            if backup := session.get(Backup, backup_id):
                _drop(session, backup)

    def has_another(self, backup: Backup, drives: Collection[str], *, proved: bool = False) -> bool:
        """Whether another backup of the same database has a copy without a doubt on one of these drives.

        `proved`: one that a drill has proved.
        """
        query = (
            select(Backup.id)
            .join(DriveFile)
            .where(Backup.instance == backup.instance, Backup.source == backup.source)
            .where(Backup.database == backup.database, Backup.kind == Kind.OWN, Backup.id != backup.id)
            .where(DriveFile.status == Status.FINISHED, col(DriveFile.verify_error).is_(None))
            .where(col(DriveFile.label).in_(drives))
            .limit(1)
        )
        if proved:
            query = query.where(col(DriveFile.proved_at).is_not(None))
        with self._sessions.reading() as session:
            return session.exec(query).first() is not None


def _drop(session: Session, backup: Backup) -> None:
    session.delete(backup)
    if manifest := session.get(ManifestRecord, backup.id):
        session.delete(manifest)
