"""Frozen events and the documented payloads, with the keys and the nullability of the original program.

A payload is frozen when its event happens, with every field that is known (`BackupExtended`). What an endpoint that
did not ask for more receives is the documented part of it (`BackupReport`).
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_pascal


class EventKind(StrEnum):
    """What can happen."""

    BACKUP_START = "backup_start"
    BACKUP_REPORT = "backup_report"
    BACKUP_SUCCESS = "backup_success"
    BACKUP_FAILURE = "backup_failure"
    BACKUP_LATE = "backup_late"
    BACKUP_MISSED = "backup_missed"
    BACKUP_STUCK = "backup_stuck"
    BACKUP_RECOVERED = "backup_recovered"
    SIZE_ANOMALY = "size_anomaly"
    PRUNE_REPORT = "prune_report"
    NOTIFICATION = "notification"


def iso(time: datetime) -> str:
    """ISO 8601 in UTC with `Z` and whole seconds, as the documented payload writes it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[datetime, PlainSerializer(iso, return_type=str)]


class View(BaseModel):
    """A record as the outside sees it: PascalCase keys, in the documented order."""

    model_config = ConfigDict(alias_generator=to_pascal, from_attributes=True, populate_by_name=True, frozen=True)

    @classmethod
    def of(cls, record: object) -> Self:
        """The view of a record."""
        return cls.model_validate(record)

    def document(self) -> dict[str, Any]:
        """JSON values under the documented keys."""
        return self.model_dump(mode="json", by_alias=True)


class DriveFileReport(View):
    """A drive file in a `backup_report`."""

    id: str
    backup_id: str
    provider: str
    label: str
    path: str | None
    status: str
    created_at: Time
    updated_at: Time | None


class BackupReport(View):
    """The documented payload of `backup_report` and of the API's backups."""

    id: str
    status: str
    label: str
    dump_path: str | None
    created_at: Time
    updated_at: Time | None
    drive_files: list[DriveFileReport] | None


class DriveFileExtended(DriveFileReport):
    """A drive file with everything that is known of it: sizes in bytes, times in seconds."""

    size: int | None = Field(description="Bytes of the object.")
    sha256: str | None = Field(description="Hash of the object.")
    required: bool = Field(description="Whether its failure fails the backup.")
    attempts: int = Field(description="Tries of the upload.")
    seconds: float | None = Field(description="How long the upload took.")
    error: str | None = Field(description="What went wrong.")
    trashed_at: Time | None = Field(default=None, description="Since when the retention lets it go.")


class BackupExtended(BackupReport):
    """A backup with everything that is known of it: sizes in bytes, times in seconds."""

    drive_files: list[DriveFileExtended] | None  # type: ignore[assignment]
    job: str
    source: str
    database: str
    source_provider: str
    instance: str
    trigger: str
    operator: str | None
    comment: str | None
    tags: dict[str, str]
    phase: str | None
    size: int | None = Field(description="Bytes that the tool wrote.")
    stored_size: int | None = Field(description="Bytes after the pipeline, as they stand on the drives.")
    sha256: str | None = Field(description="Hash of the stored bytes.")
    dump_seconds: float | None
    seconds: float | None
    warnings: list[str]
    error: str | None
    kind: str = Field(default="own", description="`ingested`: made elsewhere, and told to us by a script.")
    device: str | None = Field(default=None, description="Where an ingested one was made.")
    sender: str | None = Field(default=None, description="Who told us of an ingested one.")
    said_status: str | None = Field(default=None, description="The status of an ingested one, as it was sent.")
    warning: bool = Field(default=False, description="An ingested one that finished with a warning.")
    message: str | None = Field(default=None, description="What was sent with an ingested one.")


class NotificationReport(View):
    """The payload of a `notification`: what somebody's script sent to the ingest API."""

    id: str
    label: str = Field(description="Device and type in one, for a subject.")
    device: str
    sender: str
    pinned_until: Time | None = Field(default=None, description="Until when no retention removes it.")
    job: str | None
    type: str
    severity: str
    message: str | None
    time: Time
    instance: str


def documented(payload: dict[str, Any]) -> dict[str, Any]:
    """The documented part of a frozen payload."""
    return BackupReport.model_validate(payload).document()
