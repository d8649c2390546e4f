"""Frozen events and the documented payloads, with the keys and the nullability of the original program.

A payload is frozen when its event happens, with every field that is known (`BackupExtended`). What an endpoint that
did not ask for more receives is the documented part of it (`BackupReport`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
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
    RECONCILE_REPORT = "reconcile_report"
    VERIFY_SUCCESS = "verify_success"
    VERIFY_FAILURE = "verify_failure"
    RESTORE_START = "restore_start"
    RESTORE_SUCCESS = "restore_success"
    RESTORE_FAILURE = "restore_failure"
    NOTIFICATION = "notification"
    ALARM_DRILL = "alarm_drill"
    ALARM_DRILL_FAILURE = "alarm_drill_failure"
    ALARM_DRILL_RECOVERED = "alarm_drill_recovered"
    QUEUE_UNATTENDED = "queue_unattended"
    QUEUE_RECOVERED = "queue_recovered"
    RECORDS_FAILURE = "records_failure"
    RECORDS_RECOVERED = "records_recovered"


_ALARMS: Mapping[str, str] = {
    EventKind.BACKUP_FAILURE: "error",
    EventKind.BACKUP_LATE: "error",
    EventKind.BACKUP_MISSED: "error",
    EventKind.BACKUP_STUCK: "error",
    EventKind.VERIFY_FAILURE: "error",
    EventKind.RESTORE_FAILURE: "error",
    EventKind.ALARM_DRILL_FAILURE: "error",
    EventKind.QUEUE_UNATTENDED: "error",
    EventKind.RECORDS_FAILURE: "error",
    EventKind.SIZE_ANOMALY: "warning",
    EventKind.BACKUP_RECOVERED: "info",
    EventKind.ALARM_DRILL_RECOVERED: "info",
    EventKind.QUEUE_RECOVERED: "info",
    EventKind.RECORDS_RECOVERED: "info",
}


def severity(kind: str, payload: dict[str, Any]) -> str | None:
    """How bad it is: `error`, `warning`, or `info` when something is over; None when nobody need look at it."""
    if kind == EventKind.BACKUP_SUCCESS:
        # `Warning` is an ingested one's; the sentences in `Warnings` come with every dump alike, and call nobody
        lost = any(file["Status"] == "failed" for file in payload.get("DriveFiles") or [])
        return "warning" if lost or payload.get("Warning") else None
    if kind == EventKind.PRUNE_REPORT:
        return "warning" if payload.get("Failed") else None
    if kind == EventKind.RECONCILE_REPORT:  # which is made only when something is not right, or was
        lasts = payload.get("Failed") or payload.get("Error")
        return "error" if lasts else "info" if payload.get("Objects") == [] else "warning"
    return _ALARMS.get(kind)


def iso(time: datetime) -> str:
    """ISO 8601 in UTC with `Z` and whole seconds, as the documented payload writes it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


class View(BaseModel):
    """A record as the outside sees it: PascalCase keys, in the documented order."""

    model_config = ConfigDict(alias_generator=to_pascal, from_attributes=True, populate_by_name=True, frozen=True)

    @classmethod
    def of(cls, record: object) -> Self:
        """The view of a record."""
        # looking up every key on the record as well, which has none of them, takes six times as long
        return cls.model_validate(record, by_alias=False, by_name=True)

    def document(self) -> dict[str, Any]:
        """JSON values under the documented keys."""
        return self.model_dump(mode="json", by_alias=True)


class DriveFileReport(View):
    """A drive file in a `backup_report`."""

    id: str = Field(description="The drive file's id.")
    backup_id: str = Field(description="The backup's id.")
    provider: str = Field(description="`local`, `s3`, …")
    label: str = Field(description="The drive's label.")
    path: str | None = Field(description="The object's key, or its full path.")
    status: str = Field(description="`pending`, `finished` or `failed`.")
    created_at: Time = Field(description="When the record was made.")
    updated_at: Time | None = Field(description="When it last changed.")


class BackupReport(View):
    """The documented payload of `backup_report` and of the API's backups."""

    id: str = Field(description="The backup's id.")
    status: str = Field(description="`pending`, `finished` or `failed`.")
    label: str = Field(description="The source's label, or `source/database`.")
    dump_path: str | None = Field(
        description="Where the dump is on the daemon's machine while an upload has still to be retried."
    )
    created_at: Time = Field(description="When it began.")
    updated_at: Time | None = Field(description="When its record last changed.")
    drive_files: list[DriveFileReport] | None = Field(description="The dump on each drive.")


class DriveFileExtended(DriveFileReport):
    """A drive file with everything that is known of it: sizes in bytes, times in seconds."""

    size: int | None = Field(description="Bytes of the object.")
    sha256: str | None = Field(description="Hash of the object.")
    required: bool = Field(description="Whether its failure fails the backup.")
    attempts: int = Field(description="Tries of the upload.")
    seconds: float | None = Field(description="How long the upload took.")
    error: str | None = Field(description="What went wrong.")
    trashed_at: Time | None = Field(default=None, description="Since when the retention lets it go.")
    verified_at: Time | None = Field(default=None, description="When it was last read back and was right.")
    verify_error: str | None = Field(default=None, description="What was wrong when it was last read back.")
    proved_at: Time | None = Field(default=None, description="When a drill last restored it and all was there.")


class BackupExtended(BackupReport):
    """A backup with everything that is known of it: sizes in bytes, times in seconds."""

    drive_files: list[DriveFileExtended] | None = Field(  # type: ignore[assignment]
        description="The dump on each drive."
    )
    job: str = Field(description="The job's label; `default` without `jobs`.")
    source: str = Field(description="The source's label.")
    database: str = Field(description="The database that was dumped.")
    source_provider: str = Field(description="`postgres`, `mysql`, …; `ingest` of an ingested one.")
    instance: str = Field(description="Which installation made it.")
    trigger: str = Field(description="What began it: `schedule`, `api`, `manual`, `ingest`, …")
    operator: str | None = Field(description="Who asked for it: the name of the key.")
    comment: str | None = Field(description="What they said of it.")
    tags: dict[str, str] = Field(description="And their tags.")
    phase: str | None = Field(description="What is being done now; null when it has ended.")
    size: int | None = Field(description="Bytes that the tool wrote.")
    stored_size: int | None = Field(description="Bytes after the pipeline, as they stand on the drives.")
    sha256: str | None = Field(description="Hash of the stored bytes.")
    dump_seconds: float | None = Field(description="How long the dump took.")
    seconds: float | None = Field(description="How long everything took.")
    warnings: list[str] = Field(description="Sentences worth reading, although nothing failed.")
    error: str | None = Field(description="What went wrong.")
    kind: str = Field(default="own", description="`ingested`: made elsewhere, and told to us by a script.")
    device: str | None = Field(default=None, description="Where an ingested one was made.")
    sender: str | None = Field(default=None, description="Who told us of an ingested one.")
    said_status: str | None = Field(default=None, description="The status of an ingested one, as it was sent.")
    warning: bool = Field(default=False, description="An ingested one that finished with a warning.")
    message: str | None = Field(default=None, description="What was sent with an ingested one.")
    pinned_until: Time | None = Field(default=None, description="Until when no retention removes it.")


class NotificationReport(View):
    """The payload of a `notification`: what somebody's script sent to the ingest API."""

    id: str
    label: str = Field(description="Device and type in one, for a subject.")
    device: str
    sender: str
    job: str | None
    type: str
    severity: str
    message: str | None
    time: Time
    instance: str


class AlarmDrillReport(View):
    """The payload of an alarm drill, of a failed one, and of its recovery: whether an endpoint is reached."""

    label: str = Field(description="Of a drill the installation; of a failure and its recovery the endpoint.")
    endpoint: str = Field(description="The endpoint that is tried, as records show it.")
    job: str = Field(description="`alarm drill`; for a service with a check for each job or source, one of them.")
    source: str | None = Field(description="Of such a service, the source whose check it is.")
    database: str | None = Field(default=None, description="And the database, where the config names one.")
    instance: str
    since: Time = Field(description="When the drill began.")
    reason: str = Field(description="All this in a sentence.")


def documented(payload: dict[str, Any]) -> dict[str, Any]:
    """The documented part of a frozen payload."""
    return BackupReport.model_validate(payload).document()
