"""The spool folder: where each dump passes through, what stays there for a retry, and for how long."""

import logging
import os
import shutil
from datetime import timedelta
from pathlib import Path

from backupman.config import Config
from backupman.engine.holding import Holding
from backupman.logs import about_backup
from backupman.records import Backup, Status, now
from backupman.sources import Source
from backupman.store import Store

_MIN_FREE = 2**30
_MIN_FREE_SHARE = 0.05

log = logging.getLogger(__name__)


class Spools:
    """At most one kept spool per (source, database): a newer one replaces it, and none stays longer than `keep`.

    Those of another installation with the same records are its own to remove.
    """

    def __init__(self, config: Config, store: Store, holding: Holding | None = None) -> None:
        self.folder = (config.spool.folder or config.state_folder / "spool").absolute()
        self._min_free = config.spool.min_free
        self._instance = config.instance
        self._keep: timedelta = config.spool.keep
        self._store = store
        self._holding = holding

    @property
    def home(self) -> str | None:
        """The id of the state folder, where several hosts share the records."""
        return self._holding.home if self._holding else None

    def holds(self, backup: Backup) -> bool:
        """Whether the backup's spool would be here, and not on another host."""
        return backup.home in (None, self.home)

    def path(self, source: Source, name: str) -> Path:
        """Where the dump of that object name is spooled; absolute, because children and retries must find it."""
        return (source.tmp_folder or self.folder).absolute() / name.rsplit("/", 1)[-1]

    def keep_free(self, spool: Path) -> int:
        """Bytes that must stay free on the spool's disk."""
        if self._min_free is not None:
            return self._min_free
        # not Path.exists, which raises where a folder may not be entered: whoever writes there says it
        existing = next(folder for folder in spool.parents if os.path.exists(folder))  # noqa: PTH110
        return min(int(shutil.disk_usage(existing).total * _MIN_FREE_SHARE), _MIN_FREE)

    def tidy(self, backup: Backup) -> None:
        """After a backup was settled: remove its spool unless a retry needs it, and those that it replaces."""
        if not self.holds(backup):
            return  # its own host does
        spool = Path(backup.spool_path or "")
        if backup.dump_path is None and backup.spool_path:
            _remove(spool)
        _remove(spool.with_name(spool.name + ".part"))  # a child that died leaves it
        shutil.rmtree(spool.with_name(spool.name + ".work"), ignore_errors=True)
        if backup.dump_path is None:
            self._store.backups.forget_spool(backup.id)
        if backup.dump_status != Status.FINISHED:
            return
        kept = self._store.backups.kept_spools(self._instance, backup.source, backup.database)
        for older in filter(self.holds, kept):
            if older.id != backup.id and older.created_at <= backup.created_at and older.status != Status.PENDING:
                self.drop(older, "a newer dump replaces it")

    def expire(self) -> None:
        """Remove the spools that were kept long enough."""
        for backup in self._store.backups.spooled(self._instance):
            if self.holds(backup) and backup.status != Status.PENDING and now() - backup.created_at > self._keep:
                self.drop(backup, f"it was kept for {self._keep}")

    def drop(self, backup: Backup, reason: str) -> None:
        """Remove the kept spool of a backup."""
        with about_backup(backup):
            log.info("%s: the spooled dump is removed: %s", backup.label, reason)
        _remove(Path(backup.dump_path or backup.spool_path or ""))
        self._store.backups.change(backup.id, dump_path=None)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("the spooled dump %s cannot be removed: %s", path, error.strerror)
