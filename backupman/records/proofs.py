"""What shows that backups can be used: manifests, verifications, restores."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Double, Index
from sqlmodel import Field, SQLModel

from backupman.columns import Utc, document_column, text_column
from backupman.records._stamps import new_id, now
from backupman.records.backups import Status


class ManifestRecord(SQLModel, table=True):
    """What was known of a backup's content when it was dumped: a `backupman.manifest.Manifest`."""

    __tablename__ = "backupman_manifests"

    backup_id: str = Field(primary_key=True, max_length=36)
    document: dict[str, Any] = Field(sa_column=document_column())


class Verification(SQLModel, table=True):
    """One check of one copy. `level` is `checksum`, `structure` or `restore` (a drill)."""

    __tablename__ = "backupman_verifications"
    __table_args__ = (
        Index("ix_backupman_verifications_of", "backup_id", "at"),
        Index("ix_backupman_verifications_time", "instance", "at"),
    )

    id: str = Field(default_factory=new_id, primary_key=True, max_length=36)
    backup_id: str = Field(max_length=36)
    instance: str = Field(max_length=255)
    drive: str = Field(max_length=255)
    level: str = Field(max_length=16)
    good: bool
    error: str | None = Field(default=None, sa_column=text_column())
    at: datetime = Field(default_factory=now, sa_type=Utc)
    seconds: float = Field(sa_type=Double)
    details: dict[str, Any] = Field(default_factory=dict, sa_column=document_column())
    """Of a drill: seconds to restore, tables and rows compared, assertions, the age of the newest row."""


class Restore(SQLModel, table=True):
    """One restore of a backup into a database or a file."""

    __tablename__ = "backupman_restores"
    __table_args__ = (
        Index("ix_backupman_restores_of", "backup_id", "created_at"),
        Index("ix_backupman_restores_time", "instance", "created_at"),
    )

    id: str = Field(default_factory=new_id, primary_key=True, max_length=36)
    backup_id: str = Field(max_length=36)
    instance: str = Field(max_length=255)
    home: str | None = Field(default=None, max_length=36)
    """The id of the state folder that it was made from, where several hosts share the records."""
    label: str = Field(max_length=512)
    source: str = Field(max_length=255)
    database: str = Field(max_length=255)
    target: str = Field(max_length=1024)
    """Where it went, for people: a database and its server, or a file; no secret."""
    drive: str | None = Field(default=None, max_length=255)
    """The drive whose copy was good."""
    status: str = Field(default=Status.PENDING, max_length=16)
    trigger: str = Field(default="manual", max_length=32)
    operator: str | None = Field(default=None, max_length=255)
    size: int | None = Field(default=None, sa_type=BigInteger)
    """Bytes of the dump."""
    warnings: list[str] = Field(default_factory=list, sa_column=document_column())
    error: str | None = Field(default=None, sa_column=text_column())
    seconds: float | None = Field(default=None, sa_type=Double)
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
    finished_at: datetime | None = Field(default=None, sa_type=Utc)
