"""The tables of all records.

Times are UTC and aware. Our tables have names of their own: those of the original Go program (`backups`,
`backup_drive_files`) may live in the same database and are never touched.
"""

import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Double, Index, UniqueConstraint, text
from sqlmodel import Field, Relationship, SQLModel

from backupman.columns import Utc, document_column, text_column


class Status(StrEnum):
    """Of a Backup, of its dump and of a DriveFile."""

    PENDING = "pending"
    FINISHED = "finished"
    FAILED = "failed"


class DeliveryState(StrEnum):
    """Of a Delivery: `dropped` is not owed any more, `failed` was given up."""

    OWED = "owed"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


class Kind(StrEnum):
    """Of a Backup: made by us, or told to the ingest API by somebody else's script."""

    OWN = "own"
    INGESTED = "ingested"


class RunState(StrEnum):
    """Of a Run: `skipped` because the job was still running, `missed` because nobody was there to run it.

    `interrupted` is a run some of whose sources have not begun: they are begun as long as the run is not too old.
    """

    RUNNING = "running"
    DONE = "done"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    MISSED = "missed"


def now() -> datetime:
    """The time that records are stamped with."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh id for a record."""
    return str(uuid.uuid4())


_WHERE_SPOOLED: dict[str, Any] = {
    "sqlite_where": text("spool_path IS NOT NULL"),
    "postgresql_where": text("spool_path IS NOT NULL"),
    "mysql_length": {"spool_path": 16},
}
"""For an index of the few backups with a spool. MySQL cannot index some rows only, so it indexes how paths begin."""


class Backup(SQLModel, table=True):
    """One dump of one database of one source."""

    __tablename__ = "backupman_backups"
    __table_args__ = (
        Index("ix_backupman_backups_created_at", "created_at", "id"),
        Index("ix_backupman_backups_kind", "kind", "created_at", "id"),
        Index("ix_backupman_backups_status", "status", "created_at"),
        Index("ix_backupman_backups_label", "label", "created_at"),
        Index("ix_backupman_backups_job", "job", "created_at"),
        Index("ix_backupman_backups_source", "source", "created_at"),
        Index("ix_backupman_backups_database", "database", "created_at"),
        Index("ix_backupman_backups_of", "source", "database", "created_at"),
        Index("ix_backupman_backups_by", "job", "source", "created_at"),
        Index("ix_backupman_backups_spooled", "spool_path", **_WHERE_SPOOLED),
    )

    id: str = Field(default_factory=new_id, primary_key=True, max_length=36)
    status: str = Field(default=Status.PENDING, max_length=16)
    dump_status: str = Field(default=Status.PENDING, max_length=16)
    phase: str | None = Field(default=None, max_length=32)
    label: str = Field(max_length=512)
    job: str = Field(max_length=255)
    source: str = Field(max_length=255)
    database: str = Field(max_length=255)
    source_provider: str = Field(max_length=64)
    instance: str = Field(max_length=255)
    trigger: str = Field(default="manual", max_length=32)
    operator: str | None = Field(default=None, max_length=255)
    kind: str = Field(default=Kind.OWN, max_length=16)
    device: str | None = Field(default=None, max_length=255)
    sender: str | None = Field(default=None, max_length=255)
    said_status: str | None = Field(default=None, max_length=255)
    warning: bool = False
    message: str | None = Field(default=None, sa_column=text_column())
    comment: str | None = Field(default=None, sa_column=text_column())
    tags: dict[str, str] = Field(default_factory=dict, sa_column=document_column())
    object_name: str = Field(max_length=1024)
    spool_path: str | None = Field(default=None, sa_column=text_column())
    dump_path: str | None = Field(default=None, sa_column=text_column())
    size: int | None = Field(default=None, sa_type=BigInteger)
    stored_size: int | None = Field(default=None, sa_type=BigInteger)
    sha256: str | None = Field(default=None, max_length=64)
    warnings: list[str] = Field(default_factory=list, sa_column=document_column())
    facts: dict[str, str] = Field(default_factory=dict, sa_column=document_column())
    error: str | None = Field(default=None, sa_column=text_column())
    timed_out: bool = False
    """Whether it was ended because its dump took longer than the source's `timeout`."""
    dump_seconds: float | None = Field(default=None, sa_type=Double)
    seconds: float | None = Field(default=None, sa_type=Double)
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
    updated_at: datetime | None = Field(default=None, sa_type=Utc)
    finished_at: datetime | None = Field(default=None, sa_type=Utc)
    pinned_until: datetime | None = Field(default=None, sa_type=Utc)
    """Until when no retention removes its copies."""

    drive_files: list["DriveFile"] = Relationship(
        back_populates="backup",
        sa_relationship_kwargs={"order_by": "DriveFile.position", "lazy": "selectin", "cascade": "all, delete-orphan"},
    )


class DriveFile(SQLModel, table=True):
    """One dump on one drive; the object's name stands here before its first byte is sent."""

    __tablename__ = "backupman_drive_files"
    __table_args__ = (Index("ix_backupman_drive_files_of", "backup_id", "label", "status"),)

    id: str = Field(default_factory=new_id, primary_key=True, max_length=36)
    backup_id: str = Field(foreign_key="backupman_backups.id", max_length=36)
    position: int = 0
    provider: str = Field(max_length=64)
    label: str = Field(max_length=255)
    required: bool = True
    status: str = Field(default=Status.PENDING, max_length=16)
    path: str | None = Field(default=None, sa_column=text_column())
    ref: str | None = Field(default=None, sa_column=text_column())
    sidecar_ref: str | None = Field(default=None, sa_column=text_column())
    session: str | None = Field(default=None, sa_column=text_column())
    size: int | None = Field(default=None, sa_type=BigInteger)
    sha256: str | None = Field(default=None, max_length=64)
    checksums: dict[str, str] = Field(default_factory=dict, sa_column=document_column())
    attempts: int = 0
    seconds: float | None = Field(default=None, sa_type=Double)
    error: str | None = Field(default=None, sa_column=text_column())
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
    updated_at: datetime | None = Field(default=None, sa_type=Utc)
    trashed_at: datetime | None = Field(default=None, sa_type=Utc)
    """Since when it waits for its deletion."""
    verified_at: datetime | None = Field(default=None, sa_type=Utc)
    verify_error: str | None = Field(default=None, sa_column=text_column())
    """When it was last read back and was what had been stored, and what was wrong the last time."""

    backup: Backup = Relationship(back_populates="drive_files")


class Event(SQLModel, table=True):
    """A frozen fact; `seq` gives the order, `id` is the same over all deliveries."""

    __tablename__ = "backupman_events"
    __table_args__ = (Index("ix_backupman_events_time", "time"),)

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


class Schedule(SQLModel, table=True):
    """Since when an installation has promised something: a job its schedule, or a source of a job its backups.

    The schedule of a job has neither `source` nor `database`. A new or changed one has no past to catch up.
    """

    __tablename__ = "backupman_schedules"
    __table_args__ = (Index("ix_backupman_schedules_instance", "instance"),)

    id: int | None = Field(default=None, primary_key=True)
    instance: str = Field(max_length=255)
    job: str = Field(max_length=255)
    source: str = Field(default="", max_length=255)
    database: str = Field(default="", max_length=255)
    schedule: str = Field(sa_column=text_column())
    since: datetime = Field(sa_type=Utc)


class Run(SQLModel, table=True):
    """One due time of an installation's job and what came of it; never two for the same due time."""

    __tablename__ = "backupman_runs"
    __table_args__ = (UniqueConstraint("instance", "job", "due_at", name="uq_backupman_runs_due"),)

    id: int | None = Field(default=None, primary_key=True)
    instance: str = Field(max_length=255)
    job: str = Field(max_length=255)
    due_at: datetime = Field(sa_type=Utc)
    state: str = Field(max_length=16)
    reason: str | None = Field(default=None, sa_column=text_column())
    started_at: datetime | None = Field(default=None, sa_type=Utc)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)


class Incident(SQLModel, table=True):
    """A deadline that does not hold (`kind` is the event's), from the first alarm to the recovery.

    Of an ingested job `source` is the device and `database` the sender. A good backup begun at `due_at` or later ends
    it, if no other is due by then.
    """

    __tablename__ = "backupman_incidents"
    __table_args__ = (Index("ix_backupman_incidents_open", "instance", "closed_at"),)

    id: int | None = Field(default=None, primary_key=True)
    instance: str = Field(max_length=255)
    kind: str = Field(max_length=64)
    job: str = Field(max_length=255)
    source: str = Field(max_length=255)
    database: str = Field(max_length=255)
    due_at: datetime = Field(sa_type=Utc)
    opened_at: datetime = Field(sa_type=Utc)
    reminded_at: datetime = Field(sa_type=Utc)
    closed_at: datetime | None = Field(default=None, sa_type=Utc)


class Notification(SQLModel, table=True):
    """A free-form notification that somebody's script sent to the ingest API."""

    __tablename__ = "backupman_notifications"
    __table_args__ = (Index("ix_backupman_notifications_time", "time", "id"),)

    id: str = Field(default_factory=new_id, primary_key=True, max_length=36)
    device: str = Field(max_length=255)
    sender: str = Field(max_length=255)
    job: str | None = Field(default=None, max_length=255)
    type: str = Field(max_length=255)
    severity: str = Field(max_length=16)
    message: str | None = Field(default=None, sa_column=text_column())
    time: datetime = Field(sa_type=Utc)
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
