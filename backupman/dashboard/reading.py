"""Copies that are being read back because somebody asked for it on a page: in the background, each backup once."""

import logging
from threading import Lock, Thread

from backupman.daemon import Daemon
from backupman.errors import BackupmanError, BusyError
from backupman.records import Backup

log = logging.getLogger(__name__)

AT_ONCE = 2


class Reading:
    """What is being read back. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ids: set[str] = set()

    def under_way(self, backup_id: str) -> bool:
        """Whether the copies of this backup are being read back."""
        return backup_id in self._ids

    def begin(self, daemon: Daemon, backup: Backup) -> None:
        """Read every copy of a backup back; what comes of it stands in the records, and is told.

        Raises:
            BusyError: it is under way already, or too much else is.
        """
        with self._lock:
            if backup.id in self._ids:
                raise BusyError(f"{backup.label}: its copies are being read back already")
            if len(self._ids) >= AT_ONCE:
                raise BusyError(f"{AT_ONCE} backups are being read back already; wait for one of them to end")
            self._ids.add(backup.id)
        Thread(target=self._read, args=(daemon, backup), name="reading", daemon=True).start()

    def _read(self, daemon: Daemon, backup: Backup) -> None:
        try:
            for _ in daemon.app.verifier.verify([backup]):
                pass
        except BackupmanError as error:
            log.error("%s: the copies could not be read back: %s", backup.label, error.sentence)
        finally:
            with self._lock:
                self._ids.discard(backup.id)
