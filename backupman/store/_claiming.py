"""Which owed deliveries may be sent now, in SQL, and the atomic update that takes one."""

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from backupman.records import Delivery, DeliveryAttempt, DeliveryState

_AHEAD = timedelta(days=1)
"""Longer than any wait."""


def of(without: Collection[str], among: Collection[str] | None) -> ColumnElement[bool]:
    """Deliveries to some endpoints alone."""
    others = col(Delivery.endpoint).not_in(without)
    return others if among is None else and_(others, col(Delivery.endpoint).in_(among))


def is_head(instance: str) -> Any:
    """Owed by the instance, with nothing owed before it in its lane."""
    return and_(col(Delivery.instance) == instance, col(Delivery.state) == DeliveryState.OWED, ~_is_after_another())


@cache  # it is asked each second, and takes longer to build than to ask
def _is_after_another() -> ColumnElement[bool]:
    earlier = aliased(Delivery)
    return exists().where(
        col(earlier.instance) == Delivery.instance,
        col(earlier.endpoint) == Delivery.endpoint,
        col(earlier.lane) == Delivery.lane,
        col(earlier.state) == DeliveryState.OWED,
        col(earlier.id) < col(Delivery.id),
    )


def by_a_clock_ahead(time: datetime) -> ColumnElement[bool]:
    """What waits longer than anything does, and was owed or tried later than now: it is due."""
    later = time + _AHEAD
    tried = exists().where(col(DeliveryAttempt.delivery_id) == Delivery.id, col(DeliveryAttempt.at) > time)
    return and_(col(Delivery.next_attempt_at) > later, or_(col(Delivery.created_at) > later, tried))


def take(session: Session, delivery_id: int | None, time: datetime, lease: timedelta) -> bool:
    """Take one; false where somebody was quicker. Nobody else can until the lease has ended."""
    taken = session.connection().execute(
        update(Delivery)
        .where(col(Delivery.id) == delivery_id, col(Delivery.state) == DeliveryState.OWED, free(time))
        .values(lease_until=time + lease, attempts=col(Delivery.attempts) + 1)
    )
    return taken.rowcount == 1


def free(time: datetime) -> Any:
    """Not under way at that time."""
    return or_(col(Delivery.lease_until).is_(None), col(Delivery.lease_until) < time)
