"""Keeps what is logged about a backup while it is under way, so that notifiers and people can read it later."""

import logging
from collections import deque
from threading import Lock

from backupman.errors import StoreError
from backupman.logs import kept_line, subject_of
from backupman.store import Store
from backupman.store.run_logs import MOST

log = logging.getLogger(__name__)

OFF, USUAL = -2, 1
LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}
"""What `monitoring_verbosity` lets in, as borgmatic's; OFF lets in nothing."""

_ENGINE = logging.getLogger("backupman.engine")


class Keeping(logging.Handler):
    """Hears what the engine logs, and stores what is about backups that were begun and not ended. Thread-safe."""

    def __init__(self, store: Store, instance: str, verbosity: int) -> None:
        super().__init__(LEVELS.get(verbosity, logging.CRITICAL + 1))
        self._store = store
        self._instance = instance
        self._verbosity = verbosity
        self._guard = Lock()
        self._lines: dict[str, deque[str]] = {}
        if verbosity > OFF:
            _ENGINE.addHandler(self)
            _set_level()

    def begin(self, backup_id: str) -> None:
        """Keep what is logged about this backup from now on."""
        if self._verbosity > OFF:
            with self._guard:
                self._lines.setdefault(backup_id, deque(maxlen=MOST))

    def flush_of(self, backup_id: str) -> None:
        """Store what was heard so far: before somebody is told of the backup."""
        with self._guard:
            heard = self._lines.get(backup_id)
            lines = list(heard or [])
            if heard:
                heard.clear()
        if not lines:
            return
        try:
            self._store.run_logs.append(backup_id, self._instance, lines)
        except StoreError as error:  # a backup does not fail for its log
            log.warning("the log of a backup is not kept: %s", error.sentence)

    def flush(self) -> None:
        """Store what was heard so far of all backups that are under way, for who looks from another host."""
        with self._guard:
            under_way = list(self._lines)
        for backup_id in under_way:
            self.flush_of(backup_id)

    def end(self, backup_id: str) -> None:
        """Store the rest, and keep no more about it."""
        self.flush_of(backup_id)
        with self._guard:
            self._lines.pop(backup_id, None)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record if it is about a backup that is under way."""
        backup_id = subject_of(record).get("backup_id", "")
        if backup_id not in self._lines:
            return
        try:
            line = kept_line(record)
        except Exception:  # noqa: BLE001 - as every handler: a record that cannot be formed ends nothing
            self.handleError(record)
            return
        with self._guard:
            heard = self._lines.get(backup_id)
            if heard is not None:
                heard.append(line)

    def close(self) -> None:
        """Hear no more."""
        _ENGINE.removeHandler(self)
        _set_level()
        super().close()


def _set_level() -> None:
    """Let through what somebody keeps; what is shown is decided where it is shown."""
    levels = [handler.level for handler in _ENGINE.handlers if isinstance(handler, Keeping)]
    _ENGINE.setLevel(min(levels) if levels else logging.NOTSET)
