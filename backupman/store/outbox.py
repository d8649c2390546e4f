"""The outbox: events, and the deliveries owed for them, written in the transaction of what they tell about.

A delivery is claimed by one atomic UPDATE with a lease, so that a daemon's dispatcher and a `run` beside it never both
send it. Deliveries of one (endpoint, lane) go out in order; lanes never wait for each other.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, case, func, or_, update
from sqlalchemy.orm import lazyload
from sqlmodel import Session, col, select

from backupman.errors import NotFoundError
from backupman.events import BackupExtended, EventKind
from backupman.records import Backup, Delivery, DeliveryAttempt, DeliveryState, Event, now
from backupman.store._claiming import by_a_clock_ahead, free, is_head, of, take
from backupman.store._ids import begins
from backupman.store._sessions import Sessions
from backupman.store.alarms import notifications

_GAP_SETTLES = timedelta(seconds=10)
_SKEW = timedelta(minutes=10)


@dataclass(frozen=True)
class Announcement:
    """An event that is about to be written, and the names of the endpoints that want it."""

    kind: EventKind
    endpoints: Sequence[str]


@dataclass(frozen=True)
class Attempt:
    """What came of the delivery's `number`th attempt; `next_attempt_at` None means that there is no other."""

    number: int
    state: DeliveryState
    at: datetime
    seconds: float
    answer: str | None = None
    error: str | None = None
    next_attempt_at: datetime | None = None


def owe(session: Session, backup: Backup, announcements: Sequence[Announcement]) -> None:
    """Write the events of a backup and their deliveries into the session's transaction."""
    for announcement in announcements:
        event = Event(
            kind=announcement.kind,
            instance=backup.instance,
            job=backup.job,
            backup_id=backup.id,
            payload=BackupExtended.of(backup).document(),
        )
        owe_event(session, event, announcement.endpoints)


def owe_event(session: Session, event: Event, endpoints: Sequence[str]) -> None:
    """Write an event, its deliveries, and the notification that an alarm is, into the session's transaction."""
    session.add(event)
    session.flush()
    session.add_all([*notifications(event), *(_delivery(event, endpoint, event.instance) for endpoint in endpoints)])


def _delivery(event: Event, endpoint: str, instance: str) -> Delivery:
    assert event.seq is not None  # noqa: S101 - the event was flushed before
    return Delivery(event_seq=event.seq, instance=instance, endpoint=endpoint, lane=event.job)


class Outbox:
    """Events and deliveries."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def claim(
        self,
        instance: str,
        limit: int,
        lease: timedelta,
        at: datetime | None = None,
        *,
        without: Collection[str] = (),
        among: Collection[str] | None = None,
        only: str | None = None,
    ) -> Sequence[Delivery]:
        """Up to `limit` due deliveries, the head of each (endpoint, lane), ours alone until the lease ends.

        None of those `without`, and where they are named only of those `among`. Of the `only` one those
        tried least go first: what nobody takes holds up nothing else.
        """
        time = at or now()
        with self._sessions.writing() as session:
            is_due = or_(col(Delivery.next_attempt_at) <= time, by_a_clock_ahead(time))
            due = select(Delivery.id).where(is_head(instance), is_due, free(time))
            due = due.where(of(without, among))
            if only is not None:
                due = due.where(Delivery.endpoint == only).order_by(col(Delivery.attempts))
            ids = session.exec(due.order_by(col(Delivery.id)).limit(limit)).all()
            taken = [delivery_id for delivery_id in ids if take(session, delivery_id, time, lease)]
            if not taken:
                return []
            return session.exec(select(Delivery).where(col(Delivery.id).in_(taken)).order_by(col(Delivery.id))).all()

    def record(self, delivery_id: int, attempt: Attempt) -> None:
        """Enter what came of an attempt and let go of the lease.

        An attempt whose lease has ended, so that a later one is under way, can only say that it has delivered.
        """
        with self._sessions.writing() as session:
            delivery = session.get_one(Delivery, delivery_id, options=[lazyload("*")])  # without event and history
            delivered = attempt.state == DeliveryState.DELIVERED
            session.add(
                DeliveryAttempt(
                    delivery_id=delivery_id,
                    at=attempt.at,
                    seconds=attempt.seconds,
                    delivered=delivered,
                    answer=attempt.answer,
                    error=attempt.error,
                )
            )
            if delivery.state != DeliveryState.OWED or not (delivered or delivery.attempts == attempt.number):
                return
            delivery.state = attempt.state
            delivery.answer, delivery.error, delivery.lease_until = attempt.answer, attempt.error, None
            if attempt.next_attempt_at:
                delivery.next_attempt_at = attempt.next_attempt_at
            else:
                delivery.settled_at = attempt.at

    def leave(self, delivery_ids: Sequence[int | None]) -> None:
        """Let go of what was claimed, as if it had not been."""
        with self._sessions.writing() as session:
            session.connection().execute(
                update(Delivery)
                .where(col(Delivery.id).in_(delivery_ids), col(Delivery.state) == DeliveryState.OWED)
                .values(lease_until=None, attempts=col(Delivery.attempts) - 1)
            )

    def release(self, instance: str) -> None:
        """Let go of every lease of an instance: its process has died, and another attempt is due now."""
        with self._sessions.writing() as session:
            session.connection().execute(
                update(Delivery)
                .where(col(Delivery.instance) == instance, col(Delivery.state) == DeliveryState.OWED)
                .values(lease_until=None)
            )

    def has_ended(self, start: Event) -> bool:
        """Whether the backup whose start this is has told its end meanwhile."""
        ends = [EventKind.BACKUP_REPORT, EventKind.BACKUP_SUCCESS, EventKind.BACKUP_FAILURE]
        with self._sessions.reading() as session:
            later = select(Event.seq).where(Event.backup_id == start.backup_id, col(Event.kind).in_(ends))
            return session.exec(later.where(col(Event.seq) > start.seq).limit(1)).first() is not None

    def next_due(
        self, instance: str, without: Collection[str] = (), among: Collection[str] | None = None
    ) -> datetime | None:
        """When the next owed delivery can be claimed: it is due, first in its lane and not under way."""
        time, lease_until, mine = now(), col(Delivery.lease_until), and_(is_head(instance), of(without, among))
        leased = or_(by_a_clock_ahead(time), lease_until > col(Delivery.next_attempt_at))
        with self._sessions.reading() as session:
            at_once = select(Delivery.id).where(mine, by_a_clock_ahead(time), free(time)).limit(1)
            if session.exec(at_once).first():
                return time
            free_at = case((leased, lease_until), else_=col(Delivery.next_attempt_at))
            due: datetime | None = session.exec(select(func.min(free_at)).where(mine)).one()
            return due

    def owed(self, instance: str | None = None) -> int:
        """How many deliveries are owed, by an instance or altogether."""
        with self._sessions.reading() as session:
            query = select(func.count()).where(Delivery.state == DeliveryState.OWED)
            return session.exec(query if instance is None else query.where(Delivery.instance == instance)).one()

    def deliveries(
        self,
        state: str | None = None,
        endpoint: str | None = None,
        backup_id: str | None = None,
        ids: Sequence[int] | None = None,
        limit: int | None = 100,
        *,
        instance: str | None = None,
    ) -> Sequence[Delivery]:
        """Deliveries with their events and attempts, the newest first."""
        with self._sessions.reading() as session:
            query = select(Delivery).order_by(col(Delivery.id).desc()).limit(limit)
            for name, value in (("state", state), ("endpoint", endpoint), ("instance", instance)):
                if value is not None:
                    query = query.where(getattr(Delivery, name) == value)
            if backup_id is not None:
                events = select(Event.seq).where(Event.backup_id == backup_id)
                query = query.where(col(Delivery.event_seq).in_(events))
            if ids is not None:
                query = query.where(col(Delivery.id).in_(ids))
            return session.exec(query).all()

    def events(
        self, kind: str | None = None, backup_id: str | None = None, after: int = 0, limit: int | None = 100
    ) -> Sequence[Event]:
        """Events after a sequence number, the newest first."""
        with self._sessions.reading() as session:
            query = select(Event).where(col(Event.seq) > after).order_by(col(Event.seq).desc()).limit(limit)
            for name, value in (("kind", kind), ("backup_id", backup_id)):
                if value is not None:
                    query = query.where(getattr(Event, name) == value)
            return session.exec(query).all()

    def event(self, name: str) -> Event:
        """The event of that id, or of that unique beginning of an id.

        Raises:
            NotFoundError: there is no such event, or several.
        """
        with self._sessions.reading() as session:
            return _event(session, name)

    def announce(
        self, kind: EventKind, job: str, instance: str, payload: dict[str, Any], endpoints: Sequence[str]
    ) -> None:
        """Write an event that is not about one backup, and owe it."""
        with self._sessions.writing() as session:
            owe_event(session, Event(kind=kind, instance=instance, job=job, payload=payload), endpoints)

    def events_after(self, seq: int, limit: int) -> Sequence[Event]:
        """Events after a sequence number, the oldest first, so that a reader who goes on from the last misses none.

        A server gives numbers out before their transactions end: what stands behind a gap waits until the gap is old.
        What is later than now by more than clocks differ was written by one that was ahead, and does not wait for that.
        """
        with self._sessions.reading() as session:
            query = select(Event).where(col(Event.seq) > seq).order_by(col(Event.seq)).limit(limit)
            found = session.exec(query).all()
        time = now()
        last = seq
        for index, event in enumerate(found):
            assert event.seq is not None  # noqa: S101 - it was read
            if event.seq != last + 1 and time - _GAP_SETTLES < event.time < time + _SKEW:
                return found[:index]
            last = event.seq
        return found

    def last_seq(self) -> int:
        """The number of the newest event; 0 without any."""
        with self._sessions.reading() as session:
            return session.exec(select(func.max(Event.seq))).one() or 0

    def replay(self, event: str, endpoints: Sequence[str], instance: str) -> list[int]:
        """Owe an event (its id or a unique beginning of it) again, with the same id; the ids of the deliveries.

        It is owed by the instance whose config names the endpoints, whoever told it first.

        Raises:
            NotFoundError: there is no such event, or several.
        """
        with self._sessions.writing() as session:
            found = _event(session, event)
            session.add_all(deliveries := [_delivery(found, endpoint, instance) for endpoint in endpoints])
            session.flush()
            return [delivery.id for delivery in deliveries if delivery.id is not None]

    def drop(self, delivery_ids: Sequence[int], reason: str) -> int:
        """Owe deliveries no longer, of those that are owed or were given up; how many."""
        states = [DeliveryState.OWED, DeliveryState.FAILED]
        with self._sessions.writing() as session:
            changed = session.connection().execute(
                update(Delivery)
                .where(col(Delivery.id).in_(delivery_ids), col(Delivery.state).in_(states))
                .values(state=DeliveryState.DROPPED, settled_at=now(), lease_until=None, error=reason)
            )
            return int(changed.rowcount)

    def owe_again(self, delivery_ids: Sequence[int]) -> int:
        """Owe given-up deliveries again, and owed ones at once; how many."""
        with self._sessions.writing() as session:
            changed = session.connection().execute(
                update(Delivery)
                .where(
                    col(Delivery.id).in_(delivery_ids),
                    col(Delivery.state).in_([DeliveryState.OWED, DeliveryState.FAILED, DeliveryState.DROPPED]),
                )
                .values(state=DeliveryState.OWED, next_attempt_at=now(), created_at=now(), settled_at=None)
            )
            return int(changed.rowcount)


def _event(session: Session, name: str) -> Event:
    found = session.exec(select(Event).where(begins(col(Event.id), name)).limit(2)).all()
    if len(found) != 1:
        what = "several events begin with" if found else "there is no event"
        raise NotFoundError(f"{what} {name!r}; see `backupman events list`")
    return found[0]
