"""The outbox: events, and the deliveries that are owed of them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Double, Index
from sqlmodel import Field, Relationship, SQLModel

from backupman.columns import Utc, document_column, text_column
from backupman.records._stamps import new_id, now


class DeliveryState(StrEnum):
    """Of a Delivery: `dropped` is not owed any more, `failed` was given up."""

    OWED = "owed"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


class Event(SQLModel, table=True):
    """A frozen fact; `seq` gives the order, `id` is the same over all deliveries."""

    __tablename__ = "backupman_events"
    __table_args__ = (Index("ix_backupman_events_time", "time"), Index("ix_backupman_events_kind", "kind", "seq"))

    seq: int | None = Field(default=None, primary_key=True)
    id: str = Field(default_factory=new_id, max_length=36, unique=True)
    kind: str = Field(max_length=64)
    time: datetime = Field(default_factory=now, sa_type=Utc)
    instance: str = Field(max_length=255)
    job: str = Field(max_length=255)
    backup_id: str | None = Field(default=None, max_length=36, index=True)
    payload: dict[str, Any] = Field(sa_column=document_column())


class Delivery(SQLModel, table=True):
    """One event owed to one endpoint: the endpoint's name, never its URL or token."""

    __tablename__ = "backupman_deliveries"
    __table_args__ = (
        Index("ix_backupman_deliveries_state", "state", "id"),
        Index("ix_backupman_deliveries_lane", "endpoint", "lane", "state", "id"),
        Index("ix_backupman_deliveries_endpoint", "endpoint", "id"),
        Index("ix_backupman_deliveries_to", "endpoint", "state", "id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    event_seq: int = Field(foreign_key="backupman_events.seq", index=True)
    instance: str = Field(max_length=255)
    """Whose config names the endpoint: nobody else may send it, or drop it as unknown."""
    endpoint: str = Field(max_length=300)
    lane: str = Field(max_length=255)
    """Deliveries of one instance, endpoint and lane (the job) keep their order; lanes never wait for each other."""
    state: str = Field(default=DeliveryState.OWED, max_length=16)
    attempts: int = 0
    next_attempt_at: datetime = Field(default_factory=now, sa_type=Utc)
    lease_until: datetime | None = Field(default=None, sa_type=Utc)
    settled_at: datetime | None = Field(default=None, sa_type=Utc)
    answer: str | None = Field(default=None, sa_column=text_column())
    error: str | None = Field(default=None, sa_column=text_column())
    created_at: datetime = Field(default_factory=now, sa_type=Utc)

    event: Event = Relationship(sa_relationship_kwargs={"lazy": "joined"})
    history: list["DeliveryAttempt"] = Relationship(
        sa_relationship_kwargs={"order_by": "DeliveryAttempt.id", "lazy": "selectin"}
    )


class DeliveryAttempt(SQLModel, table=True):
    """One attempt at a delivery, with what came of it."""

    __tablename__ = "backupman_delivery_attempts"

    id: int | None = Field(default=None, primary_key=True)
    delivery_id: int = Field(foreign_key="backupman_deliveries.id", index=True)
    at: datetime = Field(default_factory=now, sa_type=Utc)
    seconds: float = Field(sa_type=Double)
    delivered: bool
    answer: str | None = Field(default=None, sa_column=text_column())
    error: str | None = Field(default=None, sa_column=text_column())
