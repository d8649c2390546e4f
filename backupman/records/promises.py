"""What was promised and what came of it: schedules, runs, incidents; and what people should know."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from backupman.columns import Utc, text_column
from backupman.records._stamps import new_id, now
from backupman.records.backups import Kind


class RunState(StrEnum):
    """Of a Run: `skipped` because the job was still running, `missed` because nobody was there to run it.

    `interrupted` is a run some of whose sources have not begun: they are begun as long as the run is not too old.
    """

    RUNNING = "running"
    DONE = "done"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    MISSED = "missed"


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
    """What people should know: an alarm of ours, with the id of its event, or what a script told the ingest API.

    The `type` of an alarm is the kind of its event, its `sender` the installation.
    """

    __tablename__ = "backupman_notifications"
    __table_args__ = (
        Index("ix_backupman_notifications_time", "time", "id"),
        Index("ix_backupman_notifications_device", "device", "time", "id"),
        Index("ix_backupman_notifications_type", "type", "time", "id"),
        Index("ix_backupman_notifications_severity", "severity", "time", "id"),
    )

    id: str = Field(default_factory=new_id, primary_key=True, max_length=36)
    kind: str = Field(default=Kind.INGESTED, max_length=16)
    device: str = Field(max_length=255)
    sender: str = Field(max_length=255)
    job: str | None = Field(default=None, max_length=255)
    type: str = Field(max_length=255)
    severity: str = Field(max_length=16)
    message: str | None = Field(default=None, sa_column=text_column())
    time: datetime = Field(sa_type=Utc)
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
