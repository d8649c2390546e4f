"""Runs jobs when they are due: APScheduler wakes us, our own schedule says when, the store remembers what was run."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import uniform
from threading import Lock
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from backupman.config import JobPlan
from backupman.engine.executor import Call
from backupman.engine.runner import Order
from backupman.events import EventKind
from backupman.records import RunState
from backupman.schedule import Schedule
from backupman.store import Store

log = logging.getLogger(__name__)

Run = Callable[[JobPlan, Order], Call]
Report = Callable[[JobPlan, EventKind, dict[str, Any]], None]

_LONGEST_GRACE = timedelta(days=1)


class Scheduler:
    """The schedules of all jobs.

    A due time is run once, also by several daemons on one store: the row of (job, due time) is unique. A job that is
    still running is not started again. A due time that was missed while nobody was there is caught up once when it is
    younger than the job's `misfire_grace`, otherwise it is recorded and reported; older ones are forgotten with it.
    """

    def __init__(self, store: Store, instance: str, run: Run, report: Report, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._instance = instance
        self._run = run
        self._report = report
        self._clock = clock
        self._anchors: dict[str, datetime] = {}
        self._calls: dict[str, Call] = {}
        self._lock = Lock()
        self._ticker = BackgroundScheduler(timezone=UTC)

    def start(self, plans: Sequence[JobPlan]) -> None:
        """Catch up with what was missed, and wake up for what comes."""
        self.reschedule(plans)
        self._ticker.start()

    def reschedule(self, plans: Sequence[JobPlan]) -> None:
        """Take these jobs and their schedules from now on."""
        self._ticker.remove_all_jobs()
        for plan in plans:
            if plan.schedule:
                at = self._clock()
                self._anchors[plan.label] = self._store.jobs.seen(plan.label, plan.schedule_text, at)
                self.tick(plan)
                self._ticker.add_job(
                    self.tick,
                    _Due(plan.schedule, self._anchors[plan.label], plan.jitter),
                    args=[plan],
                    id=plan.label,
                    coalesce=True,
                    misfire_grace_time=None,
                    max_instances=3,
                )

    def every(self, interval: timedelta, work: Callable[[], None]) -> None:
        """Do something else again and again, for example watch the deadlines."""
        self._ticker.add_job(work, "interval", seconds=interval.total_seconds(), coalesce=True, max_instances=1)

    def stop(self) -> None:
        """Start nothing more."""
        if self._ticker.running:
            self._ticker.shutdown(wait=False)

    def upcoming(self, plan: JobPlan, after: datetime, count: int) -> list[datetime]:
        """The next due times of a job."""
        if not plan.schedule:
            return []
        anchor = self._anchors.get(plan.label, after)
        return list(islice(plan.schedule.due(after, anchor), count))

    def tick(self, plan: JobPlan) -> None:
        """Run what is due of a job now, if it was not run, skipped or missed before."""
        assert plan.schedule is not None  # noqa: S101 - only such plans are scheduled
        at, anchor = self._clock(), self._anchors[plan.label]
        due = plan.schedule.latest(at, anchor)
        last = self._store.jobs.last_due(plan.label)
        if due is None or (last is not None and due <= last):
            return
        if at - due > self._grace(plan, at, anchor):
            self._miss(plan, due, at)
        else:
            self._begin(plan, due, at)

    def _grace(self, plan: JobPlan, at: datetime, anchor: datetime) -> timedelta:
        if plan.misfire_grace is not None:
            return plan.misfire_grace
        assert plan.schedule is not None  # noqa: S101
        return min(plan.schedule.interval(at, anchor) / 2, _LONGEST_GRACE)

    def _begin(self, plan: JobPlan, due: datetime, at: datetime) -> None:
        with self._lock:
            running = self._calls.get(plan.label)
            if running and not running.ended():
                reason = "the job's run before it is still under way"
                if self._store.jobs.not_run(plan.label, due, self._instance, RunState.SKIPPED, reason):
                    log.warning("job %s: the run due at %s is skipped: %s", plan.label, due, reason)
                return
            run_id = self._store.jobs.open_run(plan.label, due, self._instance, at)
            if run_id is None:
                return
            call = self._run(plan, Order(trigger="schedule"))
            self._calls[plan.label] = call
        call.when_ended(lambda: self._store.jobs.end_run(run_id, self._clock()))

    def _miss(self, plan: JobPlan, due: datetime, at: datetime) -> None:
        reason = f"nobody was there to run it; noticed at {at:%Y-%m-%d %H:%M} UTC"
        if self._store.jobs.not_run(plan.label, due, self._instance, RunState.MISSED, reason):
            log.error("job %s: the run due at %s was missed: %s", plan.label, due, reason)
            self._report(plan, EventKind.BACKUP_MISSED, {"DueAt": due.isoformat(), "Reason": reason})


class _Due(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Tells APScheduler when a schedule is due next."""

    def __init__(self, schedule: Schedule, anchor: datetime, jitter: timedelta | None) -> None:
        self._schedule = schedule
        self._anchor = anchor
        self._jitter = jitter.total_seconds() if jitter else 0.0

    def get_next_fire_time(self, previous: datetime | None, at: datetime) -> datetime | None:
        """The next due time, and up to `jitter` later."""
        due = next(self._schedule.due(max(previous or at, at), self._anchor))
        return due + timedelta(seconds=uniform(0, self._jitter))  # noqa: S311 - spreads load, keeps no secret

    def __str__(self) -> str:
        return str(self._schedule)
