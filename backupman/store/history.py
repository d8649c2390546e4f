"""Lets go of old records that hold no good copy and that nobody waits for, in small transactions."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select
from sqlalchemy.orm import aliased

from backupman.records import (
    Assignment,
    Backup,
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    DriveFile,
    Event,
    Incident,
    Kind,
    ManifestRecord,
    Notification,
    Restore,
    Run,
    RunState,
    Status,
    Verification,
)
from backupman.store._sessions import Sessions
from backupman.store.run_logs import RunLog

# As SQLAlchemy sees them: SQLModel types columns as the records' own values.
_A: Any = Assignment
_B: Any = Backup
_D: Any = Delivery
_E: Any = Event
_F: Any = DriveFile
_I: Any = Incident
_L: Any = RunLog
_M: Any = ManifestRecord
_N: Any = Notification
_R: Any = Run
_S: Any = Restore
_V: Any = Verification


class History:
    """Old records, by table and in this order: what refers to a record goes before it."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def purge(self, instance: str, before: datetime, limit: int) -> int:
        """Remove up to `limit` records of each table that an installation made before then; how many.

        A finished backup of ours stays, and so does a failed one with a copy on a drive or in the spool, a delivery
        that is owed with its event, what is open or running, and the newest run of a job; of a backup that is still
        there also what it held, the newest proof of each copy and level, and what found a copy bad that still is.
        """
        return sum(
            (
                self._remove(_D.id, _settled_deliveries(instance, before), limit, (DeliveryAttempt, "delivery_id")),
                self._remove(_E.seq, _told_events(instance, before), limit),
                self._remove(_A.id, and_(_A.instance == instance, _A.ended_at < before), limit),
                self._remove(_R.id, _older_runs(instance, before), limit),
                self._remove(_I.id, and_(_I.instance == instance, _I.closed_at < before), limit),
                self._remove(_B.id, _empty_backups(instance, before), limit, (DriveFile, "backup_id")),
                self._remove(_N.id, _N.created_at < before, limit),
                self._remove(_V.id, _older_proofs(instance, before), limit),
                self._remove(
                    _S.id, and_(_S.instance == instance, _S.created_at < before, _S.status != Status.PENDING), limit
                ),
                self._remove(_M.backup_id, _manifests_of_nothing(), limit),
                self._remove(_L.backup_id, and_(_L.instance == instance, _L.updated_at < before), limit),
            )
        )

    def _remove(self, key: Any, old: ColumnElement[bool], limit: int, parts: tuple[Any, str] | None = None) -> int:
        """Remove the records of a table, and first what is part of them, that are old."""
        with self._sessions.writing() as session:
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


def _older_proofs(instance: str, before: datetime) -> ColumnElement[bool]:
    """Without the newest good one of each copy and level, as long as its backup is there.

    Nor what found a copy bad that still is: how deep that looked says how deep it has to be found right.
    """
    newer: Any = aliased(Verification)
    same = newer.backup_id == _V.backup_id, newer.drive == _V.drive, newer.level == _V.level
    newest = and_(_V.good, ~exists().where(*same, newer.good, newer.at > _V.at), exists().where(_B.id == _V.backup_id))
    bad = exists().where(_F.backup_id == _V.backup_id, _F.label == _V.drive, _F.verify_error == _V.error)
    return and_(_V.instance == instance, _V.at < before, ~newest, ~bad)


def _manifests_of_nothing() -> ColumnElement[bool]:
    """Of backups that are gone, whosever they were: nobody can ask for them."""
    return ~exists().where(_B.id == _M.backup_id)


def _empty_backups(instance: str, before: datetime) -> ColumnElement[bool]:
    """Ingested ones, and failed ones of which nothing is kept anywhere."""
    kept = exists().where(DriveFile.backup_id == _B.id, DriveFile.status != Status.FAILED)  # type: ignore[arg-type]  # SQLModel's columns are typed as their values
    failed = and_(_B.status == Status.FAILED, _B.dump_path.is_(None), ~kept)
    return and_(_B.instance == instance, _B.created_at < before, or_(_B.kind == Kind.INGESTED, failed))
