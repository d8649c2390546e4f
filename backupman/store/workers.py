"""The workers of a fleet: which there are, what they take, and when they were last heard of, by PostgreSQL's clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import col, select

from backupman.records import Assignment, AssignmentState, Claim, Worker
from backupman.store._sessions import Sessions
from backupman.store.claims import NOW


@dataclass(frozen=True)
class KnownWorker:
    """A worker on record, whether it lives, and what it has under way."""

    worker: Worker
    lives: bool
    doing: Sequence[Assignment]


def worker_claim(home: str) -> str:
    """The name of the claim that the worker of a state folder holds as long as it lives."""
    return f"worker {home}"


class Workers:
    """The workers of all installations. Only on PostgreSQL."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def come(self, worker: Worker) -> None:
        """A worker has started; what was known of its state folder is replaced."""
        with self._sessions.writing() as session:
            session.merge(worker)

    def beat(self, home: str) -> None:
        """A worker lives."""
        with self._sessions.writing() as session:
            session.connection().execute(
                text(f"UPDATE backupman_workers SET heard_at = {NOW} WHERE home = :home"),  # noqa: S608 - of constants
                {"home": home},
            )

    def go(self, home: str, at: datetime) -> None:
        """A worker ends in good order."""
        with self._sessions.writing() as session:
            if worker := session.get(Worker, home):
                worker.stopped_at = at

    def forget(self, instance: str, before: datetime) -> None:
        """Let go of workers of which nothing was heard since then; never of one that lives, whatever a clock says."""
        living = self.living(instance)
        with self._sessions.writing() as session:
            old = select(Worker).where(Worker.instance == instance, col(Worker.heard_at) < before)
            for worker in session.exec(old.where(col(Worker.holder).not_in(living))):
                session.delete(worker)

    def lives(self, instance: str, home: str) -> bool:
        """Whether the worker of a state folder lives."""
        with self._sessions.reading() as session:
            worker = session.get(Worker, home)
        return worker is not None and worker.holder in self.living(instance)

    def living(self, instance: str) -> set[str]:
        """The processes (their ids as holders) of the workers that live."""
        with self._sessions.reading() as session:
            alive = select(Claim.holder).where(
                Claim.instance == instance, col(Claim.name).startswith(worker_claim("")), text(f"until >= {NOW}")
            )
            return set(session.exec(alive))

    def all(self, instance: str) -> Sequence[KnownWorker]:
        """Every worker on record, in the order of their hosts."""
        living = self.living(instance)
        with self._sessions.reading() as session:
            workers = session.exec(
                select(Worker).where(Worker.instance == instance).order_by(col(Worker.host), col(Worker.home))
            ).all()
            doing = session.exec(
                select(Assignment)
                .where(Assignment.instance == instance, Assignment.state == AssignmentState.RUNNING)
                .order_by(col(Assignment.started_at))
            ).all()
        return [
            KnownWorker(worker, worker.holder in living, [each for each in doing if each.holder == worker.holder])
            for worker in workers
        ]
