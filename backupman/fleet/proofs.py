"""Copies that are verified by workers: those of one source by one of them, in the queue that `verify` names."""

import logging
from collections.abc import Callable
from datetime import datetime
from itertools import groupby

from backupman.engine.proofs import Work
from backupman.fleet.handing import Handing
from backupman.records import Assignment, AssignmentKind, Backup
from backupman.store import Store

log = logging.getLogger(__name__)


class ProofsOfWorkers:
    """See engine.proofs.Proofs. `handing` gives the hand of the config that counts now."""

    def __init__(
        self,
        store: Store,
        instance: str,
        handing: Callable[[], Handing],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._instance = instance
        self._handing = handing
        self._clock = clock

    def begin(self, work: Work) -> bool:
        """See Proofs."""
        if self.waits(work.name):
            return False
        assignments = [
            assignment
            for of, backups in groupby(work.backups(), key=lambda backup: (backup.job, backup.source))
            if (assignment := self._assignment(work, of, list(backups)))
        ]
        if assignments:
            self._handing().hand_out(assignments)
        elif work.run is not None:
            self._store.jobs.end_run(work.run, self._clock())
        return True

    def waits(self, name: str) -> bool:
        """See Proofs."""
        opened = self._store.assignments.open(self._instance, kinds=[AssignmentKind.VERIFY])
        return any(assignment.details["name"] == name for assignment in opened)

    def stop(self, reason: str) -> None:
        """See Proofs: what workers do goes on."""

    def _assignment(self, work: Work, of: tuple[str, str], backups: list[Backup]) -> Assignment | None:
        app = self._handing().app
        plan = app.plan(of[0])
        source = app.config.source(of[1])
        if plan is None or source is None:
            log.warning("%s of job %s is not in the config any more: its copies are not verified", of[1], of[0])
            return None
        assignment = self._handing().new(AssignmentKind.VERIFY, plan.verify_queue_of(source), plan.label, source.label)
        assignment.run_id = work.run
        assignment.details = {
            "name": work.name,
            "level": work.level,
            "backups": [backup.id for backup in backups],
            "drives": None if work.drives is None else list(work.drives),
        }
        return assignment
