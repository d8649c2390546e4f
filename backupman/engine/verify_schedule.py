"""Lets be verified in the background of the daemon what is due, and what was asked for.

A due time is run once, also by several daemons of one name on one store, and caught up once after a while without a
daemon; the runs stand in the store beside those of the jobs.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from random import SystemRandom

from backupman.config import JobPlan
from backupman.engine.proofs import Proofs, Work
from backupman.engine.verifying import Verifier
from backupman.errors import BusyError
from backupman.levels import Level
from backupman.records import Backup, Run, RunState
from backupman.store import Store
from backupman.store.verifiable import Named
from backupman.text import minute

log = logging.getLogger(__name__)

_LONGEST_GRACE = timedelta(days=1)
_LATE = timedelta(minutes=1)
"""How late we look at most while we are there: that is no reason to call a time missed."""
_REST = timedelta(minutes=10)
"""Before this daemon begins anew what it began itself and could not finish: the cause is not gone at once."""


def run_name(job: str) -> str:
    """What stands in place of a job in the record of a run that verifies it."""
    return f"verify: {job}"


class VerifySchedule:
    """What is to be verified when. Thread-safe.

    Args:
        proofs: how it is done.
    """

    def __init__(self, store: Store, instance: str, proofs: Proofs, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._instance = instance
        self._proofs = proofs
        self._clock = clock
        self._plans: Sequence[JobPlan] = ()
        self._verifier: Verifier | None = None
        self._begun_at: dict[int, datetime] = {}
        self._stopped = False

    def watch(self, plans: Sequence[JobPlan], verifier: Verifier) -> None:
        """Take these jobs from now on; what has begun goes on with the verifier that it began with."""
        self._plans, self._verifier = plans, verifier

    def check(self) -> None:
        """Begin what is due now."""
        for plan in self._plans:
            if plan.verify_schedule and self._verifier and not self._stopped:
                self._begin_if_due(plan, self._verifier)

    def sweep(self) -> None:
        """Remove what dead drills have left."""
        if self._verifier:
            self._verifier.folders.sweep()

    def ask(self, backup: Backup, level: Level, drives: Collection[str] | None) -> None:
        """Verify a backup's copies as soon as it is its turn. Raises BusyError when that was asked for already."""
        assert self._verifier  # noqa: S101 - watched since the start
        work = Work(asked_name(backup), level, lambda: iter([backup]), self._verifier, drives)
        if self._stopped or not self._proofs.begin(work):
            raise BusyError(f"{backup.label}: backup {backup.id[:8]} waits to be verified already")

    def is_asked(self, backup: Backup) -> bool:
        """Whether somebody asked for this backup, and it is not done yet."""
        return self._proofs.waits(asked_name(backup))

    def stop(self, reason: str) -> None:
        """End what is under way, and begin nothing more; a due time that was not finished is caught up."""
        self._stopped = True
        self._proofs.stop(reason)

    def _begin_if_due(self, plan: JobPlan, verifier: Verifier) -> None:
        """Raises StoreError; what was not recorded then is looked at again."""
        assert plan.verify_schedule  # noqa: S101 - asked before
        jobs, instance, name, at = self._store.jobs, self._instance, run_name(plan.label), self._clock()
        last = jobs.last_run(instance, name, at)
        if last is None:
            jobs.skip(instance, name, at, "from now on it is verified by the clock")
            return
        due = plan.verify_schedule.latest(at, last.due_at)
        if due is None or due <= last.due_at:
            self._go_on(plan, verifier, last, at)
            return
        if at - due > _grace(plan, due) + _LATE:
            reason = f"backupman was not there to begin it, and at {minute(at)} it was too late to catch up"
            if jobs.skip(instance, name, due, reason):
                log.warning("job %s: what was to be verified at %s is skipped: %s", plan.label, due, reason)
        elif self._proofs.waits(name):
            jobs.skip(instance, name, due, "still being verified since before")
        elif run := jobs.open_run(instance, name, due, at):
            self._begin(plan, verifier, run, at)

    def _go_on(self, plan: JobPlan, verifier: Verifier, last: Run, at: datetime) -> None:
        """Begin anew what was not finished: at once after a restart, and else when it has rested."""
        assert last.id is not None  # noqa: S101 - it is on record
        interrupted = last.state == RunState.INTERRUPTED and at - last.due_at <= _grace(plan, last.due_at)
        rested = last.id not in self._begun_at or at - self._begun_at[last.id] >= _REST
        if (
            interrupted
            and rested
            and not self._proofs.waits(run_name(plan.label))
            and self._store.jobs.open_again(last.id)
        ):
            self._begin(plan, verifier, last.id, at)

    def _begin(self, plan: JobPlan, verifier: Verifier, run: int, at: datetime) -> None:
        self._begun_at[run] = at
        self._proofs.begin(self._due_work(plan, verifier, run))

    def _due_work(self, plan: JobPlan, verifier: Verifier, run: int) -> Work:
        def chosen() -> Iterator[Backup]:
            named = Named([source.label for source in plan.sources], drives)
            return self._store.verifiable.sample(self._instance, named, plan.verify.sample, SystemRandom(), plan.label)

        drives = [drive.label for drive in plan.drives]
        return Work(run_name(plan.label), plan.verify.level, chosen, verifier, drives, run)


def asked_name(backup: Backup) -> str:
    return f"{backup.label} {backup.id[:8]}"


def _grace(plan: JobPlan, due: datetime) -> timedelta:
    """How old a due time may be and still be caught up."""
    assert plan.verify_schedule  # noqa: S101 - only such plans are due
    if plan.misfire_grace is not None:
        return plan.misfire_grace
    return min(plan.verify_schedule.interval(due, due) / 2, _LONGEST_GRACE)
