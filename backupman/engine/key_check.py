"""Shows that a key opens encrypted backups: on whatever host has the key, by as little of a copy as proves it."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backupman.config import Config
from backupman.data_plane import DataPlane
from backupman.engine.restores import ending_of
from backupman.engine.spools import Spools
from backupman.engine.verify_tasks import VerifyTasks
from backupman.errors import BackupmanError, ConfigError
from backupman.records import Backup, DriveFile, Status, Verification
from backupman.store import Store
from backupman.store.proofs import KEY


@dataclass(frozen=True)
class Opened:
    """What came of a backup: the drive whose copy was opened, or why none was."""

    backup: Backup
    drive: str | None
    error: str | None


class KeyCheck:
    """Tries keys on the copies of backups."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        self._tasks = VerifyTasks(config, Spools(config, store))

    def check(self, backups: Iterable[Backup], identities: Sequence[str], *, whole: bool) -> Iterator[Opened]:
        """Each backup, from its first copy that opens. Raises ConfigError for one that is not encrypted."""
        for backup in backups:
            if not ending_of(self._config, backup).endswith(".age"):
                raise ConfigError(f"{backup.label}: backup {backup.id[:8]} is not encrypted: it needs no key")
            yield self._tried(backup, identities, whole=whole)

    def _tried(self, backup: Backup, identities: Sequence[str], *, whole: bool) -> Opened:
        errors = []
        for file in backup.drive_files:
            if file.status != Status.FINISHED:
                continue
            started = time.monotonic()
            error = self._error(backup, file, identities, whole=whole)
            self._note(backup, file, error, time.monotonic() - started)
            if error is None:
                return Opened(backup, file.label, None)
            errors.append(error)
        return Opened(backup, None, "; ".join(errors) or f"{backup.label}: no drive holds the backup")

    def _error(self, backup: Backup, file: DriveFile, identities: Sequence[str], *, whole: bool) -> str | None:
        try:
            task = self._tasks.task(backup, file, "checksum", (), Path())
            DataPlane().run(task.model_copy(update={"level": KEY, "identities": list(identities), "whole": whole}))
        except BackupmanError as error:
            return error.sentence
        return None

    def _note(self, backup: Backup, file: DriveFile, error: str | None, seconds: float) -> None:
        self._store.proofs.note(
            Verification(
                backup_id=backup.id,
                instance=self._config.instance,
                drive=file.label,
                level=KEY,
                good=error is None,
                error=error,
                seconds=seconds,
                details={"Source": backup.source, "Database": backup.database},
            )
        )
