"""What the daemon remembers of its jobs: their schedules, their runs, and the incidents of their deadlines."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from backupman.errors import StoreError
from backupman.records import Incident, Run, RunState, Schedule

Sessions = Callable[[], AbstractContextManager[Session]]


class Jobs:
    """Schedules, runs and incidents."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def seen(self, job: str, schedule: str, at: datetime) -> datetime:
        """Since when the job has had this schedule: from now on, if it is new or has changed."""
        with self._sessions() as session:
            known = session.get(Schedule, job)
            if known is None or known.schedule != schedule:
                known = session.merge(Schedule(job=job, schedule=schedule, since=at))
            return known.since

    def open_run(self, job: str, due_at: datetime, instance: str, at: datetime) -> int | None:
        """Record that the run due then has started; its id, or None when somebody has it already."""
        return self._record(Run(job=job, due_at=due_at, instance=instance, state=RunState.RUNNING, started_at=at))

    def end_run(self, run_id: int, at: datetime) -> None:
        """Record that a run has ended, whatever came of its backups."""
        with self._sessions() as session:
            run = session.get_one(Run, run_id)
            run.state, run.ended_at = RunState.DONE, at

    def end_dead_runs(self, instance: str) -> None:
        """After a crash: the runs that an instance had under way are over."""
        with self._sessions() as session:
            dead = session.exec(select(Run).where(Run.instance == instance, Run.state == RunState.RUNNING)).all()
            for run in dead:
                run.state, run.reason = RunState.DONE, "interrupted by a crash"

    def not_run(self, job: str, due_at: datetime, instance: str, state: RunState, reason: str) -> bool:
        """Record a due time that was `skipped` or `missed`, and why; whether it was news."""
        return self._record(Run(job=job, due_at=due_at, instance=instance, state=state, reason=reason)) is not None

    def last_due(self, job: str) -> datetime | None:
        """The newest due time that was run, skipped or missed."""
        with self._sessions() as session:
            return session.exec(select(Run.due_at).where(Run.job == job).order_by(col(Run.due_at).desc())).first()

    def runs(self, job: str, limit: int = 60) -> Sequence[Run]:
        """A job's runs, the newest first."""
        with self._sessions() as session:
            return session.exec(select(Run).where(Run.job == job).order_by(col(Run.due_at).desc()).limit(limit)).all()

    def open_incidents(self) -> Sequence[Incident]:
        """Everything that is not right now, the oldest first."""
        with self._sessions() as session:
            return session.exec(
                select(Incident).where(col(Incident.closed_at).is_(None)).order_by(col(Incident.id))
            ).all()

    def _record(self, run: Run) -> int | None:
        try:
            with self._sessions() as session:
                session.add(run)
                session.flush()
                return run.id
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):  # the unique constraint: somebody was first
                return None
            raise
