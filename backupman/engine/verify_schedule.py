"""Verifies in the background of the daemon, one thing after the other: what is due, and what was asked for.

A due time is run once, also by several daemons of one name on one store, and caught up once after a while without a
daemon; the runs stand in the store beside those of the jobs.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import SimpleQueue
from random import SystemRandom
from threading import Lock, Thread

from backupman.config import JobPlan
from backupman.engine.verifying import Verifier
from backupman.errors import BackupmanError, BusyError, Interrupted
from backupman.levels import Level
from backupman.records import Backup, Run, RunState
from backupman.store import Store

log = logging.getLogger(__name__)

_LONGEST_GRACE = timedelta(days=1)


@dataclass(frozen=True)
class Work:
    """Something to verify; `run` is the record of a due time."""

    name: str
    level: Level
    backups: Callable[[], Iterator[Backup]]
    verifier: Verifier
    drives: Collection[str] | None = None
    run: int | None = None


def run_name(job: str) -> str:
    """What stands in place of a job in the record of a run that verifies it."""
    return f"verify: {job}"


class VerifySchedule:
    """One thread for all that is verified in the daemon. Thread-safe."""

    def __init__(self, store: Store, instance: str, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._instance = instance
        self._clock = clock
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._waiting: set[str] = set()
        self._guard = Lock()
        self._current: Work | None = None
        self._plans: Sequence[JobPlan] = ()
        self._verifier: Verifier | None = None
        self._stopped = False
        self._worker = Thread(target=self._work, name="verifying", daemon=True)

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
        if not self._add(Work(_asked_name(backup), level, lambda: iter([backup]), self._verifier, drives)):
            raise BusyError(f"{backup.label}: backup {backup.id[:8]} waits to be verified already")

    def is_asked(self, backup: Backup) -> bool:
        """Whether somebody asked for this backup, and it is not done yet."""
        return _asked_name(backup) in self._waiting

    def stop(self, reason: str) -> None:
        """End what is under way, and begin nothing more; a due time that was not finished is caught up."""
        self._stopped = True
        self._queue.put(None)
        with self._guard:
            if self._current:
                self._current.verifier.stop(reason)
        if self._worker.ident is not None:
            self._worker.join(timeout=60)

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
        if at - due > _grace(plan, due):
            reason = f"backupman was not there to begin it, and at {at:%Y-%m-%d %H:%M} UTC it was too late to catch up"
            if jobs.skip(instance, name, due, reason):
                log.warning("job %s: what was to be verified at %s is skipped: %s", plan.label, due, reason)
        elif name in self._waiting:
            jobs.skip(instance, name, due, "still being verified since before")
        elif run := jobs.open_run(instance, name, due, at):
            self._add(self._due_work(plan, verifier, run))

    def _go_on(self, plan: JobPlan, verifier: Verifier, last: Run, at: datetime) -> None:
        """Begin anew what a restart has interrupted."""
        interrupted = last.state == RunState.INTERRUPTED and at - last.due_at <= _grace(plan, last.due_at)
        if (
            interrupted
            and last.id
            and run_name(plan.label) not in self._waiting
            and self._store.jobs.open_again(last.id)
        ):
            self._add(self._due_work(plan, verifier, last.id))

    def _due_work(self, plan: JobPlan, verifier: Verifier, run: int) -> Work:
        def chosen() -> Iterator[Backup]:
            return self._store.verifiable.sample(self._instance, plan.verify.sample, SystemRandom(), plan.label)

        drives = [drive.label for drive in plan.drives]
        return Work(run_name(plan.label), plan.verify.level, chosen, verifier, drives, run)

    def _add(self, work: Work) -> bool:
        with self._guard:
            if work.name in self._waiting or self._stopped:
                return False
            self._waiting.add(work.name)
            if self._worker.ident is None:
                self._worker.start()
        self._queue.put(work)
        return True

    def _work(self) -> None:
        while work := self._queue.get():
            with self._guard:
                self._current = None if self._stopped else work
            try:
                self._end(work, self._do(work) if self._current else "backupman was stopped")
            finally:
                with self._guard:
                    self._current = None
                    self._waiting.discard(work.name)

    def _do(self, work: Work) -> str | None:
        """Verify it; why it was not finished, if it was not."""
        try:
            checked = work.verifier.verify(work.backups(), work.drives, work.level)
            errors = [each.error is not None for each in checked]
        except Interrupted as error:
            return error.sentence
        except BackupmanError as error:
            log.error("%s: %s", work.name, error.sentence)
            return error.sentence
        except Exception:  # the door of everything that the daemon does by itself
            log.exception("%s: unexpected", work.name)
        else:
            log.info("%s: %d copies at level %s, %d not right", work.name, len(errors), work.level, sum(errors))
        return None

    def _end(self, work: Work, unfinished: str | None) -> None:
        if work.run is None:
            return
        try:
            self._store.jobs.end_run(work.run, self._clock(), unfinished)
        except BackupmanError as error:
            log.error("the end of a run could not be recorded: %s", error.sentence)


def _asked_name(backup: Backup) -> str:
    return f"{backup.label} {backup.id[:8]}"


def _grace(plan: JobPlan, due: datetime) -> timedelta:
    """How old a due time may be and still be caught up."""
    assert plan.verify_schedule  # noqa: S101 - only such plans are due
    return plan.misfire_grace or min(plan.verify_schedule.interval(due, due) / 2, _LONGEST_GRACE)
