"""The control host's hand: what the embedded executor does itself, it hands out to workers instead."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from backupman.app import App, sent_by_workers
from backupman.config import JobPlan
from backupman.config.excerpts import Excerpts, excerpts
from backupman.engine.calls import Result
from backupman.engine.executor import planned
from backupman.engine.restoring import RestoreOrder
from backupman.engine.runner import Order
from backupman.errors import BackupmanError, ConfigError
from backupman.fleet.channel import Speaker
from backupman.fleet.queue import Queue
from backupman.queues import is_of_home, queue_of_home
from backupman.records import Assignment, AssignmentKind, AssignmentState, Backup, Status
from backupman.sources import Source
from backupman.store import Store
from backupman.store.assignments import DUMPING

_POLL = 0.2
_LONGEST_WAIT = 10.0
"""Seconds that somebody who asks over HTTP waits for a worker to begin."""
_ASKED_FOR = timedelta(hours=1)
"""How long what somebody has asked for may be begun once more."""


class Handing:
    """Hands out backups, retries, restores and proofs; the same calls as the embedded executor's. Thread-safe."""

    def __init__(self, app: App, queue: Queue, speaker: Speaker, clock: Callable[[], datetime]) -> None:
        self.app = app
        self.sent_by_workers = sent_by_workers(app.config)
        """The endpoints whose messages are handed out, and the queue of each."""
        self._store = app.store
        self._instance = app.config.instance
        self._excerpts: Excerpts = excerpts(app.config_file, app.config, app.plans)
        self._queue = queue
        self._speaker = speaker
        self._clock = clock

    def start(self, plans: Sequence[JobPlan], sources: Sequence[str] | None, order: Order, *, wait: bool) -> "Handed":
        """Back up the sources of the plans; with `wait` also those that are being backed up."""
        opened = () if wait else self._store.assignments.open(self._instance, kinds=DUMPING)
        taken, assignments, busy = {each.source for each in opened}, [], []
        for plan in plans:
            for source in plan.sources:
                if sources is not None and source.label not in sources:
                    continue
                if source.label in taken:
                    busy.append(source.label)
                else:
                    assignments.append(self.backup_of(plan, source, order))
        return self._hand_out(assignments, busy)

    def start_retry(self, plans: Sequence[JobPlan], backups: Sequence[Backup], *, wait: bool) -> "Handed":
        """Go on from the failed drives where the dump waits in the spool of a worker; else back up anew."""
        assignments, errors = [], []
        for backup in backups:
            try:
                plan, source = planned(plans, backup)
            except BackupmanError as error:
                errors.append(error)
                continue
            assignment = self.new(AssignmentKind.RETRY, plan.queue_of(source), plan.label, source.label)
            assignment.details = {"backup": backup.id}
            if backup.dump_status == Status.FINISHED and backup.home:
                assignment.queue = queue_of_home(backup.home)
                if not self._store.workers.lives(self._instance, backup.home):
                    sentence = (
                        f"{backup.label}: its dump waits in the spool of a host whose worker does not run: start it, "
                        f"or back {backup.source} up anew where that spool is gone for good"
                    )
                    errors.append(BackupmanError(sentence, permanent=True))
                    continue
            assignments.append(assignment)
        return self._hand_out(assignments, errors=errors)

    def start_restore(self, order: RestoreOrder) -> "Handed":
        """Restore a backup, beside the server that it goes into."""
        plan = self.app.plan(order.backup.job) or self.app.plans[0]
        source = order.destination.source
        assignment = self.new(AssignmentKind.RESTORE, plan.queue_of(source), plan.label, source.label)
        assignment.details = {
            "restore": {
                "id": order.id,
                "backup": order.backup.id,
                "source": source.label,
                "database": order.destination.database,
                "replaces": order.destination.replaces,
                "from_drive": order.from_drive,
                "tables": list(order.tables),
                "jobs": order.jobs,
                "trigger": order.trigger,
                "operator": order.operator,
            }
        }
        return self._hand_out([assignment])

    def backup_of(self, plan: JobPlan, source: Source, order: Order) -> Assignment:
        """The assignment to back up one source of a job."""
        assignment = self.new(AssignmentKind.BACKUP, plan.queue_of(source), plan.label, source.label)
        said = asdict(order) | {"tags": dict(order.tags)}
        del said["at"]  # which the assignment itself says
        assignment.details = {"order": said}
        return assignment

    def hand_out(self, assignments: Sequence[Assignment]) -> None:
        """Record them and put them into their queues, in one transaction."""
        self._store.assignments.hand_out(assignments, self.put)

    def put(self, session: Session, assignments: Sequence[Assignment], wait: timedelta | None = None) -> None:
        """Put assignments into their queues, in the session's transaction.

        Raises:
            ConfigError: what they are about has left the config.
        """
        for assignment in assignments:
            self._queue.put(session, assignment, self._excerpt(assignment), wait)

    def cancel(self, record_id: str, reason: str) -> bool:
        """Let the worker that has it end a backup or restore; whether one has it."""
        for assignment in self._store.assignments.running(self._instance):
            restore = assignment.details.get("restore", {})
            if record_id in assignment.records or restore.get("id") == record_id:
                self._store.assignments.cancel(assignment.id, record_id, reason)
                self._speaker.say({"Type": "cancel", "Id": record_id, "Reason": reason})
                return True
        return False

    def _hand_out(
        self, assignments: Sequence[Assignment], busy: Sequence[str] = (), errors: Sequence[BackupmanError] = ()
    ) -> "Handed":
        self.hand_out(assignments)
        return Handed(
            self._store, [assignment.id for assignment in assignments], Result(busy=list(busy), errors=list(errors))
        )

    def new(self, kind: AssignmentKind, queue: str, job: str, source: str) -> Assignment:
        """An assignment that is to be handed out."""
        at = self._clock()
        return Assignment(
            instance=self._instance,
            kind=kind,
            queue=queue,
            job=job,
            source=source,
            created_at=at,
            begin_until=None if kind == AssignmentKind.RESTORE else at + _ASKED_FOR,
        )

    def queue_of(self, assignment: Assignment) -> str:
        """Where it waits by this config; what goes on from the spool of a host stays in that host's own queue.

        Raises:
            ConfigError: what it is about has left the config.
        """
        if assignment.kind == AssignmentKind.DELIVER:
            if assignment.queue not in self.sent_by_workers.values():
                raise ConfigError(f"no notifier of the config has the queue {assignment.queue} any more")
            return assignment.queue
        plan, source = self._planned(assignment)
        if assignment.kind == AssignmentKind.VERIFY:
            return plan.verify_queue_of(source)
        return assignment.queue if is_of_home(assignment.queue) else plan.queue_of(source)

    def _excerpt(self, assignment: Assignment) -> dict[str, Any]:
        if assignment.kind == AssignmentKind.DELIVER:
            return self._excerpts.of_notifiers(assignment.queue)
        return self._excerpts.of_source(*self._planned(assignment))

    def _planned(self, assignment: Assignment) -> tuple[JobPlan, Source]:
        plan = self.app.plan(assignment.job)
        source = self.app.config.source(assignment.source)
        if plan is None or source is None:
            raise ConfigError(f"{assignment.source} of job {assignment.job} is not in the config any more")
        return plan, source


class Handed:
    """What was handed out at once; the same questions as to the executor's Call."""

    def __init__(self, store: Store, ids: Sequence[str], known: Result) -> None:
        self._store = store
        self._ids = ids
        self._known = known

    def ids(self, timeout: float | None) -> list[str]:
        """The ids of the records, once every worker has begun or has ended; fewer when the time is up."""
        deadline = time.monotonic() + min(timeout or _LONGEST_WAIT, _LONGEST_WAIT)
        while True:
            found = self._assignments()
            begun = all(each.records or each.state == AssignmentState.ENDED for each in found)
            if begun or time.monotonic() > deadline:
                return [record for each in found for record in each.records]
            time.sleep(_POLL)

    def ended(self) -> bool:
        """Whether nothing of it waits or is under way."""
        return all(each.state == AssignmentState.ENDED for each in self._assignments())

    def result(self) -> Result:
        """What is known of how it ended, apart from its records."""
        found = self._assignments()
        errors = [BackupmanError(each.error, permanent=True) for each in found if each.error and not each.busy]
        busy = [each.source for each in found if each.busy]
        return Result(busy=[*self._known.busy, *busy], errors=[*self._known.errors, *errors])

    def _assignments(self) -> Sequence[Assignment]:
        return self._store.assignments.among(self._ids)
