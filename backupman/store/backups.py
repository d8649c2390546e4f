"""Backups and their drive files: begun, changed, settled, found and listed."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, update
from sqlmodel import Session, col, select

from backupman.errors import NotFoundError
from backupman.naming import LATEST
from backupman.records import Backup, DriveFile, Kind, Status, now
from backupman.settling import settle
from backupman.store._ids import begins
from backupman.store._sessions import Sessions
from backupman.store.outbox import Announcement, owe
from backupman.text import did_you_mean

_LOOKED_AT, _SHOWN, _TELLING = 1000, 8, 4
# As SQLAlchemy sees them: SQLModel types them as the records' own values.
_NEWEST_FIRST = col(Backup.created_at).desc(), col(Backup.id).desc()
_OF_THE_SAME = ("instance", "job", "source", "kind", "device", "sender")
_SPOOLED = col(Backup.spool_path).is_not(None)  # as the index says it, so that it is used


@dataclass(frozen=True)
class BackupFilter:
    """Which backups to list; None means any."""

    status: str | None = None
    label: str | None = None
    job: str | None = None
    source: str | None = None
    database: str | None = None
    device: str | None = None
    sender: str | None = None
    since: datetime | None = None
    after: tuple[datetime, str] | None = None
    """The time and the id of the last backup of the page before; its record may be gone by now."""
    kind: str | None = Kind.OWN
    instance: str | None = None


class Backups:
    """The records of backups and drive files."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def begin(self, backup: Backup, announcements: Sequence[Announcement]) -> Backup:
        """Record a backup with its drive files, and owe what is announced, in one transaction."""
        with self._sessions.writing() as session:
            session.add(backup)
            session.flush()
            owe(session, backup, announcements)
        return backup

    def change(self, backup_id: str, **fields: Any) -> None:
        """Set fields of a backup."""
        with self._sessions.writing() as session:
            _set(_existing(session, backup_id), fields)

    def change_drive_file(self, backup_id: str, label: str, **fields: Any) -> None:
        """Set fields of a backup's file on the drive of that label."""
        with self._sessions.writing() as session:
            for drive_file in _existing(session, backup_id).drive_files:
                if drive_file.label == label:
                    _set(drive_file, fields)

    def progress(self, backup_id: str, label: str | None = None, **fields: Any) -> None:
        """Set fields of a backup that is under way, or of its file on the drive of that label.

        One that somebody has settled meanwhile stays as it is: whoever was frozen may wake up and go on telling.
        """
        with self._sessions.writing() as session:
            backup = _existing(session, backup_id, alone=True)
            if backup.status != Status.PENDING:
                return
            for record in [backup] if label is None else [file for file in backup.drive_files if file.label == label]:
                _set(record, fields)

    def settle(
        self, backup_id: str, change: Callable[[Backup], None], announce: Callable[[Backup], Sequence[Announcement]]
    ) -> Backup:
        """Let `change` enter the outcome, derive the status, and owe what is announced, in one transaction.

        One that somebody has settled meanwhile stays as it is: nothing is told twice.
        """
        with self._sessions.writing() as session:
            backup = _existing(session, backup_id, alone=True)
            if backup.status != Status.PENDING:
                return backup
            change(backup)
            backup.status = settle(backup.dump_status, backup.drive_files)
            backup.phase = None
            backup.finished_at = backup.updated_at = max(now(), backup.created_at)
            session.flush()
            owe(session, backup, announce(backup))
        return backup

    def get(self, name: str, sources: Collection[str] | None = None) -> Backup:
        """The backup of that id, of that unique beginning of an id, or the `latest` of our own, of these sources.

        Raises:
            NotFoundError: there is none, or the beginning fits several.
        """
        with self._sessions.reading() as session:
            if name == LATEST:
                newest = _newest(session)
                if newest is None or sources is None or newest.source in sources:
                    found = newest
                else:  # one by one, as each has an index that leads there
                    of = [each for source in sources if (each := _newest(session, source))]
                    found = max(of, key=lambda each: (each.created_at, each.id), default=None)
                if found:
                    return found
                if newest:
                    raise NotFoundError(
                        "there is no backup of a source of this config on record; `backupman list` shows those of "
                        "others, and each is found by its id"
                    )
                raise NotFoundError(
                    "there is no backup on record; make one with `backupman run`, or see by `backupman reconcile` "
                    "what drives have already"
                )
            fitting = session.exec(select(Backup).where(begins(col(Backup.id), name)).limit(2)).all()
            if len(fitting) == 1 and name:
                return fitting[0]
            if fitting:
                raise NotFoundError(f"several backups begin with {name!r}; write more of the id")
            raise NotFoundError(f"there is no backup {name!r}{_near(session, name) or '; see `backupman list`'}")

    def list(self, wanted: BackupFilter = BackupFilter(), limit: int | None = None) -> Sequence[Backup]:
        """Backups, the newest first."""
        with self._sessions.reading() as session:
            query = select(Backup).order_by(*_NEWEST_FIRST).limit(limit)
            for name in ("status", "label", "job", "source", "database", "device", "sender", "kind", "instance"):
                if (value := getattr(wanted, name)) is not None:
                    query = query.where(getattr(Backup, name) == value)
            if wanted.device:  # it stands as the source too when it was ingested, and that has an index
                query = query.where(Backup.source == wanted.device)
            if wanted.since:
                query = query.where(col(Backup.created_at) >= wanted.since)
            if wanted.after:
                query = query.where(_older_than(*wanted.after))
            return session.exec(query).all()

    def pending(self, instance: str) -> Sequence[Backup]:
        """An instance's own backups that are not settled, the oldest first."""
        with self._sessions.reading() as session:
            query = select(Backup).where(Backup.status == Status.PENDING, Backup.instance == instance)
            return session.exec(query.where(Backup.kind == Kind.OWN).order_by(col(Backup.created_at))).all()

    def drive_file(self, drive_file_id: str) -> DriveFile | None:
        """The drive file of that id."""
        with self._sessions.reading() as session:
            return session.get(DriveFile, drive_file_id)

    def check(self) -> None:
        """Change none of them, as one changes them: a server whose records can only be read refuses even that."""
        with self._sessions.writing() as session:
            session.connection().execute(update(Backup).where(false()).values(label=""))

    def all_finished(self, ids: Sequence[str], since: datetime | None = None, cancelled: Collection[str] = ()) -> bool:
        """Whether these are finished backups, or were cancelled; with `since`, those that were begun then or later."""
        with self._sessions.reading() as session:
            found = session.exec(select(Backup).where(col(Backup.id).in_(ids))).all()
        wanted = [backup for backup in found if since is None or backup.created_at >= since]
        known = since is not None or len(found) == len(set(ids))
        through = (backup.status == Status.FINISHED or backup.id in cancelled for backup in wanted)
        return bool(wanted) and known and all(through)

    def failed_since(self, backup_id: str, until: datetime) -> bool:
        """Whether the newest settled one of the same database, of those begun until then, is newer and has failed.

        One that failed before the databases of its source were known, was to be of all of them.
        """
        with self._sessions.reading() as session:
            if (backup := session.get(Backup, backup_id)) is None:
                return False
            same = (getattr(Backup, name) == getattr(backup, name) for name in _OF_THE_SAME)
            newer = select(Backup).where(*same, col(Backup.database).in_([backup.database, ""]))
            newer = newer.where(Backup.status != Status.PENDING, Backup.created_at > backup.created_at)
            newest = session.exec(newer.where(Backup.created_at <= until).order_by(*_NEWEST_FIRST).limit(1)).first()
            return newest is not None and newest.status == Status.FAILED

    def untidied(self, instance: str) -> Sequence[Backup]:
        """An instance's settled backups whose spool may still be there although nothing needs it."""
        with self._sessions.reading() as session:
            query = select(Backup).where(Backup.instance == instance, Backup.status != Status.PENDING, _SPOOLED)
            return session.exec(query.where(col(Backup.dump_path).is_(None))).all()

    def forget_spool(self, backup_id: str) -> None:
        """Nothing of the backup is spooled any more; its times stay as they were reported."""
        with self._sessions.writing() as session:
            _existing(session, backup_id).spool_path = None

    def kept_spools(self, instance: str, source: str, database: str) -> Sequence[Backup]:
        """An instance's backups of a database whose dump is still spooled."""
        return [backup for backup in self.spooled(instance) if (backup.source, backup.database) == (source, database)]

    def spooled(self, instance: str) -> Sequence[Backup]:
        """An instance's backups whose dump is still spooled; there are never many."""
        with self._sessions.reading() as session:
            query = select(Backup).where(Backup.instance == instance, _SPOOLED, col(Backup.dump_path).is_not(None))
            return session.exec(query).all()


def _newest(session: Session, source: str | None = None) -> Backup | None:
    """The newest of our own, of all sources or of one."""
    query = select(Backup).where(Backup.kind == Kind.OWN).order_by(*_NEWEST_FIRST).limit(1)
    return session.exec(query if source is None else query.where(Backup.source == source)).first()


def _near(session: Session, name: str) -> str:
    """`; did you mean 1a2b3c4d?`, of the newest; nothing for so few letters that many ids would be near."""
    if len(name) < _TELLING:
        return ""
    newest = session.exec(select(Backup.id).order_by(*_NEWEST_FIRST).limit(_LOOKED_AT)).all()
    known = {each[: len(name)]: each[: max(len(name), _SHOWN)] for each in reversed(newest)} | {LATEST: LATEST}
    return did_you_mean(name.lower(), known, cutoff=0.8)


def _existing(session: Session, backup_id: str, *, alone: bool = False) -> Backup:
    backup = session.get(Backup, backup_id, with_for_update=alone or None)
    if backup is None:
        raise NotFoundError(f"there is no backup {backup_id!r}")
    return backup


def _set(record: Backup | DriveFile, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        setattr(record, name, value)
    record.updated_at = now()


def _older_than(time: datetime, backup_id: str) -> ColumnElement[bool]:
    # The first condition is all that an index can follow, down to a page deep in the past.
    return and_(col(Backup.created_at) <= time, or_(col(Backup.created_at) < time, col(Backup.id) < backup_id))
