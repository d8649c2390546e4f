"""The copies that a drive should hold, whatever came of them; copies that were found there and are put on record."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy.orm import aliased
from sqlmodel import and_, col, select

from backupman.errors import BackupmanError
from backupman.records import Backup, DriveFile, Kind, Status, now
from backupman.settling import settle
from backupman.store._sessions import Sessions
from backupman.store.copies import with_backup


class Catalogue:
    """An instance's own copies by their drive."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def on(self, instance: str, drive: str) -> Sequence[DriveFile]:
        """Every drive file of a drive, of any status, each with its backup."""
        with self._sessions.reading() as session:
            query = (
                select(DriveFile)
                .join(Backup)
                .where(Backup.instance == instance, Backup.kind == Kind.OWN, DriveFile.label == drive)
                .options(with_backup())
            )
            return session.exec(query).all()

    def elsewhere(self, instance: str, drive: str, others: Collection[str]) -> set[str]:
        """The drive files of a drive whose upload has failed while one of the others holds the dump."""
        other = aliased(DriveFile)
        finished = and_(col(other.label).in_(others), other.status == Status.FINISHED)
        with self._sessions.reading() as session:
            query = (
                select(DriveFile.id)
                .join(Backup)
                .where(Backup.instance == instance, Backup.kind == Kind.OWN, DriveFile.label == drive)
                .where(DriveFile.status == Status.FAILED, Backup.dump_status == Status.FINISHED)
                .where(select(other).where(other.backup_id == Backup.id, finished).exists())
            )
            return set(session.exec(query))

    def file(self, drive_file_id: str) -> DriveFile | None:
        """One drive file as it is now, with its backup and the copies beside it."""
        with self._sessions.reading() as session:
            file = session.get(DriveFile, drive_file_id)
            if file:
                _ = file.backup.drive_files  # loaded while the session lasts
            return file

    def backup(self, backup_id: str) -> Backup | None:
        """The backup of exactly that id."""
        with self._sessions.reading() as session:
            return session.get(Backup, backup_id)

    def adopt(self, backup: Backup, file: DriveFile) -> Backup:
        """Record a finished copy that was found: with its backup, or as one more copy of a backup that is on record.

        Raises:
            BackupmanError: another backup has that id, or another copy of it is on record for the drive.
        """
        with self._sessions.writing() as session:
            known = session.get(Backup, backup.id)
            if known is None:
                backup.drive_files = [file]
                backup.status = settle(backup.dump_status, backup.drive_files)
                session.add(backup)
                return backup
            if (known.object_name, known.sha256) != (backup.object_name, backup.sha256):
                raise BackupmanError(f"another backup with the id {backup.id} is on record", permanent=True)
            if any(each.label == file.label for each in known.drive_files):
                raise BackupmanError("a copy of it is on record already", permanent=True)
            known.drive_files.append(file)
            known.drive_files.sort(key=lambda each: each.position)
            known.updated_at = now()
            return known

    def mended(self, drive_file_id: str, **fields: Any) -> None:
        """A copy is what it should be again; nothing is known against it any more."""
        with self._sessions.writing() as session:
            file = session.get(DriveFile, drive_file_id)
            if file is None:
                return
            done = {"error": None, "verify_error": None, "session": None, "updated_at": now()}
            for name, value in (done | fields).items():
                setattr(file, name, value)
            if file.status != Status.FINISHED:
                file.status = Status.FINISHED
                backup = file.backup
                backup.status = settle(backup.dump_status, backup.drive_files)
