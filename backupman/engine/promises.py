"""What the config promises of backups, and the pure rules that say when a promise is broken."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from backupman.config import JobPlan
from backupman.config.model import Deadlines
from backupman.schedule import Schedule
from backupman.sources import Source
from backupman.store.jobs import Key
from backupman.store.standing import Made, Of

COUNTED = 1000
"""More missed runs than that are not counted."""

_LONGEST_GRACE = timedelta(days=1)
_FEW = 5
"""With fewer earlier sizes nothing is known of what is usual."""


@dataclass(frozen=True)
class Promise:
    """Backups that are expected: of a source by a job of ours, or of somebody else's job.

    `since` is when it was first promised so, `anchor` what an interval counts from. Neither a schedule nor a
    `max_age` means that nothing is expected at a certain time.
    """

    key: Key
    of: Of
    label: str
    since: datetime
    anchor: datetime
    schedule: Schedule | None = None
    grace: timedelta = timedelta()
    max_age: timedelta | None = None
    plan: JobPlan | None = field(default=None, compare=False, repr=False)
    source: Source | None = field(default=None, compare=False, repr=False)

    @property
    def ingested(self) -> bool:
        """Whether others make the backups."""
        return self.of.sender is not None


@dataclass(frozen=True)
class Missed:
    """The due times of a job that were not run: the newest, the oldest, how many (at most COUNTED), and why."""

    due: datetime
    first: datetime
    count: int
    reason: str


@dataclass(frozen=True)
class Deadline:
    """When a good backup was due to begin, and until when it may take."""

    due: datetime
    until: datetime


@dataclass(frozen=True)
class Target:
    """One database of a promise and how it stands; an empty name is the source as a whole, before a run listed any.

    `first` is when its first backup began, if it is new in a source that has good backups. `sizes` are those of the
    good backups, the newest first. `met` is the newest due time that was skipped because the good backup was still
    being made. `started` is when the first run was started that could bring the good backup that is due.
    """

    database: str
    good: Made | None = None
    newest: Made | None = None
    first: datetime | None = None
    met: datetime | None = None
    started: datetime | None = None
    sizes: Sequence[int] = ()

    @property
    def stuck(self) -> Made | None:
        """The newest backup, if it was ended because it took too long."""
        return self.newest if self.newest and self.newest.timed_out else None


def deadline(promise: Promise, target: Target) -> Deadline | None:
    """The deadline of the next good backup; none where nothing is promised, or never again.

    The grace counts from when the run was due, or, if it was caught up, from when it was started.
    """
    if promise.max_age is not None:
        until = _begun(promise, target) + promise.max_age
        return Deadline(until, until)
    due = next_due(promise, target)
    if due is None:
        return None
    jitter = longest_jitter(promise.plan, due, promise.anchor) if promise.plan else timedelta()
    return Deadline(due, max(due + jitter, target.started or due) + promise.grace)


def next_due(promise: Promise, target: Target) -> datetime | None:
    """When the schedule, if there is one, wants the next good backup to begin."""
    if promise.schedule is None:
        return None
    begun = _begun(promise, target)
    after = max(begun, promise.since, target.met or begun)
    return next(promise.schedule.due(after, promise.anchor), None)


def _begun(promise: Promise, target: Target) -> datetime:
    """When the newest good backup was begun; without one, since when it is expected."""
    return target.good.created_at if target.good else max(promise.since, target.first or promise.since)


def longest_jitter(plan: JobPlan, due: datetime, anchor: datetime) -> timedelta:
    """How much after a due time a run may begin: well before the next one, whose turn it would take."""
    if plan.jitter is None or plan.schedule is None:
        return timedelta()
    return min(plan.jitter, plan.schedule.interval(due, anchor) / 2)


def longest_grace(plan: JobPlan, due: datetime, anchor: datetime) -> timedelta:
    """How old a due time may be and still be caught up; by its jitter a run may begin later without being late."""
    assert plan.schedule  # noqa: S101 - only such plans are due
    grace = plan.misfire_grace
    if grace is None:
        grace = min(plan.schedule.interval(due, anchor) / 2, _LONGEST_GRACE)
    return grace + longest_jitter(plan, due, anchor)


@dataclass(frozen=True)
class Odd:
    """A size that is far from the usual one, and from how many backups that is known."""

    size: int
    usual: float
    of: int


def odd_size(sizes: Sequence[int], settings: Deadlines) -> Odd | None:
    """What is odd of the newest size, compared with the median of those before it."""
    newest, earlier = sizes[:1], sizes[1 : settings.size_window + 1]
    if len(earlier) < min(_FEW, settings.size_window):
        return None
    usual = median(earlier)
    odd = newest[0] < usual * settings.size_drop or newest[0] > usual * settings.size_growth
    return Odd(newest[0], usual, len(earlier)) if odd else None
