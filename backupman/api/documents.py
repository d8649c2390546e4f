"""What the API answers when all is well: the shapes of its bodies, PascalCase as the original's."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_pascal

from backupman.events import BackupExtended, Time, View

BackupId = Annotated[str, Path(description="The id of a backup, a unique beginning of it, or `latest`.")]
FileId = Annotated[str, Path(description="The id of a drive file, or a backup's as elsewhere.")]


class StartRequest(View):
    """What to back up; everything when it is empty."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, frozen=True, extra="forbid")

    job: str | None = Field(default=None, description="Only this job.")
    source: str | None = Field(default=None, description="Only this source.")
    comment: str | None = Field(default=None, description="A remark for the records.")
    tags: dict[str, str] = Field(default={}, description="Tags for the records.")


class BackupPage(View):
    """Backups, the newest first."""

    results: list[BackupExtended]
    cursor: str | None = Field(description="Asks for the page after this one; null on the last one.")


class BackupShown(BackupExtended):
    """A backup, and where it is now if it is under way in this daemon."""

    live: dict[str, Any] | None = None


class Started(View):
    """Backups that were begun."""

    message: str
    ids: list[str] = Field(description="Of their records; empty when a server takes long to name its databases.")


class Cancelled(View):
    """A backup that is being ended."""

    message: str
    id: str


class DownloadUrl(View):
    """A link that needs no key."""

    url: str


class JobShown(View):
    """A job of the config."""

    label: str
    schedule: str | None
    data_sources: list[str]
    drives: list[str]
    next_runs: list[Time] = Field(description="The next ten, in UTC.")


class JobPage(View):
    """Every job of the config."""

    results: list[JobShown]


class EventShown(View):
    """Something that happened; `payload` is as it was sent to those who wanted it."""

    cursor: int
    id: str
    event: str
    time: Time
    job: str
    backup_id: str | None
    payload: dict[str, Any]


class EventPage(View):
    """Events, the oldest first."""

    results: list[EventShown]
    cursor: int = Field(description="What to ask for next: `after=` this.")


class Ready(View):
    """Whether the store can be used and every deadline holds."""

    status: str
    incidents: int


class Alive(View):
    """That the process lives."""

    status: str


class Received(View):
    """An entry that was ingested; the same entry has the same id."""

    id: str
