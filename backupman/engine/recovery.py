"""After a crash: every run of this instance that nobody works on any more is settled, or goes on from its spool."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from backupman.config import Config, JobPlan
from backupman.engine.locks import source_lock
from backupman.engine.runner import Runner
from backupman.errors import BackupmanError, BusyError
from backupman.notifiers import Endpoint
from backupman.records import Backup, Status
from backupman.store import Store

log = logging.getLogger(__name__)

_REASON = "backupman was killed, or the machine went down, while the backup was under way"


class Recovery:
    """Settles what a dead process left.

    Only this instance's runs whose source's lock is free are touched: a live `backupman run` beside us and other hosts
    on the same store keep theirs.
    """

    def __init__(
        self, config: Config, plans: Sequence[JobPlan], endpoints: Sequence[Endpoint], store: Store, runner: Runner
    ) -> None:
        self._config = config
        self._plans = plans
        self._endpoints = endpoints
        self._store = store
        self._runner = runner

    def settle(self) -> list[Backup]:
        """Settle the dead runs; those whose dump waits in the spool come back, for their uploads to go on."""
        resumable = []
        for backup in self._store.backups.pending(self._config.instance):
            try:
                with source_lock(self._config.state_folder, backup.source, wait=False):
                    if self._can_go_on(backup):
                        resumable.append(self._prepared(backup))
                    else:
                        sentence = f"{backup.label}: {_REASON}"
                        log.warning("backup %s: %s", backup.id[:8], sentence)
                        self._runner.settle_dead(self._plan(backup), backup, BackupmanError(sentence))
            except BusyError:
                log.info("%s: backup %s is under way in another process", backup.label, backup.id[:8])
        self._store.jobs.end_dead_runs(self._config.instance)
        return resumable

    def _can_go_on(self, backup: Backup) -> bool:
        known = {plan.label: plan for plan in self._plans}.get(backup.job)
        spooled = backup.dump_status == Status.FINISHED and backup.dump_path and Path(backup.dump_path).exists()
        return bool(spooled and known and any(source.label == backup.source for source in known.sources))

    def _prepared(self, backup: Backup) -> Backup:
        """The backup with its unended uploads marked as failed, which is where a retry goes on."""
        log.warning("%s: backup %s was interrupted; its uploads go on from the spool", backup.label, backup.id[:8])
        for file in backup.drive_files:
            if file.status == Status.PENDING:
                self._store.backups.change_drive_file(backup.id, file.label, status=Status.FAILED, error=_REASON)
        return self._store.backups.get(backup.id)

    def _plan(self, backup: Backup) -> JobPlan:
        """The backup's job; one that left the config still has its drives cleaned and its report sent."""
        for plan in self._plans:
            if plan.label == backup.job:
                return plan
        return replace(self._plans[0], label=backup.job, drives=self._config.drives, endpoints=self._endpoints)
