"""Runs that are due, begun by workers: a due time is recorded and handed out in one transaction, or not at all."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlmodel import Session

from backupman.config import JobPlan
from backupman.engine.promises import longest_grace
from backupman.engine.runner import Order
from backupman.fleet.handing import Handing
from backupman.records import Assignment, Run
from backupman.store import Store
from backupman.store.assignments import DUMPING, enter


class RunsOfWorkers:
    """See engine.runs.Runs. `handing` gives the hand of the config that counts now."""

    def __init__(self, store: Store, instance: str, handing: Callable[[], Handing]) -> None:
        self._store = store
        self._instance = instance
        self._handing = handing

    def end_dead(self) -> None:
        """See Runs."""
        self._store.assignments.end_dead_runs(self._instance)

    def busy(self, plan: JobPlan, source: str) -> bool:
        """See Runs: what waits for a worker is busy too."""
        return bool(self._store.assignments.open(self._instance, plan.label, source, DUMPING))

    def begin(self, plan: JobPlan, due: datetime, at: datetime, sources: Sequence[str], reason: str | None) -> bool:
        """See Runs."""

        def hand_out(session: Session, run_id: int) -> None:
            enter(session, self._assignments(plan, due, sources, run_id), self._handing().put)

        return self._store.jobs.open_run(self._instance, plan.label, due, at, reason, hand_out) is not None

    def go_on(self, plan: JobPlan, run: Run, sources: Sequence[str]) -> bool:
        """See Runs."""

        def hand_out(session: Session, run_id: int) -> None:
            enter(session, self._assignments(plan, run.due_at, sources, run_id), self._handing().put)

        return run.id is not None and self._store.jobs.open_again(run.id, hand_out)

    def _assignments(self, plan: JobPlan, due: datetime, labels: Sequence[str], run_id: int) -> list[Assignment]:
        order = Order(trigger="schedule")
        handing = self._handing()
        assignments = [handing.backup_of(plan, source, order) for source in plan.sources if source.label in labels]
        for assignment in assignments:
            assignment.run_id = run_id
            assignment.begin_until = due + longest_grace(plan, due, due)
        return assignments
