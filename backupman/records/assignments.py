"""What was handed to the workers of other hosts, who took it, and the workers themselves."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Index
from sqlmodel import Field, SQLModel

from backupman.columns import Utc, document_column, text_column
from backupman.records._stamps import new_id, now


class AssignmentKind(StrEnum):
    """What a worker is to do."""

    BACKUP = "backup"
    RETRY = "retry"
    RESTORE = "restore"
    VERIFY = "verify"
    DELIVER = "deliver"


_NOUNS: Mapping[str, str] = {AssignmentKind.VERIFY: "verification", AssignmentKind.DELIVER: "messages"}
"""Where the kind itself is none."""


class AssignmentState(StrEnum):
    """Of an Assignment: `waiting` in its queue, `running` at a worker, `ended`, whatever came of it."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Assignment(SQLModel, table=True):
    """Something that one worker is to do: for a backup, one source of one run.

    What it needs to know stands in `details`, without secrets; which records it has made, in `records`.
    """

    __tablename__ = "backupman_assignments"
    __table_args__ = (
        Index("ix_backupman_assignments_state", "instance", "state", "queue"),
        Index("ix_backupman_assignments_of", "instance", "job", "source"),
        Index("ix_backupman_assignments_run", "run_id"),
        Index("ix_backupman_assignments_ended", "instance", "ended_at"),
    )

    id: str = Field(default_factory=new_id, primary_key=True, max_length=36)
    instance: str = Field(max_length=255)
    kind: str = Field(max_length=16)
    queue: str = Field(max_length=64)
    job: str = Field(default="", max_length=255)
    source: str = Field(default="", max_length=255)
    run_id: int | None = None
    task_id: int | None = Field(default=None, sa_type=BigInteger)
    """The number of its task in Procrastinate's queue."""
    details: dict[str, Any] = Field(default_factory=dict, sa_column=document_column())
    state: str = Field(default=AssignmentState.WAITING, max_length=16)
    attempts: int = 0
    """How often a worker has taken it."""
    home: str | None = Field(default=None, max_length=36)
    holder: str | None = Field(default=None, max_length=36)
    host: str | None = Field(default=None, max_length=255)
    """The state folder, the process and the host that have taken it."""
    records: list[str] = Field(default_factory=list, sa_column=document_column())
    """The ids of the backups or restores that were begun for it, the oldest first."""
    cancelled: dict[str, str] = Field(default_factory=dict, sa_column=document_column())
    """The ids of records that are to end before their time, and why."""
    error: str | None = Field(default=None, sa_column=text_column())
    """Why it could not be begun, or ended without a record."""
    busy: bool = False
    """Whether it ended because its source was busy."""
    begin_until: datetime | None = Field(default=None, sa_type=Utc)
    """Until when it may be begun once more, where its worker has died or could not begin."""
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
    started_at: datetime | None = Field(default=None, sa_type=Utc)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)

    @property
    def about(self) -> str:
        """For people: `backup of Shop`, `messages`."""
        noun = _NOUNS.get(self.kind, self.kind)
        return f"{noun} of {self.source}" if self.source else noun


class Worker(SQLModel, table=True):
    """A worker, by the state folder that it works from; it lives as long as its claim is put off."""

    __tablename__ = "backupman_workers"

    home: str = Field(primary_key=True, max_length=36)
    instance: str = Field(max_length=255)
    holder: str = Field(max_length=36)
    host: str = Field(max_length=255)
    version: str = Field(max_length=64)
    queues: list[str] = Field(default_factory=list, sa_column=document_column())
    """The queues that it takes from, without the one that every worker takes from."""
    takes_any: bool = True
    """Whether it also takes what any worker may do."""
    slots: int = 1
    """How many assignments it has under way at once, at most."""
    started_at: datetime = Field(sa_type=Utc)
    heard_at: datetime = Field(sa_type=Utc)
    """When it was last heard of, by PostgreSQL's clock."""
    stopped_at: datetime | None = Field(default=None, sa_type=Utc)
    """When it ended in good order."""
