"""The lines that were logged about each backup: a record for each, bounded, the newest lines kept."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Field, SQLModel

from backupman.columns import Utc, text_column
from backupman.records import now
from backupman.store._sessions import Sessions

MOST = 2_000
"""Lines of one backup."""


class RunLog(SQLModel, table=True):
    """What was logged about one backup, a line each."""

    __tablename__ = "backupman_run_logs"

    backup_id: str = Field(primary_key=True, max_length=36)
    instance: str = Field(max_length=255)
    lines: str | None = Field(default=None, sa_column=text_column())
    updated_at: datetime = Field(default_factory=now, sa_type=Utc)


class RunLogs:
    """The logs of backups."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def append(self, backup_id: str, instance: str, lines: Sequence[str]) -> None:
        """Add lines behind those that are there; the oldest go where there are too many."""
        with self._sessions.writing() as session:
            log = session.get(RunLog, backup_id) or RunLog(backup_id=backup_id, instance=instance)
            log.lines = "\n".join([*_lines(log), *lines][-MOST:])
            log.updated_at = now()
            session.add(log)

    def of(self, backup_id: str) -> list[str]:
        """The lines about a backup, the oldest first; none where nothing was kept."""
        with self._sessions.reading() as session:
            log = session.get(RunLog, backup_id)
            return _lines(log) if log else []


def _lines(log: RunLog) -> list[str]:
    return log.lines.split("\n") if log.lines else []
