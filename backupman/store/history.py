"""Lets go of old records that hold no good copy and that nobody waits for, in small transactions."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select
from sqlalchemy.orm import aliased
from sqlmodel import Session

from backupman.records import (
    Backup,
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    DriveFile,
    Event,
    Incident,
    Kind,
    Notification,
    Run,
    RunState,
    Status,
)
from backupman.store.run_logs import RunLog

# As SQLAlchemy sees them: SQLModel types columns as the records' own values.
_B: Any = Backup
_D: Any = Delivery
_E: Any = Event
_I: Any = Incident
_L: Any = RunLog
_N: Any = Notification
_R: Any = Run

Sessions = Callable[[], AbstractContextManager[Session]]


class History:
    """Old records, by table and in this order: what refers to a record goes before it."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def purge(self, instance: str, before: datetime, limit: int) -> int:
        """Remove up to `limit` records of each table that an installation made before then; how many.

        A finished backup of ours stays, and so does a failed one with a copy on a drive or in the spool, a delivery
        that is owed with its event, what is open or running, and the newest run of a job.
        """
        return sum(
            (
                self._remove(_D.id, _settled_deliveries(instance, before), limit, (DeliveryAttempt, "delivery_id")),
                self._remove(_E.seq, _told_events(instance, before), limit),
                self._remove(_R.id, _older_runs(instance, before), limit),
                self._remove(_I.id, and_(_I.instance == instance, _I.closed_at < before), limit),
                self._remove(_B.id, _empty_backups(instance, before), limit, (DriveFile, "backup_id")),
                self._remove(_N.id, _N.created_at < before, limit),
                self._remove(_L.backup_id, and_(_L.instance == instance, _L.updated_at < before), limit),
            )
        )

    def _remove(self, key: Any, old: ColumnElement[bool], limit: int, parts: tuple[Any, str] | None = None) -> int:
        """Remove the records of a table, and first what is part of them, that are old."""
        with self._sessions() as session:
            connection = session.connection()
            # Read before they are deleted: MySQL deletes nothing from a table that the condition reads.
            keys = connection.execute(select(key).where(old).limit(limit)).scalars().all()
            if keys and parts:
                part, reference = parts
                connection.execute(delete(part).where(getattr(part, reference).in_(keys)))
            if keys:
                connection.execute(delete(key.class_).where(key.in_(keys)))
        return len(keys)


def _settled_deliveries(instance: str, before: datetime) -> ColumnElement[bool]:
    return and_(_D.instance == instance, _D.state != DeliveryState.OWED, _D.created_at < before)


def _told_events(instance: str, before: datetime) -> ColumnElement[bool]:
    return and_(_E.instance == instance, _E.time < before, ~exists().where(_D.event_seq == _E.seq))


def _older_runs(instance: str, before: datetime) -> ColumnElement[bool]:
    """Without the newest of a job: by it the next start knows what was run."""
    newer: Any = aliased(Run)
    there = exists().where(newer.instance == _R.instance, newer.job == _R.job, newer.due_at > _R.due_at)
    return and_(_R.instance == instance, _R.due_at < before, _R.state != RunState.RUNNING, there)


def _empty_backups(instance: str, before: datetime) -> ColumnElement[bool]:
    """Ingested ones, and failed ones of which nothing is kept anywhere."""
    kept = exists().where(DriveFile.backup_id == _B.id, DriveFile.status != Status.FAILED)  # type: ignore[arg-type]  # SQLModel's columns are typed as their values
    failed = and_(_B.status == Status.FAILED, _B.dump_path.is_(None), ~kept)
    return and_(_B.instance == instance, _B.created_at < before, or_(_B.kind == Kind.INGESTED, failed))
