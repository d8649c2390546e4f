"""Runs jobs when they are due: APScheduler wakes us, our own schedule says when, the store remembers what was run."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from random import uniform
from threading import Lock

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from backupman.config import JobPlan
from backupman.engine.promises import COUNTED, Missed, longest_grace, longest_jitter
from backupman.engine.readiness import Waits
from backupman.engine.runs import Runs
from backupman.errors import BackupmanError, StoreError
from backupman.logs import about
from backupman.records import Run, RunState
from backupman.store import Store
from backupman.store.standing import Of
from backupman.text import minute

log = logging.getLogger(__name__)

_LATE = timedelta(minutes=1)
"""How late we wake up at most while we are there: on a busy machine, or after it slept (see `every`)."""
_TRY_AGAIN = timedelta(seconds=30)
_SOON = timedelta(seconds=1)
_JOB = "job "
"""What the ids of jobs of the config begin with in APScheduler; the others are ours."""
_JOBS = "jobs"
"""The threads that look at jobs: thousands due at once keep nothing else from its turn, the heartbeat least of all."""
_LOOKING = 4


class Scheduler:
    """The schedules of all jobs.

    A due time is run once, also by several daemons of one name on one store: the row of (instance, job, due time) is
    unique. A source that the job is still backing up is not started again. What was missed while nobody was there is
    caught up once, by its newest due time, if that is younger than the job's `misfire_grace`; what is older is
    recorded and reported as missed.

    Args:
        runs: how the sources of a job are begun.
        missed: records and reports what was missed.
    """

    def __init__(
        self,
        store: Store,
        instance: str,
        runs: Runs,
        missed: Callable[[JobPlan, Missed], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self.waits = Waits()
        self._instance = instance
        self._runs = runs
        self._missed = missed
        self._clock = clock
        self._plans: dict[str, JobPlan] = {}
        self._anchors: dict[str, datetime] = {}
        self._locks: dict[str, Lock] = {}
        self._threads = {"default": ThreadPoolExecutor(), _JOBS: ThreadPoolExecutor(_LOOKING)}
        self._ticker = BackgroundScheduler(timezone=UTC, executors=self._threads)

    def start(self, plans: Sequence[JobPlan]) -> None:
        """Catch up with what was missed, go on with what a crash interrupted, and wake up for what comes."""
        self._runs.end_dead()
        self.reschedule(plans)
        self._ticker.start()

    def reschedule(self, plans: Sequence[JobPlan]) -> None:
        """Take these jobs and their schedules from now on; raises StoreError, and then nothing has changed."""
        scheduled = {plan.label: plan for plan in plans if plan.schedule}
        texts, at = {label: plan.schedule_text for label, plan in scheduled.items()}, self._clock()
        self._anchors = self._store.jobs.seen_jobs(self._instance, texts, at)
        for label in self._plans.keys() - scheduled.keys():
            self.waits.over(_JOB + label)
        self._plans = scheduled
        for job in self._ticker.get_jobs():
            if job.id.startswith(_JOB):
                job.remove()
        for label, plan in scheduled.items():
            if self._anchors[label] < at:  # what is seen for the first time has no past
                self._wake(label)
            trigger = _Due(plan, self._anchors[label])
            # Each time only wakes us: what is due, and whether it is too late, we say ourselves.
            self._ticker.add_job(
                self._wake,
                trigger,
                [label, _LATE],
                id=_JOB + label,
                name=_JOB + label,
                executor=_JOBS,
                coalesce=True,
                misfire_grace_time=None,
                max_instances=3,
            )

    def every(self, interval: timedelta, name: str, work: Callable[[], None]) -> None:
        """Do something else now and again and again, for example watch the deadlines.

        The shortest of these intervals is also how late, at most, we notice that clocks were changed or that the
        machine was asleep.
        """

        def careful() -> None:
            try:
                with self.waits.of(name):
                    work()
            except BackupmanError as error:
                log.error("%s: %s", name, error.sentence)
                if isinstance(error, StoreError):  # a lane of once a day would be taken for one that waits all day
                    self.soon(name, _TRY_AGAIN)
            except Exception:  # the door of everything that the daemon does by the clock
                log.exception("%s: unexpected", name)

        seconds, now = interval.total_seconds(), datetime.now(UTC)
        self._ticker.add_job(
            careful,
            "interval",
            seconds=seconds,
            id=name,
            name=name,  # for APScheduler's log: one that takes longer than its interval is left out the next time
            next_run_time=now,
            misfire_grace_time=None,
            coalesce=True,
        )

    def soon(self, name: str, within: timedelta = _SOON) -> None:
        """Do something of `every` in a moment too; asked for often in a moment, it is done once."""
        when = datetime.now(UTC) + within
        with suppress(JobLookupError):  # before the start, or while it ends
            job = self._ticker.get_job(name)
            if job and job.next_run_time and job.next_run_time > when:
                job.modify(next_run_time=when)

    def stop(self) -> None:
        """Start nothing more."""
        if self._ticker.running:
            self._ticker.pause()

    def close(self) -> None:
        """Wait until nothing is done by the clock any more; the store has to be there until then."""
        if self._ticker.running:
            self._ticker.shutdown(wait=False)  # while it waits, it holds the lock that work asks for by `soon`
            for threads in self._threads.values():
                threads.shutdown()

    def upcoming(self, plan: JobPlan, after: datetime, count: int) -> list[datetime]:
        """The next due times of a job."""
        if not plan.schedule:
            return []
        return list(islice(plan.schedule.due(after, self._anchors.get(plan.label, after)), count))

    def tick(self, plan: JobPlan, late: timedelta = timedelta()) -> None:
        """Run what is due of a job now, if it was not run, skipped or missed before.

        Recorded due times in the future do not count: the clock was ahead when they were written. `late` is what we
        may be late ourselves, and no reason to call a run missed.
        """
        assert plan.schedule  # noqa: S101 - only such plans are scheduled
        at, anchor = self._clock(), self._anchors.get(plan.label)
        if anchor is None:  # it has just left the config
            return
        last = self._store.jobs.last_run(self._instance, plan.label, at)
        due = plan.schedule.latest(at, anchor)
        since = max(anchor, last.due_at) if last else anchor
        if due is None or due <= since:
            if last and last.state == RunState.INTERRUPTED and last.due_at > anchor:
                self._go_on(plan, last, at, anchor)
            return
        grace = longest_grace(plan, due, anchor) + late
        too_old = plan.schedule.latest(min(due, at - grace - timedelta.resolution), anchor)
        if too_old and too_old > since:
            between = takewhile(lambda time: time <= too_old, plan.schedule.due(since, anchor))
            missed = list(islice(between, COUNTED))
            reason = f"backupman was not there to start it, and at {minute(at)} it was too late to catch up"
            self._missed(plan, Missed(too_old, missed[0], len(missed), reason))
        if due != too_old:
            self._begin(plan, due, at)

    def _wake(self, label: str, late: timedelta = timedelta()) -> None:
        """Tick, and try again soon when the store has a bad moment: a due time must not be lost with it.

        A job that has left the config meanwhile has no due times any more.
        """
        plan = self._plans.get(label)
        if plan is None:
            return
        with about(job=plan.label):
            try:
                with self.waits.of(_JOB + label):
                    self.tick(plan, late)
            except BackupmanError as error:
                log.error("job %s waits: %s", label, error.sentence)
                self.wake_again(label)

    def wake_again(self, label: str) -> None:
        """Look at a job once more in a while: something of it could not be begun."""
        when = datetime.now(UTC) + _TRY_AGAIN
        again = f"{_JOB}{label} again"
        self._ticker.add_job(
            self._wake,
            "date",
            [label],
            run_date=when,
            id=again,
            executor=_JOBS,
            replace_existing=True,
            misfire_grace_time=None,
        )

    def _begin(self, plan: JobPlan, due: datetime, at: datetime) -> None:
        with self._locks.setdefault(plan.label, Lock()):  # it may be woken several times at once
            busy = [source.label for source in plan.sources if self._runs.busy(plan, source.label)]
            free = [source.label for source in plan.sources if source.label not in busy]
            reason = f"still being backed up since before: {', '.join(busy)}" if busy else None
            if reason and not free:
                if self._store.jobs.skip(self._instance, plan.label, due, reason):
                    log.warning("job %s: the run due at %s is skipped: %s", plan.label, due, reason)
            elif self._runs.begin(plan, due, at, free, reason) and reason:
                log.warning("job %s: the run due at %s skips what is %s", plan.label, due, reason)

    def _go_on(self, plan: JobPlan, run: Run, at: datetime, anchor: datetime) -> None:
        """Begin the sources of a run that it had not come to when it was interrupted."""
        if run.started_at is None or at - run.due_at > longest_grace(plan, run.due_at, anchor):
            return
        with self._locks.setdefault(plan.label, Lock()):
            left = [
                source.label
                for source in plan.sources
                if not self._store.standing.begun(Of(self._instance, plan.label, source.label), run.started_at)
                and not self._runs.busy(plan, source.label)
            ]
            if left and self._runs.go_on(plan, run, left):
                log.warning("job %s: the run due at %s goes on with %s", plan.label, run.due_at, ", ".join(left))


class _Due(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Tells APScheduler when to wake us for a job."""

    def __init__(self, plan: JobPlan, anchor: datetime) -> None:
        self._plan = plan
        self._anchor = anchor

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """The next due time and some of the job's jitter."""
        due = next(self._due(max(previous or now, now)), None)
        if due is None:
            return None
        return due + uniform(0, 1) * longest_jitter(self._plan, due, self._anchor)  # noqa: S311 - no secret

    def _due(self, after: datetime) -> Iterator[datetime]:
        return self._plan.schedule.due(after, self._anchor) if self._plan.schedule else iter(())

    def __str__(self) -> str:
        return self._plan.schedule_text
