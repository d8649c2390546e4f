"""What the daemon remembers of its jobs: since when they are promised, their runs, and the incidents of deadlines.

Everything is an installation's own: other ones on the same store may have jobs of the same name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from backupman.errors import StoreError
from backupman.records import Event, Incident, Run, RunState, Schedule
from backupman.store._sessions import Sessions
from backupman.store.outbox import owe_event

_ONE_AT_A_TIME = 7209317

Begin = Callable[[Session, int], None]
"""Does something more in the transaction that records a run."""


class Key(NamedTuple):
    """What is promised: a job's runs, without a source, or the backups of a source by a job.

    Of an ingested job `source` is the device and `database` the sender.
    """

    job: str
    source: str = ""
    database: str = ""


@dataclass(frozen=True)
class Alarm:
    """An event about incidents, and the names of the endpoints that want it."""

    event: Event
    endpoints: Sequence[str]


@dataclass
class Changes:
    """What becomes of incidents at one time; the alarms are owed in the same transaction."""

    opened: list[Incident] = field(default_factory=list)
    reminded: list[Incident] = field(default_factory=list)
    closed: list[Incident] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.opened or self.reminded or self.closed or self.alarms)

    def __add__(self, other: "Changes") -> "Changes":
        return Changes(
            self.opened + other.opened,
            self.reminded + other.reminded,
            self.closed + other.closed,
            self.alarms + other.alarms,
        )


class Jobs:
    """Schedules, runs and incidents."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.fence: Callable[[Session], None] = lambda session: None
        """Raises an error where another daemon leads by now, which alone may record runs and incidents."""

    def seen_jobs(self, instance: str, schedules: Mapping[str, str], at: datetime) -> dict[str, datetime]:
        """Since when each job has had its schedule: from now on, if it is new, has changed or was away."""
        found = self._seen(instance, {Key(job): text for job, text in schedules.items()}, at, of_jobs=True)
        return {key.job: since for key, since in found.items()}

    def seen_sources(self, instance: str, schedules: Mapping[Key, str], at: datetime) -> dict[Key, datetime]:
        """Since when each source has been backed up by a job of that schedule; as with jobs."""
        return self._seen(instance, schedules, at, of_jobs=False)

    def since(self, instance: str) -> dict[str, datetime]:
        """Since when each job has had its schedule."""
        with self._sessions.reading() as session:
            query = select(Schedule).where(Schedule.instance == instance, Schedule.source == "")
            return {known.job: known.since for known in session.exec(query)}

    def open_run(
        self,
        instance: str,
        job: str,
        due_at: datetime,
        at: datetime,
        reason: str | None = None,
        begin: Begin = lambda session, run_id: None,
    ) -> int | None:
        """Record that the run due then has started, and begin it; its id, or None when somebody has it already."""
        run = Run(instance=instance, job=job, due_at=due_at, state=RunState.RUNNING, reason=reason, started_at=at)
        return self._record(run, begin)

    def open_again(self, run_id: int, begin: Begin = lambda session, run_id: None) -> bool:
        """Take over an interrupted run, and begin it; whether nobody else did."""
        with self._sessions.writing() as session:
            mine = col(Run.id) == run_id, col(Run.state) == RunState.INTERRUPTED
            changed = session.connection().execute(update(Run).where(*mine).values(state=RunState.RUNNING))
            if changed.rowcount == 1:
                begin(session, run_id)
            return changed.rowcount == 1

    def end_run(self, run_id: int, at: datetime, interrupted: str | None = None) -> None:
        """Record that a run has ended, or why some of its sources have not begun."""
        with self._sessions.writing() as session:
            run = session.get_one(Run, run_id)
            run.state, run.ended_at = RunState.INTERRUPTED if interrupted else RunState.DONE, at
            run.reason = interrupted or run.reason

    def end_dead_runs(self, instance: str) -> None:
        """After a crash: the runs that an instance had under way were interrupted."""
        with self._sessions.writing() as session:
            dead = session.exec(select(Run).where(Run.instance == instance, Run.state == RunState.RUNNING)).all()
            for run in dead:
                run.state, run.reason = RunState.INTERRUPTED, "interrupted by a crash"

    def skip(self, instance: str, job: str, due_at: datetime, reason: str) -> bool:
        """Record a due time that was skipped, and why; whether it was news."""
        run = Run(instance=instance, job=job, due_at=due_at, state=RunState.SKIPPED, reason=reason)
        return self._record(run) is not None

    def miss(self, instance: str, job: str, due_at: datetime, reason: str, changes: Changes, at: datetime) -> bool:
        """Record a due time that was missed, and why, and tell of it, in one transaction; whether it was news."""
        run = Run(instance=instance, job=job, due_at=due_at, state=RunState.MISSED, reason=reason)
        return self._record(run, lambda session, _: self._enter(session, changes, at)) is not None

    def last_run(self, instance: str, job: str, until: datetime) -> Run | None:
        """The run of the newest due time that is not later than `until`."""
        with self._sessions.reading() as session:
            query = select(Run).where(Run.instance == instance, Run.job == job, col(Run.due_at) <= until)
            return session.exec(query.order_by(col(Run.due_at).desc()).limit(1)).first()

    def first_start(self, instance: str, job: str, due_at: datetime) -> datetime | None:
        """When the first run was started that was due then or later."""
        with self._sessions.reading() as session:
            query = select(Run.started_at).where(Run.instance == instance, Run.job == job, col(Run.due_at) >= due_at)
            query = query.where(col(Run.started_at).is_not(None)).order_by(col(Run.due_at))
            return session.exec(query.limit(1)).first()

    def skipped(self, instance: str, job: str, after: datetime, until: datetime) -> datetime | None:
        """The newest due time between the two (each may be it) that was skipped."""
        with self._sessions.reading() as session:
            query = select(Run.due_at).where(
                Run.instance == instance, Run.job == job, col(Run.due_at).between(after, until)
            )
            query = query.where(Run.state == RunState.SKIPPED).order_by(col(Run.due_at).desc())
            return session.exec(query.limit(1)).first()

    def runs(self, instance: str, job: str, limit: int = 60) -> Sequence[Run]:
        """A job's runs, the newest first."""
        with self._sessions.reading() as session:
            query = select(Run).where(Run.instance == instance, Run.job == job)
            return session.exec(query.order_by(col(Run.due_at).desc()).limit(limit)).all()

    def open_incidents(self, instance: str | None = None) -> Sequence[Incident]:
        """Everything that is not right now, of an installation or of all, the oldest first."""
        with self._sessions.reading() as session:
            query = select(Incident).where(col(Incident.closed_at).is_(None)).order_by(col(Incident.id))
            return session.exec(query if instance is None else query.where(Incident.instance == instance)).all()

    def change_incidents(self, changes: Changes, at: datetime) -> None:
        """Open, remind of and close incidents, and owe what is told of them, in one transaction."""
        with self._sessions.writing() as session:
            self._enter(session, changes, at)

    def _record(self, run: Run, then: Begin = lambda session, run_id: None) -> int | None:
        """The run's id, or None when its due time was recorded before; `then` is done in the same transaction."""
        try:
            with self._sessions.writing() as session:
                self.fence(session)
                session.add(run)
                session.flush()
                assert run.id is not None  # noqa: S101 - it was flushed
                then(session, run.id)
                return run.id
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):  # the unique constraint: somebody was first
                return None
            raise

    def _seen(self, instance: str, wanted: Mapping[Key, str], at: datetime, *, of_jobs: bool) -> dict[Key, datetime]:
        """What is not wanted any more is forgotten; a clock that was ahead must not hold a schedule back."""
        with self._sessions.writing() as session:
            if session.connection().dialect.name == "postgresql":  # two daemons that start at once take turns
                session.connection().execute(func.pg_advisory_xact_lock(_ONE_AT_A_TIME).select())
            query = select(Schedule).where(Schedule.instance == instance)
            mine = session.exec(query.where((Schedule.source == "") if of_jobs else (Schedule.source != ""))).all()
            known = {Key(row.job, row.source, row.database): row for row in mine}
            for key, row in known.items():
                if key not in wanted:
                    session.delete(row)
            for key, text in wanted.items():
                row = known.setdefault(key, Schedule(instance=instance, **key._asdict(), schedule=text, since=at))
                if row.schedule != text or row.since > at:
                    row.schedule, row.since = text, at
                session.add(row)
            return {key: known[key].since for key in wanted}

    def _enter(self, session: Session, changes: Changes, at: datetime) -> None:
        self.fence(session)
        session.add_all(changes.opened)
        for incident in changes.reminded:
            session.merge(incident).reminded_at = at
        for incident in changes.closed:
            session.merge(incident).closed_at = at
        for alarm in changes.alarms:
            owe_event(session, alarm.event, alarm.endpoints)
