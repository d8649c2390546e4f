"""Backups and their files on drives."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Double, Index, text
from sqlmodel import Field, Relationship, SQLModel

from backupman.columns import Utc, document_column, text_column
from backupman.records._stamps import new_id, now


class Status(StrEnum):
    """Of a Backup, of its dump and of a DriveFile."""

    PENDING = "pending"
    FINISHED = "finished"
    FAILED = "failed"


class Kind(StrEnum):
    """Of a Backup or a Notification: made by us, or told to the ingest API by somebody else's script."""

    OWN = "own"
    INGESTED = "ingested"


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
        # Of the few that have one. Migration 0002 says so for servers too, whose dialects nobody imports at each start.
        Index("ix_backupman_backups_spooled", "spool_path", sqlite_where=text("spool_path IS NOT NULL")),
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
    home: str | None = Field(default=None, max_length=36)
    """The id of the state folder that it was made from, where several hosts share the records: its spool is there."""
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

    @property
    def retryable(self) -> bool:
        """Whether it has failed, or a copy that it can do without has failed and its dump is still spooled."""
        lacks = any(file.status == Status.FAILED for file in self.drive_files)
        return self.status == Status.FAILED or (self.status == Status.FINISHED and lacks and bool(self.dump_path))


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
    proved_at: datetime | None = Field(default=None, sa_type=Utc)
    """When a drill last restored this copy and found all that should be there."""

    backup: Backup = Relationship(back_populates="drive_files")
