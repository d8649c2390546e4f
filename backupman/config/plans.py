"""What a job comes to once every default is filled in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from typing import Generic, Protocol, TypeVar

from backupman.config.model import Config, Hooks, Job
from backupman.config.verifying import JobVerify
from backupman.drives import Drive
from backupman.events import EventKind
from backupman.notifiers import Endpoint
from backupman.pipeline import Pipeline
from backupman.queues import ANY
from backupman.retention import Retention
from backupman.schedule import Schedule, zone_of
from backupman.sources import Source

L = TypeVar("L", Source, Drive)

DEFAULT_JOB = "default"
"""The label of the one job that holds everything when the config has no `jobs`."""


class Told(Protocol):
    """Who is told of events: an endpoint, or what is known of one whose notifier is on another host."""

    @property
    def name(self) -> str:
        """The endpoint's."""

    @property
    def events(self) -> Sequence[str]:
        """The kinds of events that it wants."""


@dataclass(frozen=True)
class JobPlan:
    """A job with its sources, drives and endpoints themselves instead of their labels."""

    label: str
    schedule: Schedule | None
    zone: tzinfo
    jitter: timedelta | None
    misfire_grace: timedelta | None
    max_age: timedelta | None
    sources: Sequence[Source]
    drives: Sequence[Drive]
    endpoints: Sequence[Told]
    pipeline: Pipeline
    retention: Retention | None
    hooks: Hooks
    max_parallel_uploads: int | None = None
    verify: JobVerify = field(default_factory=JobVerify)
    verify_schedule: Schedule | None = None
    queue: str | None = None

    @property
    def schedule_text(self) -> str:
        """The schedule as the store compares it and people read it; nothing without one."""
        return str(self.schedule) if self.schedule else ""

    def source(self, label: str) -> Source | None:
        """Its source of that label."""
        return next((source for source in self.sources if source.label == label), None)

    def queue_of(self, source: Source) -> str:
        """Where the backups of a source wait for a worker: its own queue, else the job's, else any worker's."""
        return source.queue or self.queue or ANY

    def verify_queue_of(self, source: Source) -> str:
        """Where the proofs of its copies wait: without a queue of their own where its backups do.

        Only there the references of the source and the folders of a `local` drive are sure to lead somewhere.
        """
        return self.verify.queue or self.queue_of(source)

    def retention_on(self, drive: Drive) -> Retention | None:
        """The rules for the job's copies on a drive: the drive's own, else the job's, else everybody's."""
        rules = drive.retention or self.retention
        return rules if rules and rules.enabled else None

    def wanting(self, kind: EventKind) -> list[str]:
        """The names of the endpoints that are told of such events."""
        return [endpoint.name for endpoint in self.endpoints if kind in endpoint.events]


def wanting(config: Config, plan: JobPlan | None, kind: str) -> list[str]:
    """The names of the endpoints that are told of such events: the job's, and all where there is no job any more."""
    everyone = (endpoint for notifier in config.all_notifiers() for endpoint in notifier.endpoints())
    return [endpoint.name for endpoint in (plan.endpoints if plan else everyone) if kind in endpoint.events]


def plans(config: Config) -> list[JobPlan]:
    """All jobs of a config; one that holds everything when it names none."""
    backup_job = config.http.backup_job
    everything = Job(label=DEFAULT_JOB, cron=backup_job.cron if backup_job.enabled else None)
    sources, drives = _Labelled(config.data_sources), _Labelled(config.drives)
    return [_plan(config, job, sources, drives) for job in config.jobs or [everything]]


def _plan(config: Config, job: Job, sources: "_Labelled[Source]", drives: "_Labelled[Drive]") -> JobPlan:
    verify: JobVerify = job.verify or config.verify
    for name in ("identity_file", "queue"):
        if getattr(verify, name) is None:
            verify = verify.model_copy(update={name: getattr(config.verify, name)})
    zone = zone_of(job.timezone, needed=bool(job.cron or verify.cron))
    return JobPlan(
        label=job.label,
        schedule=Schedule(job.cron, job.every, zone) if job.cron or job.every else None,
        zone=zone,
        jitter=job.jitter,
        misfire_grace=job.misfire_grace,
        max_age=job.max_age,
        sources=sources.chosen(job.data_sources),
        drives=drives.chosen(job.drives),
        endpoints=_endpoints(config, job.notifiers),
        pipeline=Pipeline(
            compression=job.compression or config.pipeline.compression,
            encryption=job.encryption or config.pipeline.encryption,
            threads=config.pipeline.threads,
        ),
        retention=job.retention or config.retention,
        hooks=job.hooks or config.hooks,
        verify=verify,
        verify_schedule=Schedule(verify.cron, None, zone) if verify.cron else None,
        max_parallel_uploads=job.max_parallel_uploads or config.max_parallel_uploads,
        queue=job.queue,
    )


class _Labelled(Generic[L]):
    """Blocks that are found by their labels, however many there are."""

    def __init__(self, blocks: Sequence[L]) -> None:
        self._blocks: Sequence[L] = blocks
        self._numbers = {block.label: number for number, block in enumerate(blocks)}

    def chosen(self, labels: Sequence[str] | None) -> list[L]:
        """Those of these labels, or all, in the order of the file."""
        if labels is None:
            return list(self._blocks)
        numbers = {self._numbers[label] for label in labels if label in self._numbers}
        return [self._blocks[number] for number in sorted(numbers)]


def _endpoints(config: Config, wanted: Sequence[str] | None) -> list[Endpoint]:
    """The endpoints that a job names by provider, by label, by full name (`webhook/Ops`) or by their own (`Ops`)."""
    return [
        endpoint
        for provider, blocks in config.notifiers.items()
        for block in blocks
        for endpoint in block.endpoints()
        if wanted is None or {provider, *block.names_of(endpoint)} & set(wanted)
    ]
