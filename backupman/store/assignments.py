"""What was handed to workers: opened with the run that it is of, taken once, ended once."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from sqlalchemy import and_, exists, func, or_, update
from sqlmodel import Session, col, select

from backupman.records import Assignment, AssignmentKind, AssignmentState, Run, RunState
from backupman.store._sessions import Sessions

T = TypeVar("T")

Defer = Callable[[Session, Sequence[Assignment]], None]
"""Puts assignments into their queues, in the session's transaction, and notes the numbers of their tasks."""

DUMPING = (AssignmentKind.BACKUP, AssignmentKind.RETRY)
"""What keeps a source from being dumped by others."""

_OPEN = col(Assignment.state) != AssignmentState.ENDED


class Place(NamedTuple):
    """Where an assignment stands that has not ended; all that a look at thousands of them every few seconds needs."""

    id: str
    task_id: int | None
    state: str
    created_at: datetime


class Assignments:
    """The assignments of all installations. Thread-safe."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def hand_out(self, assignments: Sequence[Assignment], defer: Defer) -> None:
        """Record them and put them into their queues, in one transaction; none is needed for nothing."""
        if assignments:
            with self._sessions.writing() as session:
                enter(session, assignments, defer)

    def within(self, work: Callable[[Session], T]) -> T:
        """Do something with the queues in a transaction."""
        with self._sessions.writing() as session:
            return work(session)

    def among(self, ids: Collection[str]) -> Sequence[Assignment]:
        """Several of them, the oldest first."""
        query = select(Assignment).where(col(Assignment.id).in_(ids))
        with self._sessions.reading() as session:
            return session.exec(query.order_by(col(Assignment.created_at), col(Assignment.id))).all()

    def open(
        self,
        instance: str,
        job: str | None = None,
        source: str | None = None,
        kinds: Collection[AssignmentKind] = tuple(AssignmentKind),
    ) -> Sequence[Assignment]:
        """What has not ended, the oldest first; of a job, a source and kinds, where they are named."""
        query = select(Assignment).where(Assignment.instance == instance, _OPEN, col(Assignment.kind).in_(kinds))
        if job is not None:
            query = query.where(Assignment.job == job)
        if source is not None:
            query = query.where(Assignment.source == source)
        with self._sessions.reading() as session:
            return session.exec(query.order_by(col(Assignment.created_at), col(Assignment.id))).all()

    def places(self, instance: str) -> Sequence[Place]:
        """Where everything stands that has not ended."""
        query = select(Assignment.id, Assignment.task_id, Assignment.state, Assignment.created_at)
        with self._sessions.reading() as session:
            return [Place(*row) for row in session.exec(query.where(Assignment.instance == instance, _OPEN))]

    def running(self, instance: str) -> Sequence[Assignment]:
        """What workers have under way, the oldest first."""
        query = select(Assignment).where(Assignment.instance == instance, Assignment.state == AssignmentState.RUNNING)
        with self._sessions.reading() as session:
            return session.exec(query.order_by(col(Assignment.started_at))).all()

    def fruitless(self, instance: str, since: datetime) -> Sequence[Assignment]:
        """The backups that have ended since then without a record of what went wrong."""
        query = select(Assignment).where(
            Assignment.instance == instance,
            col(Assignment.ended_at) >= since,
            Assignment.kind == AssignmentKind.BACKUP,
            col(Assignment.error).is_not(None),
            col(Assignment.busy).is_(False),
        )
        with self._sessions.reading() as session:
            return [assignment for assignment in session.exec(query) if not assignment.records]

    def end_dead_runs(self, instance: str) -> None:
        """Record that the runs were interrupted of which nothing waits or is under way."""
        opened = exists().where(col(Assignment.run_id) == col(Run.id), _OPEN)
        with self._sessions.writing() as session:
            dead = select(Run).where(Run.instance == instance, Run.state == RunState.RUNNING, ~opened)
            for run in session.exec(dead):
                run.state, run.reason = RunState.INTERRUPTED, "interrupted by a crash"

    def take(self, assignment_id: str, *, home: str, holder: str, host: str, at: datetime) -> Assignment | None:
        """Take it, once more where the answer was lost; None when it has ended or another worker has it."""
        values = {
            "state": AssignmentState.RUNNING,
            "attempts": col(Assignment.attempts) + 1,
            "home": home,
            "holder": holder,
            "host": host,
            "started_at": at,
            "error": None,
            "busy": False,
        }
        ours = and_(col(Assignment.state) == AssignmentState.RUNNING, col(Assignment.holder) == holder)
        mine = col(Assignment.id) == assignment_id, or_(col(Assignment.state) == AssignmentState.WAITING, ours)
        with self._sessions.writing() as session:
            if session.connection().execute(update(Assignment).where(*mine).values(values)).rowcount != 1:
                return None
            return session.get(Assignment, assignment_id)

    def began(self, assignment_id: str, records: Sequence[str]) -> None:
        """Note the records that were begun for it."""
        with self._sessions.writing() as session:
            assignment = session.get_one(Assignment, assignment_id)
            assignment.records = [*assignment.records, *(each for each in records if each not in assignment.records)]

    def end(
        self, assignment_id: str, at: datetime, *, holder: str | None, error: str | None = None, busy: bool = False
    ) -> bool:
        """End it, and its run with the last of it; whether that was still ours to do.

        `holder` is the process that has it under way; None for what waits.
        """
        with self._sessions.writing() as session:
            assignment = session.get(Assignment, assignment_id, with_for_update=True)
            if assignment is None or assignment.state == AssignmentState.ENDED:
                return False
            if assignment.holder != holder:
                return False
            assignment.state, assignment.ended_at = AssignmentState.ENDED, at
            assignment.error, assignment.busy = error, busy
            session.flush()
            if assignment.run_id is not None:
                _end_run(session, assignment.run_id, at)
            return True

    def wait_again(
        self, assignment_id: str, holder: str | None, error: str | None, defer: Callable[[Session, Assignment], None]
    ) -> bool:
        """Put what nobody works on any more back into its queue, by `defer`; whether nobody else was quicker.

        `holder` is the process that had it.
        """
        with self._sessions.writing() as session:
            assignment = session.get(Assignment, assignment_id, with_for_update=True)
            if assignment is None or assignment.state != AssignmentState.RUNNING or assignment.holder != holder:
                return False
            assignment.state, assignment.error = AssignmentState.WAITING, error
            assignment.home = assignment.holder = assignment.host = None
            defer(session, assignment)
            return True

    def leave(self, assignment_id: str, holder: str | None) -> None:
        """Leave to the control host what a dead process of this host had, and what cannot be settled here."""
        with self._sessions.writing() as session:
            assignment = session.get(Assignment, assignment_id, with_for_update=True)
            if assignment and assignment.state == AssignmentState.RUNNING and assignment.holder == holder:
                assignment.holder = None

    def put_back(self, assignment_id: str, defer: Callable[[Session, Assignment], None]) -> None:
        """Put something that waits, but has lost its place, into its queue."""
        with self._sessions.writing() as session:
            assignment = session.get(Assignment, assignment_id, with_for_update=True)
            if assignment and assignment.state == AssignmentState.WAITING:
                defer(session, assignment)

    def cancel(self, assignment_id: str, record_id: str, reason: str) -> None:
        """Let its worker end a record of it before its time."""
        with self._sessions.writing() as session:
            assignment = session.get_one(Assignment, assignment_id, with_for_update=True)
            assignment.cancelled = {**assignment.cancelled, record_id: reason}

    def waiting(self, instance: str) -> dict[str, tuple[int, datetime]]:
        """By queue: how many wait there, and since when the oldest does."""
        query = (
            select(Assignment.queue, func.count(), func.min(Assignment.created_at))
            .where(Assignment.instance == instance, Assignment.state == AssignmentState.WAITING)
            .group_by(Assignment.queue)
        )
        with self._sessions.reading() as session:
            return {queue: (count, since) for queue, count, since in session.exec(query)}


def enter(session: Session, assignments: Sequence[Assignment], defer: Defer) -> None:
    """Record assignments and put them into their queues, in the session's transaction."""
    session.add_all(assignments)
    session.flush()
    defer(session, assignments)


def _end_run(session: Session, run_id: int, at: datetime) -> None:
    """End a run none of whose assignments is open; the run's row is locked first, so that one of them is the last."""
    run = session.get(Run, run_id, with_for_update=True)
    if run is None or run.state != RunState.RUNNING:
        return
    parts = session.exec(select(Assignment).where(Assignment.run_id == run_id)).all()
    if any(part.state != AssignmentState.ENDED for part in parts):
        return
    reasons = [f"{part.source}: {part.error}" for part in parts if part.error and not part.records]
    run.state, run.ended_at = RunState.INTERRUPTED if reasons else RunState.DONE, at
    run.reason = "; ".join(reasons) or run.reason
