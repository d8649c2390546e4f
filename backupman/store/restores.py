"""Restores on record: begun before the first statement, settled once."""

from collections.abc import Callable, Sequence

from sqlmodel import col, select

from backupman.errors import NotFoundError
from backupman.records import Event, Restore, Status
from backupman.store._ids import begins
from backupman.store._sessions import Sessions
from backupman.store.outbox import owe_event

Announce = Callable[[Restore], tuple[Event, Sequence[str]]]
"""The event of a restore, and the names of the endpoints that are told of it."""


class Restores:
    """The records of restores."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def begin(self, restore: Restore, announce: Announce) -> Restore:
        """Record a restore, and owe its event, in one transaction."""
        with self._sessions.writing() as session:
            session.add(restore)
            session.flush()
            owe_event(session, *announce(restore))
        return restore

    def settle(self, restore_id: str, enter: Callable[[Restore], None], announce: Announce) -> Restore:
        """Let `enter` write down what came of it, and owe the event, in one transaction; one that is settled stays so.

        Raises:
            NotFoundError: there is no such restore.
        """
        with self._sessions.writing() as session:
            restore = session.get(Restore, restore_id, with_for_update=True)
            if restore is None:
                raise NotFoundError(f"there is no restore {restore_id!r}")
            if restore.status == Status.PENDING:
                enter(restore)
                session.flush()
                owe_event(session, *announce(restore))
        return restore

    def get(self, name: str) -> Restore:
        """The restore of that id, or of that unique beginning of an id. Raises NotFoundError."""
        with self._sessions.reading() as session:
            found = session.exec(select(Restore).where(begins(col(Restore.id), name)).limit(2)).all()
        if len(found) == 1 and name:
            return found[0]
        if found:
            raise NotFoundError(f"several restores begin with {name!r}; write more of the id")
        raise NotFoundError(f"there is no restore {name!r}; see `backupman restores`")

    def list(self, backup_id: str | None = None, limit: int | None = None) -> Sequence[Restore]:
        """The restores of a backup, or all, the newest first."""
        with self._sessions.reading() as session:
            query = select(Restore).order_by(col(Restore.created_at).desc(), col(Restore.id).desc()).limit(limit)
            return session.exec(query.where(Restore.backup_id == backup_id) if backup_id else query).all()

    def pending(self, instance: str) -> Sequence[Restore]:
        """An instance's restores that are not settled, the oldest first."""
        with self._sessions.reading() as session:
            query = select(Restore).where(Restore.status == Status.PENDING, Restore.instance == instance)
            return session.exec(query.order_by(col(Restore.created_at))).all()
