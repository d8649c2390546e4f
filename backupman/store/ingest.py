"""What scripts report from elsewhere: results of backups and free-form notifications, each recorded once.

A record's id is made of everything that tells one entry from another, so that a repeat, also one at the same moment or
to another daemon on the same store, finds the record that is there.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel

from backupman.columns import storable
from backupman.errors import StoreError
from backupman.events import EventKind, NotificationReport
from backupman.records import Backup, Event, Kind, Notification, Status, now
from backupman.store._sessions import Sessions
from backupman.store.outbox import Announcement, owe, owe_event

UNKNOWN_SENDER = "unknown@ingest"
NAME_LENGTH = 255
"""Characters of a device, job, sender, status or type: what their columns hold."""

_PROVIDER = "ingest"
_FINISHED = frozenset({"success", "ok", "completed", "finished"})
_WARNING = "warning"
_IDS = uuid.UUID("5a4b8cf6-9a0e-4c0e-9a53-1d2f0f9f3b7e")
_OUTCOMES = (EventKind.BACKUP_SUCCESS, EventKind.BACKUP_FAILURE)


@dataclass(frozen=True)
class Reported:
    """The result of a backup made elsewhere; `sender`, `device` and `job` together identify one job."""

    device: str
    job: str
    at: datetime
    status: str
    message: str
    sender: str = UNKNOWN_SENDER
    seconds: float | None = None

    @property
    def outcome(self) -> Status:
        """What the status means to us; whatever is not known to be good has failed."""
        good = _FINISHED | {_WARNING}
        return Status.FINISHED if self.status.strip().lower() in good else Status.FAILED

    @property
    def warns(self) -> bool:
        """Whether it finished with a warning."""
        return self.status.strip().lower() == _WARNING


@dataclass(frozen=True)
class Noted:
    """Something else that a script wants people to know."""

    device: str
    at: datetime
    severity: str
    type: str
    job: str | None = None
    message: str | None = None
    sender: str = UNKNOWN_SENDER


@dataclass(frozen=True)
class Recipient:
    """Whose records they become: this installation, the name of the key that told them, and who wants which event."""

    instance: str
    operator: str | None = None
    endpoints: Mapping[EventKind, Sequence[str]] | None = None

    def wanting(self, kind: EventKind) -> Sequence[str]:
        """The names of the endpoints that want this kind of event."""
        return (self.endpoints or {}).get(kind, ())


class Ingest:
    """Results and notifications from elsewhere."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def backup(self, told: Reported, recipient: Recipient) -> tuple[str, bool]:
        """Record a result and owe its report, in one transaction; its id, and whether it is new."""
        record = _backup(told, recipient)

        def report(session: Session) -> None:
            outcome = _OUTCOMES[record.status != Status.FINISHED]
            kinds = (EventKind.BACKUP_REPORT, outcome)
            owe(session, record, [Announcement(kind, recipient.wanting(kind)) for kind in kinds])

        return record.id, self._once(record, record.id, report)

    def notification(self, told: Noted, recipient: Recipient) -> tuple[str, bool]:
        """Record a notification and owe it, in one transaction; its id, and whether it is new."""
        record = _notification(told)

        def report(session: Session) -> None:
            payload = NotificationReport(
                **record.model_dump(exclude={"created_at", "kind"}),
                label=f"{record.device}: {record.type} ({record.severity})",
                instance=recipient.instance,
            )
            event = Event(
                kind=EventKind.NOTIFICATION,
                instance=recipient.instance,
                job=record.job or record.type,
                payload=payload.document(),
            )
            owe_event(session, event, recipient.wanting(EventKind.NOTIFICATION))

        return record.id, self._once(record, record.id, report)

    def _once(self, record: SQLModel, record_id: str, report: Callable[[Session], None]) -> bool:
        """Add a record and its events unless it is there; whether it was added."""
        try:
            with self._sessions.writing() as session:
                if session.get(type(record), record_id):
                    return False
                session.add(record)
                session.flush()
                report(session)
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):  # the primary key: the same entry came twice at once
                return False
            raise
        return True


def _backup(told: Reported, recipient: Recipient) -> Backup:
    device, job, sender, status, message = map(
        storable, (told.device, told.job, told.sender, told.status, told.message)
    )
    received = now()
    return Backup(
        id=_id("backup", sender, device, job, _time(told.at), status, message),
        # Not by settle(): there is neither a dump nor a drive of ours, only what was said.
        status=told.outcome,
        dump_status=told.outcome,
        kind=Kind.INGESTED,
        label=job,
        job=job,
        source=device,  # with the job as database, so that the index of own backups finds these as well
        database=job,
        source_provider=_PROVIDER,
        instance=recipient.instance,
        trigger=_PROVIDER,
        operator=recipient.operator,
        device=device,
        sender=sender,
        said_status=status,
        warning=told.warns,
        message=message,
        error=(message or status) if told.outcome == Status.FAILED else None,
        object_name="",
        seconds=told.seconds,
        created_at=min(told.at, received),  # a clock that is ahead must not hide that later results stay out
        updated_at=received,
        finished_at=received,
    )


def _notification(told: Noted) -> Notification:
    device, sender, job, kind, message = map(storable, (told.device, told.sender, told.job, told.type, told.message))
    return Notification(
        id=_id("notification", sender, device, job, _time(told.at), kind, told.severity, message),
        device=device,
        sender=sender,
        job=job,
        type=kind,
        severity=told.severity,
        message=message,
        time=min(told.at, now()),  # by a clock that is ahead it would stand before all later ones until then
    )


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _id(*parts: str | None) -> str:
    return str(uuid.uuid5(_IDS, repr(parts)))
