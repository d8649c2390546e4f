"""Which copies are removed by age: a pure rule with its floor, and the pruner that carries it out.

The last finished copy of a (source, database) on a drive is never removed, an object that cannot be deleted stops
nothing, and a record goes only when its object is gone.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from backupman.config import Config, JobPlan
from backupman.drives import Drive
from backupman.engine.data_plane import DataPlane
from backupman.engine.protocol import Deleted, DeleteTask, DriveTask, Message
from backupman.errors import BackupmanError, DriveError
from backupman.records import Backup, DriveFile, Status, now
from backupman.sources import Source
from backupman.store import Store

log = logging.getLogger(__name__)


def expired(files: Iterable[DriveFile], keep: timedelta, at: datetime) -> list[DriveFile]:
    """The finished copies older than `keep`, but never the newest of a (source, database, drive)."""
    seen: set[tuple[str, str, str]] = set()
    found = []
    finished = (file for file in files if file.status == Status.FINISHED)
    for file in sorted(finished, key=lambda file: file.backup.created_at, reverse=True):
        of = (file.backup.source, file.backup.database, file.label)
        if of in seen and at - file.backup.created_at > keep:
            found.append(file)
        seen.add(of)
    return found


class Pruner:
    """Removes what the retention of a job lets go."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store

    def prune(self, plan: JobPlan, source: Source, backups: Sequence[Backup]) -> list[DriveError]:
        """Apply the plan's retention to the databases of a source that have just finished; what went wrong."""
        if not plan.retention:
            return []
        databases = {backup.database for backup in backups if backup.status == Status.FINISHED}
        files = self._store.backups.finished_files(plan.label, source.label, databases)
        gone = expired(files, timedelta(days=plan.retention.value), now())
        errors: list[DriveError] = []
        for drive in plan.drives:
            on_drive = [file for file in gone if file.label == drive.label]
            if on_drive and drive.capabilities.deletes:
                errors += self._remove(drive, on_drive)
        return errors

    def _remove(self, drive: Drive, files: Sequence[DriveFile]) -> list[DriveError]:
        """Remove objects with their sidecars; each record goes with its object."""
        errors: list[DriveError] = []

        def take(message: Message) -> None:
            if not isinstance(message, Deleted):
                return
            file = files[message.index]
            if message.error is None:
                log.info("%s: removed %s, older than the retention allows", drive.label, file.path)
                self._store.backups.forget_file(file.id)
            else:
                errors.append(DriveError(f"retention could not remove {file.path}: {message.error}"))

        task = DeleteTask(
            drive=DriveTask(label=drive.label, settings=drive.revealed()),
            refs=[[ref for ref in (file.ref, file.sidecar_ref) if ref] for file in files],
            retry=self._config.retry.policy(),
        )
        try:
            DataPlane().run(task, take)
        except BackupmanError as error:
            errors.append(DriveError(f"retention on {drive.label} failed: {error.sentence}"))
        for failure in errors:
            log.warning("%s", failure.sentence)
        return errors
