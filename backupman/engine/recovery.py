"""After a crash: every run of this instance that nobody works on any more is settled, or goes on from its spool."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from backupman.config import Config, JobPlan
from backupman.engine.holding import Holding
from backupman.engine.locks import source_lock
from backupman.engine.restoring import Restorer
from backupman.engine.runner import Runner
from backupman.engine.spools import Spools
from backupman.errors import BackupmanError, BusyError
from backupman.logs import about_backup
from backupman.notifiers import Endpoint
from backupman.records import Backup, Restore, Status
from backupman.store import Store

log = logging.getLogger(__name__)

_REASON = "backupman was killed, or the machine went down, while the backup was under way"


class Recovery:
    """Settles what a dead process left.

    Only this instance's runs whose source's lock is free are touched: a live `backupman run` beside us keeps its own.
    What was begun from the state folder of another host is left to that host as long as anything of it lives.
    """

    def __init__(
        self,
        config: Config,
        plans: Sequence[JobPlan],
        endpoints: Sequence[Endpoint],
        store: Store,
        spools: Spools,
        runner: Runner,
        restorer: Restorer,
        holding: Holding | None = None,
    ) -> None:
        self._config = config
        self._plans = {plan.label: plan for plan in plans}
        self._endpoints = endpoints
        self._store = store
        self._spools = spools
        self._runner = runner
        self._restorer = restorer
        self._holding = holding

    def settle(
        self,
        *,
        others: bool = False,
        left: bool = False,
        which: Callable[[Backup | Restore], bool] = lambda record: True,
    ) -> list[Backup]:
        """Settle the dead runs; those whose dump waits in the spool come back, for their uploads to go on.

        With `others`, which one daemon alone may say, also those of hosts of which nothing lives any more; with `left`
        those of living hosts too, which have left them to it.
        """
        resumable = []
        for backup in self._store.backups.pending(self._config.instance):
            if not (which(backup) and self._may_settle(backup, others=others, left=left)):
                continue
            with self._free(backup) as free:
                if free and (unsettled := self._settled(backup)):
                    resumable.append(unsettled)
        for backup in self._store.backups.untidied(self._config.instance):
            with self._free(backup) as free:
                if free:
                    self._spools.tidy(backup)
        for restore in self._store.restores.pending(self._config.instance):
            if which(restore) and self._may_settle(restore, others=others, left=left):
                self._restorer.settle_dead(restore)
        return resumable

    def _may_settle(self, record: Backup | Restore, *, others: bool, left: bool) -> bool:
        if left or self._holding is None or record.home in (None, self._holding.home):
            return True
        return others and not self._holding.lives(record.home)

    @contextmanager
    def _free(self, backup: Backup) -> Iterator[bool]:
        """Whether nobody works on the backup's source; while it lasts nobody begins to."""
        try:
            with source_lock(self._config.state_folder, backup.source, wait=False):
                yield True
        except BusyError:
            yield False

    def _settled(self, backup: Backup) -> Backup | None:
        """Nothing when the backup is settled now, else the backup for its uploads to go on."""
        backup = self._store.backups.get(backup.id)  # as it is now that we hold the lock
        if backup.status != Status.PENDING:
            return None
        if backup.dump_status == Status.FINISHED and all(f.status == Status.FINISHED for f in backup.drive_files):
            self._runner.settle_dead(self._plan(backup), backup, None)
        elif self._can_go_on(backup):
            return self._prepared(backup)
        else:
            self._runner.settle_dead(self._plan(backup), backup, BackupmanError(f"{backup.label}: {_REASON}"))
        return None

    def _can_go_on(self, backup: Backup) -> bool:
        known = self._plans.get(backup.job)
        drives = {drive.label for drive in known.drives} if known else set()
        if drives.isdisjoint(file.label for file in backup.drive_files if file.status != Status.FINISHED):
            return False
        spooled = self._spools.holds(backup) and backup.dump_path and Path(backup.dump_path).exists()
        return bool(spooled and backup.dump_status == Status.FINISHED and known and known.source(backup.source))

    def _prepared(self, backup: Backup) -> Backup:
        """The backup with its unended uploads marked as failed, which is where a retry goes on."""
        with about_backup(backup):
            log.warning("%s: the backup was interrupted; its uploads go on from the spool", backup.label)
        for file in backup.drive_files:
            if file.status == Status.PENDING:
                self._store.backups.change_drive_file(backup.id, file.label, status=Status.FAILED, error=_REASON)
        return self._store.backups.get(backup.id)

    def _plan(self, backup: Backup) -> JobPlan:
        """The backup's job; one that left the config, or its drives, still has them cleaned and its report sent."""
        known = self._plans.get(backup.job)
        if known is None:  # nothing of another job's own: its commands are not meant for this source
            some = next(iter(self._plans.values()))
            known = replace(some, label=backup.job, endpoints=self._endpoints, hooks=self._config.hooks)
        return replace(known, drives=self._config.drives)
