"""Whom messages reach, and what of them waits or was given up: figures of the deliveries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from backupman.records import Delivery, DeliveryState
from backupman.store._sessions import Sessions


@dataclass(frozen=True)
class GivenUp:
    """Messages that were given up, and when the oldest of them was owed."""

    count: int
    oldest: datetime


class Reached:
    """Figures of the deliveries."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def deliveries(self, instance: str, state: DeliveryState) -> dict[str, int]:
        """How many deliveries of an instance to each endpoint are in that state."""
        with self._sessions.reading() as session:
            query = select(Delivery.endpoint, func.count()).where(
                Delivery.state == state, Delivery.instance == instance
            )
            return dict(session.exec(query.group_by(Delivery.endpoint)).all())

    def given_up(self, instance: str) -> dict[str, GivenUp]:
        """What an instance could not deliver, by endpoint: how many messages, and since when."""
        with self._sessions.reading() as session:
            query = columns(col(Delivery.endpoint), func.count(), func.min(Delivery.created_at))
            query = query.where(col(Delivery.state) == DeliveryState.FAILED, col(Delivery.instance) == instance)
            rows = session.connection().execute(query.group_by(col(Delivery.endpoint)).order_by(col(Delivery.endpoint)))
            return {endpoint: GivenUp(count, oldest) for endpoint, count, oldest in rows}

    def newest_to(self, instance: str, endpoint: str, lane: str, limit: int) -> Sequence[Delivery]:
        """The newest deliveries to an endpoint in a lane, with their events."""
        with self._sessions.reading() as session:
            query = select(Delivery).where(Delivery.endpoint == endpoint, Delivery.lane == lane)
            query = query.where(Delivery.instance == instance).order_by(col(Delivery.id).desc()).limit(limit)
            return session.exec(query).all()

    def last_delivered(self, instance: str, endpoints: Collection[str], lanes: Collection[str]) -> dict[str, datetime]:
        """When each endpoint last took a message of one of these lanes; those that never did are left out."""
        taken: dict[str, datetime] = {}
        with self._sessions.reading() as session:
            for endpoint in endpoints:
                times = [_delivered(session, instance, endpoint, lane) for lane in lanes]
                if known := [time for time in times if time]:
                    taken[endpoint] = max(known)
        return taken

    def tried_in_vain(self, instance: str) -> dict[str, int]:
        """How many deliveries that an instance owes to each endpoint were tried before."""
        with self._sessions.reading() as session:
            query = select(Delivery.endpoint, func.count()).where(
                Delivery.state == DeliveryState.OWED, Delivery.instance == instance, Delivery.attempts > 0
            )
            return dict(session.exec(query.group_by(Delivery.endpoint)).all())


def _delivered(session: Session, instance: str, endpoint: str, lane: str) -> datetime | None:
    """One step in the index of (endpoint, lane, state, id)."""
    query = select(Delivery.settled_at).where(
        Delivery.endpoint == endpoint, Delivery.lane == lane, Delivery.state == DeliveryState.DELIVERED
    )
    return session.exec(query.where(Delivery.instance == instance).order_by(col(Delivery.id).desc()).limit(1)).first()
