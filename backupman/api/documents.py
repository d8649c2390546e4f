"""What the API answers when all is well: the shapes of its bodies, PascalCase as the original's."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_pascal

from backupman.engine.reaching import MessagesShown
from backupman.engine.restoring import RestoreShown
from backupman.events import BackupExtended, EventKind, Time, View
from backupman.manifest import ManifestShown

BackupId = Annotated[
    str,
    Path(description="The id of a backup, a unique beginning of it, or `latest`: the newest of the config's sources."),
]
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

    results: list[BackupExtended] = Field(description="The backups.")
    cursor: str | None = Field(description="Asks for the page after this one; null on the last one.")


class LiveShown(View):
    """Where a backup is that is under way, in this daemon or at a worker."""

    id: str = Field(description="The backup's id.")
    label: str = Field(description="The backup's label.")
    job: str = Field(description="The job's label.")
    phase: str | None = Field(description="`queued`, `dumping`, `checking` or `uploading`.")
    read: int = Field(description="Bytes that the tool wrote so far.")
    stored: int = Field(description="Bytes after compression and encryption so far.")
    sent: dict[str, int] = Field(description="Bytes that were sent to each drive so far.")
    drives: dict[str, str] = Field(description="Of each drive: `pending`, `retrying`, `finished` or `failed`.")
    seconds: float = Field(description="Since it began.")
    host: str | None = Field(default=None, description="The host whose worker makes it; null for this daemon.")


class BackupShown(BackupExtended):
    """A backup, what is known of its content, and where it is now if it is under way."""

    manifest: ManifestShown | None = Field(default=None, description="What the dump holds, where that was counted.")
    live: LiveShown | None = Field(default=None, description="Where it is, while it is under way.")


class LogShown(View):
    """The log of a backup."""

    id: str = Field(description="The backup's id.")
    lines: list[str] = Field(description="Time in UTC, level and words of each line; the newest 2,000.")


class Started(View):
    """Backups that were begun."""

    message: str = Field(description="`Backup started` or `Retry started`.")
    ids: list[str] = Field(description="Of their records; empty when a server takes long to name its databases.")


class Cancelled(View):
    """A backup or restore that is being ended."""

    message: str = Field(description="`Backup cancelled` or `Restore cancelled`.")
    id: str = Field(description="The id of the backup or restore.")


class RestoreRequest(View):
    """Where a backup is to go: a new database of its own source when it is empty."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, frozen=True, extra="forbid")

    to_database: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None, description="The database; default its name with `_restored_` and the time."
    )
    source: str | None = Field(default=None, description="Into the server of this source of the config.")
    drive: str | None = Field(default=None, description="Only from this drive; default the first good one.")
    tables: list[str] = Field(default=[], description="Only these tables, where the format allows it.")
    jobs: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None,
        description="How many tables at once, where the format allows it; default the `jobs` of the source.",
    )
    clean: bool = Field(default=False, description="Replace the database of that name, if it is there.")
    confirm: str | None = Field(
        default=None, description="The name of what is replaced, as confirmation; with `Clean` and for `_globals`."
    )


class RestoreStarted(View):
    """A restore that was begun."""

    message: str = Field(description="`Restore started`.")
    id: str = Field(description="Of its record.")


class RestorePage(View):
    """Restores, the newest first."""

    results: list[RestoreShown] = Field(description="The restores.")


class DownloadUrl(View):
    """A link that needs no key."""

    url: str = Field(description="The link, below `http.app_url`.")


class JobShown(View):
    """A job of the config."""

    label: str = Field(description="The job's label.")
    schedule: str | None = Field(description="Its schedule in words; null if it has none.")
    data_sources: list[str] = Field(description="The labels of its sources.")
    drives: list[str] = Field(description="The labels of its drives.")
    next_runs: list[Time] = Field(description="The next ten, in UTC.")


class JobPage(View):
    """Every job of the config."""

    results: list[JobShown] = Field(description="The jobs, in the config's order.")


class EventShown(View):
    """Something that happened."""

    cursor: int = Field(description="Its place in the order of events.")
    id: str = Field(description="The event's id, the same in every message about it.")
    event: str = Field(description="`backup_report`, …")
    time: Time = Field(description="When it happened.")
    job: str = Field(description="The job's label.")
    backup_id: str | None = Field(description="The backup's id, if it is about one.")
    payload: dict[str, Any] = Field(description="All that was known, as in a message with `extended: true`.")


class EventPage(View):
    """Events, the oldest first."""

    results: list[EventShown] = Field(description="The events.")
    cursor: int = Field(description="What to ask for next: `after=` this.")


class ComponentShown(View):
    """Something that was checked."""

    status: str = Field(description="`UP` or `DOWN`.")
    components: None = Field(description="Always null: it has no parts.")
    error: str | None = Field(default=None, description="Why it is `DOWN`; only there if it is.")


class GroupShown(View):
    """Several of one sort."""

    status: str = Field(description="`UP` when all of them are.")
    components: dict[str, ComponentShown] = Field(description="Each of them, by its label.")


class DetailsShown(View):
    """Everything that was checked."""

    database: ComponentShown = Field(description="The records.")
    drives: GroupShown = Field(description="The drives of the config.")
    data_sources: GroupShown = Field(description="The sources of the config.")
    messages: MessagesShown | None = Field(
        default=None, description="Who gets what is sent; null when the records cannot be used."
    )


class HealthShown(View):
    """Whether everything can be reached."""

    version: str = Field(description="Of Backupman.")
    commit_sha: str | None = Field(alias="CommitSHA", description="Null; the original program's builds had one.")
    build_date: str | None = Field(description="Null, as well.")
    status: str = Field(description="`UP` when everything is, else `DOWN`.")
    details: DetailsShown | None = Field(default=None, description="Only with a key with the scope `read`.")


class Ready(View):
    """Whether the store can be used and every deadline holds."""

    status: str = Field(description="`UP` or `DOWN`.")
    incidents: int | None = Field(
        description="How many deadlines do not hold, endpoints an alarm drill did not reach, and queues with work that "
        "no worker takes from; null when the records cannot be used, and the log says why."
    )
    reason: str | None = Field(description="What is not so, in a sentence; null when it is `UP`.")


class Alive(View):
    """That the process lives."""

    status: str = Field(description="`UP`.")


class TestRequest(View):
    """What to try; every endpoint, by what disturbs it least, when it is empty."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, frozen=True, extra="forbid")

    event: Annotated[EventKind, WithJsonSchema({"type": "string", "enum": list(EventKind)})] | None = Field(
        default=None, description="The kind of event."
    )
    notifiers: list[str] = Field(default=[], description="Only these, by names that jobs use.")


class TrialShown(View):
    """A sample that was sent."""

    endpoint: str = Field(description="To whom.")
    event: str = Field(description="Its kind.")
    delivered: bool = Field(description="Whether it was taken.")
    seconds: float = Field(description="How long that took.")
    answer: str | None = Field(description="What the other side said.")
    error: str | None = Field(description="Why it was not delivered.")


class TestedPage(View):
    """What came of a test."""

    delivered: bool = Field(description="Whether everybody took it.")
    results: list[TrialShown] = Field(description="Each sample.")


class Received(View):
    """An entry that was ingested."""

    id: str = Field(description="The record's id; the same entry has the same.")
