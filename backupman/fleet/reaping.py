"""Sees to what dead workers left: once its backups are settled, an assignment is begun once more, or ended."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlmodel import Session

from backupman.app import App
from backupman.engine.runner import Order
from backupman.engine.workers import fleet
from backupman.errors import BackupmanError, ConfigError
from backupman.fleet.handing import Handing
from backupman.fleet.queue import Queue
from backupman.queues import is_of_home
from backupman.records import Assignment, AssignmentKind, AssignmentState, Backup, Restore
from backupman.store import Store

log = logging.getLogger(__name__)

_ATTEMPTS = 3
"""How often an assignment is taken at most, where its worker dies each time."""
_AGAIN = (AssignmentKind.BACKUP, AssignmentKind.RETRY, AssignmentKind.VERIFY)
_SURELY = timedelta(minutes=1)
"""After how long a task and its assignment that do not fit each other are no two steps of one deed."""
_DAY = timedelta(days=1)
_FEW = 200
"""Of so many tasks PostgreSQL finds the next one soon, whatever it knows of them."""


class Reaper:
    """For the one daemon that leads; not thread-safe."""

    def __init__(
        self, store: Store, instance: str, queue: Queue, handing: Callable[[], Handing], clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._instance = instance
        self._queue = queue
        self._handing = handing
        self._clock = clock
        self._suspected: dict[int, datetime] = {}
        self._counted = _FEW

    def check(self, app: App) -> None:
        """Look at everything that is under way, and at everything that waits."""
        living = self._store.workers.living(self._instance)
        running = self._store.assignments.running(self._instance)
        if dead := [assignment for assignment in running if assignment.holder not in living]:
            for assignment in dead:
                if assignment.holder is None:
                    self._settle_left(app, assignment)
            for assignment in self._settled(dead):
                self._see_to(assignment)
        self._match()
        self._report(app)

    def _settle_left(self, app: App, assignment: Assignment) -> None:
        """Settle the records of what its own host, which lives, could not settle itself."""

        def its(record: Backup | Restore) -> bool:
            if isinstance(record, Restore):
                return record.id in assignment.records
            return (record.job, record.source, record.home) == (assignment.job, assignment.source, assignment.home)

        app.recovery.settle(left=True, which=its)

    def move(self, app: App) -> None:
        """See to what waits in queues that nobody takes from: it goes where the config has it now, or ends."""
        at, patience = self._clock(), app.config.database.takeover_after
        queues = {
            queue.name
            for queue in fleet(self._store, self._instance).unattended
            if queue.unattended_since and at - queue.unattended_since > patience
        }
        if not queues:
            return
        for each in self._store.assignments.open(self._instance):
            if each.queue not in queues or each.state != AssignmentState.WAITING:
                continue
            if is_of_home(each.queue) and each.begin_until and each.begin_until < at:
                self._give_up(each.id, "the worker that has its dump in its spool has not come back")
            elif self._strayed(each):
                self._put_back(each.id)

    def _strayed(self, waiting: Assignment) -> bool:
        """Whether the config has it elsewhere by now, or not at all."""
        try:
            return self._handing().queue_of(waiting) != waiting.queue
        except ConfigError:
            return True

    def _settled(self, dead: Sequence[Assignment]) -> list[Assignment]:
        """Those without a pending record: recovery settles them first, here or at the worker that comes back."""
        backups = {(each.job, each.source, each.home) for each in self._store.backups.pending(self._instance)}
        restores = {each.id for each in self._store.restores.pending(self._instance)}
        return [
            each
            for each in dead
            if (each.job, each.source, each.home) not in backups and restores.isdisjoint(each.records)
        ]

    def _see_to(self, assignment: Assignment) -> None:
        at, reason = self._clock(), f"the worker on {assignment.host} died"
        # of a backup, what an earlier attempt has left is over
        since = assignment.started_at if assignment.kind == AssignmentKind.BACKUP else None
        if self._store.backups.all_finished(assignment.records, since, assignment.cancelled):  # but for its own end
            self._store.assignments.end(assignment.id, at, holder=assignment.holder)
        elif self._may_begin_again(assignment, at) and self._begin_again(assignment, reason):
            log.warning("%s: %s; it is begun once more", assignment.about, reason)
        elif self._store.assignments.end(assignment.id, at, holder=assignment.holder, error=reason):
            log.error("%s: %s", assignment.about, reason)

    def _may_begin_again(self, assignment: Assignment, at: datetime) -> bool:
        in_time = assignment.begin_until is not None and at < assignment.begin_until
        return in_time and assignment.kind in _AGAIN and assignment.attempts < _ATTEMPTS

    def _begin_again(self, assignment: Assignment, reason: str) -> bool:
        try:
            return self._store.assignments.wait_again(assignment.id, assignment.holder, reason, self._defer)
        except ConfigError as error:  # it has left the config
            log.info("%s", error.sentence)
            return False

    def _match(self) -> None:
        """Let no task hold a lock of which nobody is at work on, and nothing wait of which there is no task.

        That comes of a call whose answer was lost while PostgreSQL was restarted.
        """
        tasks = self._store.assignments.within(self._queue.tasks)
        self._count(len(tasks))
        opened = {each.id: each for each in self._store.assignments.places(self._instance)}
        odd = {task.number for task in tasks if not task.fits(opened.get(task.assignment))}
        self._suspected = {number: self._suspected.get(number, self._clock()) for number in odd}
        sure = {number for number, since in self._suspected.items() if self._clock() - since > _SURELY}
        self._drop({task.number: task.assignment for task in tasks if task.number in sure})
        present = {task.assignment for task in tasks if task.number not in sure}
        for place in opened.values():
            lost = place.state == AssignmentState.WAITING and place.id not in present
            if lost and self._clock() - place.created_at > _SURELY:
                self._put_back(place.id)

    def _drop(self, sure: Mapping[int, str]) -> None:
        """Drop tasks, by their numbers, and say of which assignments they were."""
        if not sure:
            return
        self._store.assignments.within(lambda session: self._queue.drop(session, sorted(sure)))
        known = {each.id: each for each in self._store.assignments.among(set(sure.values()))}
        for number, assignment_id in sorted(sure.items()):
            of = known.get(assignment_id)
            what = f"{of.about}, {of.state}" if of else f"the assignment {assignment_id}, which is not on record"
            log.warning("%s: nobody is at work on its task %d, which is dropped", what, number)

    def _count(self, tasks: int) -> None:
        """Have the queue analyzed when it has doubled: PostgreSQL's own turn may be a minute away."""
        if tasks > 2 * self._counted:
            self._store.assignments.within(self._queue.analyze)
            self._counted = tasks
        self._counted = max(_FEW, min(self._counted, tasks))

    def _put_back(self, assignment_id: str) -> None:
        try:
            self._store.assignments.put_back(assignment_id, self._defer)
        except ConfigError as error:
            self._give_up(assignment_id, error.sentence)

    def _defer(self, session: Session, again: Assignment) -> None:
        """Put it into the queue where the config has it now, in place of the task that it had."""
        if again.task_id is not None:
            self._queue.drop(session, [again.task_id])
        again.queue = self._handing().queue_of(again)
        self._handing().put(session, [again])

    def _give_up(self, assignment_id: str, reason: str) -> None:
        if self._store.assignments.end(assignment_id, self._clock(), holder=None, error=reason):
            [ended] = self._store.assignments.among([assignment_id])
            log.error("%s: %s", ended.about, reason)

    def _report(self, app: App) -> None:
        """Record backups that could not even be begun as failed ones, so that somebody is told."""
        for assignment in self._store.assignments.fruitless(self._instance, self._clock() - _DAY):
            plan = app.plan(assignment.job)
            source = app.config.source(assignment.source)
            if plan and source:
                order = Order(**assignment.details["order"])
                failed = app.runner.refuse(plan, source, order, BackupmanError(f"{source.label}: {assignment.error}"))
                self._store.assignments.began(assignment.id, [failed.id])
