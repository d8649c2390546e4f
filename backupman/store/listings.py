"""Events, deliveries and notifications in pages, the newest first, for whoever leafs through them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, func, or_
from sqlalchemy import select as columns
from sqlmodel import col, select

from backupman.records import Delivery, DriveFile, Event, Notification, Status
from backupman.store._sessions import Sessions


@dataclass(frozen=True)
class Held:
    """What a drive holds of us: objects and their bytes, and how much of it was made since a time."""

    count: int
    size: int
    added: int


class Listings:
    """Pages: what is asked for stands before the last record of the page before."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def events(self, kind: str | None, before: int | None, limit: int) -> Sequence[Event]:
        """Events of a kind, or of any, before a sequence number."""
        query = select(Event).order_by(col(Event.seq).desc()).limit(limit)
        if kind is not None:
            query = query.where(Event.kind == kind)
        if before is not None:
            query = query.where(col(Event.seq) < before)
        with self._sessions.reading() as session:
            return session.exec(query).all()

    def deliveries(self, state: str | None, endpoint: str | None, before: int | None, limit: int) -> Sequence[Delivery]:
        """Deliveries with their events and attempts, in a state and to an endpoint, before an id."""
        query = select(Delivery).order_by(col(Delivery.id).desc()).limit(limit)
        for name, value in (("state", state), ("endpoint", endpoint)):
            if value is not None:
                query = query.where(getattr(Delivery, name) == value)
        if before is not None:
            query = query.where(col(Delivery.id) < before)
        with self._sessions.reading() as session:
            return session.exec(query).all()

    def of_event(self, seq: int, limit: int) -> Sequence[Delivery]:
        """The deliveries of one event."""
        query = select(Delivery).where(Delivery.event_seq == seq).order_by(col(Delivery.id).desc()).limit(limit)
        with self._sessions.reading() as session:
            return session.exec(query).all()

    def notifications(
        self, wanted: dict[str, str | None], before: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Notification]:
        """Notifications whose `type`, `severity` and `device` are these, before a time and an id."""
        time, name = col(Notification.time), col(Notification.id)
        query = select(Notification).order_by(time.desc(), name.desc()).limit(limit)
        for field, value in wanted.items():
            if value is not None:
                query = query.where(getattr(Notification, field) == value)
        if before is not None:
            query = query.where(time <= before[0], or_(time < before[0], and_(time == before[0], name < before[1])))
        with self._sessions.reading() as session:
            return session.exec(query).all()

    def held(self, since: datetime) -> dict[str, Held]:
        """What each drive holds of us, by its label."""
        size = col(DriveFile.size)
        fresh = case((col(DriveFile.created_at) >= since, size), else_=0)
        query = columns(col(DriveFile.label), func.count(), func.sum(size), func.sum(fresh))
        query = query.where(col(DriveFile.status) == Status.FINISHED).group_by(col(DriveFile.label))
        with self._sessions.reading() as session:
            found = session.connection().execute(query).all()
        return {label: Held(count, int(total or 0), int(added or 0)) for label, count, total, added in found}

    def added_by_day(self, since: datetime) -> dict[str, dict[str, int]]:
        """Bytes of the copies that each drive still holds and that were made since a time, by their days in UTC."""
        day: Any = func.date(col(DriveFile.created_at))
        query = columns(col(DriveFile.label), day, func.sum(col(DriveFile.size)))
        query = query.where(col(DriveFile.status) == Status.FINISHED, col(DriveFile.created_at) >= since)
        found: dict[str, dict[str, int]] = {}
        with self._sessions.reading() as session:
            for label, at, total in session.connection().execute(query.group_by(col(DriveFile.label), day)):
                found.setdefault(label, {})[str(at)[:10]] = int(total or 0)
        return found
