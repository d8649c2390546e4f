"""The sections of the config and their defaults; sources, drives and notifiers bring their own settings."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from backupman.config._document import Written
from backupman.config.alarm_drill import AlarmDrill
from backupman.config.host import HostConfig
from backupman.config.http import Http
from backupman.config.ingest import Ingest
from backupman.config.reconcile import Reconcile
from backupman.config.verifying import JobVerify, Verify
from backupman.drives import Drive
from backupman.notifiers import Notifier
from backupman.pipeline import Compression, Encryption, Pipeline
from backupman.queues import Queue
from backupman.registry import Duration, Positive, Settings
from backupman.retention import Retention
from backupman.retry import RetryPolicy
from backupman.schedule import check_cron, check_timezone
from backupman.sources import Source

Labels = Annotated[list[str], Field(min_length=1)]


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _command(value: object) -> object:
    words = [value] if isinstance(value, str) else value
    if not (isinstance(words, list) and words and all(isinstance(word, str) for word in words) and words[0].strip()):
        raise ValueError("a command is text for the shell, or a list of words for one program")
    if re.match(r"\s*\{[a-z_]+\}", words[0]):
        raise ValueError(
            "a command does not begin with a placeholder; a program and its arguments are a list of their own, "
            "for example [[notify-send, '{error}']]"
        )
    return value


Commands = Annotated[
    list[Annotated[str | list[str], BeforeValidator(_command)]],
    BeforeValidator(_one_or_many, json_schema_input_type=str | list[str | list[str]]),
]
"""Commands: a string goes to the shell with its placeholders quoted, a list of words is run as it is."""


class Hooks(Settings):
    """Commands around a backup; their placeholders are listed in docs/hooks.md."""

    before_backup: Commands = Field(default=[], description="Run before the dump; a failure fails the backup.")
    after_backup: Commands = Field(default=[], description="Run after every backup, finished or failed.")
    on_error: Commands = Field(default=[], description="Run when a backup has failed.")
    timeout: Positive = Field(default=timedelta(minutes=10), description="A command that takes longer is ended.")


class Retries(Settings):
    """How often a drive's failing calls and uploads are tried again."""

    attempts: int = Field(default=5, ge=1, description="Tries of one part or one upload.")
    first_wait: Duration = Field(default=timedelta(seconds=1), description="Wait after the first; doubled each time.")
    max_wait: Duration = Field(default=timedelta(minutes=1), description="The longest wait.")

    def policy(self) -> RetryPolicy:
        """The policy as drives are handed it."""
        return RetryPolicy(
            attempts=self.attempts,
            first_wait=self.first_wait.total_seconds(),
            max_wait=self.max_wait.total_seconds(),
        )


class Deliveries(Settings):
    """How long and how often a message is tried again."""

    first_wait: Duration = Field(default=timedelta(seconds=5), description="Wait after the first failed attempt.")
    max_wait: Duration = Field(default=timedelta(hours=1), description="The longest wait between two attempts.")
    give_up_after: Duration = Field(default=timedelta(days=3), description="A message this old is given up.")


class Job(Settings):
    """What the config promises: which sources, when, onto which drives, kept how long, who is told."""

    label: str = Field(min_length=1, max_length=200, description="The job's name.")
    cron: str | None = Field(default=None, description="When it runs: 5 fields, or 6 with leading seconds.")
    every: Positive | None = Field(default=None, description="Or: how often it runs.")
    timezone: str | None = Field(default=None, description="The zone of `cron`; default the host's.")
    jitter: Duration | None = Field(
        default=None, description="A random delay up to this long, and up to half the interval."
    )
    misfire_grace: Duration | None = Field(
        default=None, description="How late a missed run is caught up; default half the interval, at most a day."
    )
    max_age: Positive | None = Field(
        default=None, description="How old the newest good backup may be, instead of `deadlines.grace` after it is due."
    )
    data_sources: Labels | None = Field(default=None, description="Labels of sources; default all.")
    drives: Labels | None = Field(default=None, description="Labels of drives; default all.")
    max_parallel_uploads: int | None = Field(
        default=None, ge=1, description="Instead of the top-level `max_parallel_uploads`."
    )
    notifiers: list[str] | None = Field(
        default=None, description="Labels, providers or endpoint names; default all, `[]` nobody."
    )
    queue: Queue | None = Field(default=None, description="Which workers make its backups; default any.")
    retention: Retention | None = Field(default=None, description="Instead of the top-level `retention`.")
    compression: Compression | None = Field(default=None, description="Instead of `pipeline.compression`.")
    encryption: Encryption | None = Field(default=None, description="Instead of `pipeline.encryption`.")
    hooks: Hooks | None = Field(default=None, description="Instead of the top-level `hooks`.")
    verify: JobVerify | None = Field(default=None, description="Instead of the top-level `verify`.")

    _check_cron = field_validator("cron")(check_cron)
    _check_timezone = field_validator("timezone")(check_timezone)

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.cron and self.every:
            raise ValueError("a job has either cron or every, not both")
        return self


class Deadlines(Settings):
    """When somebody is told that a backup is late, and how often."""

    grace: Duration = Field(default=timedelta(hours=1), description="How long after its due time a backup is late.")
    remind_every: Positive = Field(default=timedelta(days=1), description="How often a lasting incident is told again.")
    size_window: int = Field(default=10, ge=3, description="With how many earlier backups a size is compared.")
    size_drop: float = Field(default=0.5, gt=0, lt=1, description="Under this share of their median it is an anomaly.")
    size_growth: float = Field(default=3.0, gt=1, description="Over this multiple of their median it is an anomaly.")


class History(Settings):
    """How long records are kept that hold no good copy."""

    keep: Positive = Field(
        default=timedelta(days=400), description="Events, deliveries, failed and ingested records older than this go."
    )


class Config(HostConfig):
    """Everything that one daemon is told."""

    executor: Literal["embedded", "procrastinate"] = Field(
        default="embedded",
        description="Who makes backups: the daemon itself, or with `procrastinate` workers on many hosts.",
    )
    data_sources: list[SerializeAsAny[Source]] = Field(min_length=1, description="What is dumped.")
    drives: list[SerializeAsAny[Drive]] = Field(min_length=1, description="Where dumps are kept.")
    notifiers: dict[str, list[SerializeAsAny[Notifier]]] = Field(default={}, description="Who is told.")
    pipeline: Pipeline = Field(default_factory=Pipeline, description="Compression and encryption of all jobs.")
    retention: Retention | None = Field(default=None, description="Absent: nothing is ever removed.")
    jobs: list[Job] = Field(default=[], description="Absent: one job holds all sources and all drives.")
    verify: Verify = Field(default_factory=Verify, description="What is verified by the clock, and how far.")
    scratch_servers: list[SerializeAsAny[Source]] = Field(default=[], description="Servers that drills restore into.")
    hooks: Hooks = Field(default_factory=Hooks, description="Commands around every backup.")
    on_error: Commands = Field(default=[], description="Commands on errors of backup, prune and verify alike.")
    http: Http = Field(default_factory=Http, description="The daemon's HTTP server.")
    retry: Retries = Field(default_factory=Retries, description="Failing uploads.")
    deliveries: Deliveries = Field(default_factory=Deliveries, description="Failing messages.")
    deadlines: Deadlines = Field(default_factory=Deadlines, description="Late, missed and odd backups.")
    reconcile: Reconcile | None = Field(default=None, description="When records and drives are compared by the clock.")
    alarm_drill: AlarmDrill | None = Field(default=None, description="The planned proof that alarms arrive.")
    ingest: Ingest = Field(default_factory=Ingest, description="What other machines may report.")
    history: History = Field(default_factory=History, description="How long records are kept.")
    monitoring_verbosity: int = Field(
        default=1,
        ge=-2,
        le=2,
        description="What of a backup's log is kept for notifiers: -2 nothing, -1 errors, 0 warnings, 1 steps, 2 all.",
    )
    max_parallel_uploads: int | None = Field(
        default=None,
        ge=1,
        description="How many drives a backup is written to at once, in the order of `drives`; default all.",
    )
    _written: Written | None = PrivateAttr(default=None)

    @property
    def source_labels(self) -> list[str]:
        """The labels of its sources."""
        return [source.label for source in self.data_sources]

    @property
    def drive_labels(self) -> list[str]:
        """The labels of its drives, in their order."""
        return [drive.label for drive in self.drives]

    def source(self, label: str) -> Source | None:
        """The source of that label."""
        return next((source for source in self.data_sources if source.label == label), None)

    def scratch_server(self, label: str) -> Source | None:
        """The server of that label that drills restore into."""
        return next((server for server in self.scratch_servers if server.label == label), None)

    def drive(self, label: str) -> Drive | None:
        """The drive of that label."""
        return next((drive for drive in self.drives if drive.label == label), None)

    def folders(self) -> dict[Path, bool]:
        """Every folder that it names, apart from a default one below the state folder; whether it is written to."""
        found = super().folders() | ({self.verify.folder: True} if self.verify.folder else {})
        for provider in (*self.data_sources, *self.scratch_servers, *self.drives, *self.all_notifiers()):
            for folder, written in provider.folders().items():
                found[folder] = written or found.get(folder, False)
        return found

    def all_notifiers(self) -> list[Notifier]:
        """Every notifier block, in the order of the file."""
        return [notifier for blocks in self.notifiers.values() for notifier in blocks]

    def queue_of_endpoint(self, name: str) -> str | None:
        """The queue that the messages of an endpoint wait in for a worker; None: the daemon sends them."""
        blocks = (block for block in self.all_notifiers() if name in (each.name for each in block.endpoints()))
        return next((block.queue for block in blocks), None)

    @property
    def written(self) -> Written | None:
        """How its file has it, references not filled in; kept where that goes to workers."""
        return self._written

    def written_as(self, written: Written) -> None:
        """Keep how its file has it."""
        self._written = written
