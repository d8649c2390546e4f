"""Who works for an installation and what waits for whom: what all ways to look at a fleet show of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from backupman.config import Config
from backupman.events import Time, View
from backupman.queues import ANY, is_of_home, queue_of_home
from backupman.records import Assignment, Worker
from backupman.store import Store
from backupman.store.workers import KnownWorker

NO_FLEET = (
    "there are no workers here: all work is done by the daemon itself. `executor: procrastinate` hands it to workers, "
    "and needs a `database` on PostgreSQL"
)


class WorkerState(StrEnum):
    """Of a worker: `stopped` in good order, or `lost`, when nothing is heard of it any more."""

    LIVING = "living"
    STOPPED = "stopped"
    LOST = "lost"


class AssignmentShown(View):
    """Something that a worker has under way."""

    id: str = Field(description="The assignment's id.")
    kind: str = Field(description="`backup`, `retry`, `restore`, `verify` or `deliver`.")
    what: str = Field(description="The same in words: `backup of shop`.")
    job: str | None = Field(description="The job's label, where it is of one.")
    source: str | None = Field(description="The source's label, where it is about one.")
    queue: str = Field(description="The queue that it was taken from.")
    since: Time | None = Field(description="When the worker has taken it.")
    attempts: int = Field(description="How often it was taken, this time included.")
    records: list[str] = Field(description="The ids of the backups or restores that were begun for it.")


class WorkerShown(View):
    """A worker, and what it does."""

    host: str = Field(description="The host's name.")
    state: str = Field(description="`living`, `stopped` in good order, or `lost` when nothing is heard of it any more.")
    version: str = Field(description="Of Backupman there.")
    queues: list[str] = Field(description="What it takes from; `any` is what every worker may do.")
    slots: int = Field(description="How many assignments it has under way at once, at most.")
    doing: list[AssignmentShown] = Field(description="What it has under way, the oldest first.")
    started_at: Time = Field(description="When it was started.")
    heard_at: Time = Field(description="When it was last heard of, by PostgreSQL's clock.")
    stopped_at: Time | None = Field(description="When it was stopped in good order.")


class QueueShown(View):
    """A queue, and who takes from it."""

    queue: str = Field(description="Its name.")
    label: str = Field(
        description="The same for people: `@db-7` is what only the worker on db-7 can do, as its spool is there."
    )
    waiting: int = Field(description="How many assignments wait there.")
    oldest: Time | None = Field(description="When the oldest of them was handed out.")
    workers: list[str] = Field(description="The hosts of the living workers that take from it.")
    unattended_since: Time | None = Field(
        description="Since when work waits there and no living worker takes from it; null where that is not so."
    )


class WorkersShown(View):
    """The workers of an installation and its queues."""

    workers: list[WorkerShown] = Field(description="Every worker on record, in the order of their hosts.")
    queues: list[QueueShown] = Field(description="Every queue that work waits in or a worker takes from.")


@dataclass(frozen=True)
class Queue:
    """A queue: how much waits there and since when, the living workers that take from it, and the last one that did.

    `owner` is the one worker that may take from it, where it is one's own: for what goes on from its spool.
    """

    name: str
    waiting: int
    oldest: datetime | None
    workers: Sequence[Worker]
    last: Worker | None
    owner: Worker | None = None

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"@{self.owner.host}" if self.owner else self.name

    @property
    def command(self) -> str | None:
        """What starts a worker that takes from it; None where that has to be a certain one."""
        if self.owner or is_of_home(self.name):
            return None
        return "backupman worker" if self.name == ANY else f"backupman worker --queue {self.name}"

    @property
    def remedy(self) -> str:
        """What to do where no living worker takes from it."""
        if self.command:
            return f"start one with `{self.command}`"
        return f"only the worker {f'on {self.owner.host}' if self.owner else 'that has its spool'} can: start it again"

    @property
    def unattended_since(self) -> datetime | None:
        """Since when work waits and no living worker takes from it; from when the last worker was heard of, at least.

        So a queue with much work is not unattended at once whenever its worker is started anew.
        """
        if self.oldest is None or self.workers:
            return None
        return max(self.oldest, _gone_at(self.last)) if self.last else self.oldest


@dataclass(frozen=True)
class Fleet:
    """The workers on record, and all queues, `any` first."""

    workers: Sequence[KnownWorker]
    queues: Sequence[Queue]

    @property
    def living(self) -> int:
        """How many workers live."""
        return sum(known.lives for known in self.workers)

    @property
    def unattended(self) -> list[Queue]:
        """The queues in which work waits that nobody takes."""
        return [queue for queue in self.queues if queue.unattended_since]

    def queue(self, name: str) -> Queue:
        """The queue of that name, also one in which nothing waits and that no worker on record takes from."""
        return next((queue for queue in self.queues if queue.name == name), None) or _queue(name, self.workers, {})

    def shown(self) -> WorkersShown:
        """As a document."""
        return WorkersShown(
            workers=[_worker(known) for known in self.workers],
            queues=[
                QueueShown(
                    queue=queue.name,
                    label=queue.label,
                    waiting=queue.waiting,
                    oldest=queue.oldest,
                    workers=[worker.host for worker in queue.workers],
                    unattended_since=queue.unattended_since,
                )
                for queue in self.queues
            ],
        )


def has_fleet(config: Config) -> bool:
    """Whether work is handed to workers, by records on PostgreSQL."""
    return config.executor == "procrastinate"


def fleet(store: Store, instance: str) -> Fleet:
    """The fleet of an installation as it is now; only where there is one. Raises StoreError."""
    known = store.workers.all(instance)
    waiting = store.assignments.waiting(instance)
    names = {name for each in known for name in taken_by(each.worker)} | waiting.keys()
    return Fleet(known, [_queue(name, known, waiting) for name in [ANY, *sorted(names - {ANY})]])


def taken_by(worker: Worker) -> list[str]:
    """All queues that a worker takes from, but for its own."""
    return [*worker.queues, *([ANY] if worker.takes_any else [])]


def state_of(known: KnownWorker) -> WorkerState:
    """Whether it lives, and how it has ended."""
    if known.lives:
        return WorkerState.LIVING
    return WorkerState.STOPPED if known.worker.stopped_at else WorkerState.LOST


def waits(queue: Queue) -> str:
    """`3 assignments wait`, `1 assignment waits`."""
    return f"{queue.waiting:,} assignment{' waits' if queue.waiting == 1 else 's wait'}"


def _queue(name: str, known: Sequence[KnownWorker], waiting: Mapping[str, tuple[int, datetime]]) -> Queue:
    own = is_of_home(name)
    owner = next((each.worker for each in known if own and queue_of_home(each.worker.home) == name), None)
    takers = [each for each in known if name in taken_by(each.worker) or each.worker is owner]
    count, oldest = waiting.get(name, (0, None))
    return Queue(
        name=name,
        waiting=count,
        oldest=oldest,
        workers=[each.worker for each in takers if each.lives],
        last=max((each.worker for each in takers if not each.lives), key=_gone_at, default=None),
        owner=owner,
    )


def _gone_at(worker: Worker) -> datetime:
    return max(worker.heard_at, worker.stopped_at or worker.heard_at)


def _worker(known: KnownWorker) -> WorkerShown:
    worker = known.worker
    return WorkerShown(
        host=worker.host,
        state=state_of(known),
        version=worker.version,
        queues=taken_by(worker),
        slots=worker.slots,
        doing=[_assignment(each) for each in known.doing],
        started_at=worker.started_at,
        heard_at=worker.heard_at,
        stopped_at=worker.stopped_at,
    )


def _assignment(assignment: Assignment) -> AssignmentShown:
    return AssignmentShown(
        id=assignment.id,
        kind=assignment.kind,
        what=assignment.about,
        job=assignment.job or None,
        source=assignment.source or None,
        queue=assignment.queue,
        since=assignment.started_at,
        attempts=assignment.attempts,
        records=assignment.records,
    )
