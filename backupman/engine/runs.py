"""How the sources of a run that is due are begun: here, in threads of this process, or by workers (`fleet.runs`)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Protocol

from backupman.config import JobPlan
from backupman.engine.calls import Call
from backupman.engine.locks import source_lock
from backupman.engine.runner import Order
from backupman.errors import BackupmanError, BusyError
from backupman.records import Run
from backupman.store import Store
from backupman.store.standing import Of

log = logging.getLogger(__name__)


class Runs(Protocol):
    """Begins runs, and knows what of them is under way."""

    def end_dead(self) -> None:
        """After a crash: record that the runs on which nobody works any more were interrupted."""

    def busy(self, plan: JobPlan, source: str) -> bool:
        """Whether the job backs up the source already, be it by a schedule, the API or `backupman run`."""

    def begin(self, plan: JobPlan, due: datetime, at: datetime, sources: Sequence[str], reason: str | None) -> bool:
        """Record the run of a due time and begin these sources of it; false where somebody was first.

        `reason` says why others of its sources are left out.
        """

    def go_on(self, plan: JobPlan, run: Run, sources: Sequence[str]) -> bool:
        """Begin sources that an interrupted run had not come to; false where somebody else does."""


class RunsHere:
    """Runs in threads of this process; each source by itself, so that the next run need only skip what is not through.

    Args:
        run: starts the sources of a job.
        unbegun: told the label of a job of which something could not even begin: it is to be looked at again.
    """

    def __init__(
        self,
        store: Store,
        instance: str,
        state_folder: Path,
        run: Callable[[JobPlan, Order, list[str]], Call],
        unbegun: Callable[[str], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._instance = instance
        self._state_folder = state_folder
        self._run = run
        self._unbegun = unbegun
        self._clock = clock
        self._calls: dict[tuple[str, str], Call] = {}
        self._probing = Lock()

    def end_dead(self) -> None:
        """See Runs."""
        self._store.jobs.end_dead_runs(self._instance)

    def busy(self, plan: JobPlan, source: str) -> bool:
        """See Runs."""
        call = self._calls.get((plan.label, source))
        if call and not call.ended():
            return True
        of = Of(self._instance, plan.label, source)
        return self._store.standing.under_way(of) and self._locked(source)

    def begin(self, plan: JobPlan, due: datetime, at: datetime, sources: Sequence[str], reason: str | None) -> bool:
        """See Runs."""
        run_id = self._store.jobs.open_run(self._instance, plan.label, due, at, reason)
        if run_id is not None:
            self._start(plan, run_id, sources)
        return run_id is not None

    def go_on(self, plan: JobPlan, run: Run, sources: Sequence[str]) -> bool:
        """See Runs."""
        if run.id is None or not self._store.jobs.open_again(run.id):
            return False
        self._start(plan, run.id, sources)
        return True

    def _locked(self, source: str) -> bool:
        """Whether somebody holds the source: what a dead process left unsettled keeps nobody from working."""
        try:
            with self._probing, source_lock(self._state_folder, source, wait=False):  # or two probes find each other
                return False
        except BusyError:
            return True

    def _start(self, plan: JobPlan, run_id: int, sources: Sequence[str]) -> None:
        calls = {source: self._run(plan, Order(trigger="schedule"), [source]) for source in sources}
        self._calls |= {(plan.label, source): call for source, call in calls.items()}
        left, guard = set(calls), Lock()

        def ended(source: str) -> None:
            with guard:
                left.discard(source)
                last = not left
            if last:
                self._end(plan, run_id, calls)

        for source, call in calls.items():
            call.when_ended(partial(ended, source))

    def _end(self, plan: JobPlan, run_id: int, calls: Mapping[str, Call]) -> None:
        """Record that a run is over; what could not even begin is tried again while the run is not too old."""
        reasons = [f"{source}: {reason}" for source, call in calls.items() if (reason := _why_not_begun(call))]
        for reason in reasons:
            log.error("job %s: not begun: %s", plan.label, reason, extra={"job": plan.label})
        try:
            self._store.jobs.end_run(run_id, self._clock(), "; ".join(reasons) or None)
        except BackupmanError as error:
            log.error("the end of a run could not be recorded: %s", error.sentence, extra={"job": plan.label})
        if reasons:
            self._unbegun(plan.label)


def _why_not_begun(call: Call) -> str | None:
    """Why an ended call of one source has not even recorded a backup; None when it has."""
    try:
        result = call.result()
    except Exception as error:  # a fault of ours in its thread
        log.exception("a backup ended unexpectedly")
        return f"unexpected {type(error).__name__}"
    if result.backups:
        return None
    return "; ".join(error.sentence for error in result.errors) or "backupman was stopped"
