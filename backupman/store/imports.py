"""Takes backups that another program has made into the records: each once, however often it is tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert
from sqlmodel import Session, SQLModel, col, select

from backupman.records import Backup, DriveFile
from backupman.settling import settle
from backupman.store._sessions import Sessions

TRIGGER = "import"
"""What an imported backup has as its `trigger`."""


@dataclass(frozen=True)
class Taken:
    """The ids of the backups and of the drive files that were not on record before, and of backups of somebody else."""

    backups: frozenset[str]
    files: frozenset[str]
    foreign: frozenset[str]


class Imports:
    """Backups with their drive files, whole batches in one transaction."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def take(self, backups: Sequence[Backup], *, dry: bool = False) -> Taken:
        """Record what is not on record; what is stays as it is. A backup gets the drive files that it lacks.

        With `dry` it is only looked what would be.
        """
        with self._sessions.writing() as session:
            known = self._known(session, [backup.id for backup in backups])
            files = {file.id for backup in known.values() for file in backup.drive_files}
            foreign = {name for name, backup in known.items() if backup.trigger != TRIGGER}
            new = [backup for backup in backups if backup.id not in known]
            added = [
                file
                for backup in backups
                for file in backup.drive_files
                if file.id not in files and backup.id not in foreign
            ]
            if not dry:
                _insert(session, Backup, new)
                _insert(session, DriveFile, added)
                self._settle(session, known, {file.backup_id for file in added})
        return Taken(frozenset(backup.id for backup in new), frozenset(file.id for file in added), frozenset(foreign))

    def _known(self, session: Session, ids: Sequence[str]) -> dict[str, Backup]:
        return {found.id: found for found in session.exec(select(Backup).where(col(Backup.id).in_(ids))).all()}

    def _settle(self, session: Session, known: dict[str, Backup], changed: set[str]) -> None:
        session.flush()
        for backup in known.values():
            if backup.id in changed:
                session.refresh(backup)
                backup.status = settle(backup.dump_status, backup.drive_files)


def _insert(session: Session, kind: type[SQLModel], records: Sequence[SQLModel]) -> None:
    """As rows: for many that is several times faster than as objects."""
    if records:
        rows: list[dict[str, Any]] = [record.model_dump() for record in records]
        session.connection().execute(insert(kind), rows)
