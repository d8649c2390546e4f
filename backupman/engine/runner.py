"""The life of one backup, from its record to its report: `begin`, `run`, `_conclude` tell it from top to bottom."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Timer

from backupman.config import Config, JobPlan
from backupman.data_plane import DataPlane
from backupman.engine.hooks import run_hooks
from backupman.engine.keeping import OFF, Keeping
from backupman.engine.outcome import Observer, Outcome
from backupman.engine.spools import Spools
from backupman.engine.tasks import abort_task, backup_task, left, upload_task
from backupman.errors import BackupmanError, HookError, TimedOut
from backupman.events import EventKind
from backupman.logs import about_backup
from backupman.naming import object_name
from backupman.records import Backup, DriveFile, Status, new_id, now
from backupman.sources import Source
from backupman.store import Announcement, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """Who asked for a run, and what they said of it.

    `at` is when, where another host has asked: by its clock, which says what is due, no backup of it begins earlier.
    """

    trigger: str = "manual"
    operator: str | None = None
    comment: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None


class Runner:
    """Runs single backups; the executor decides which and when."""

    def __init__(
        self,
        config: Config,
        store: Store,
        spools: Spools,
        observer: Observer,
        config_file: Path,
        keeping: Keeping | None = None,
    ) -> None:
        self._keeping = keeping or Keeping(store, config.instance, OFF)
        self._config = config
        self._store = store
        self._spools = spools
        self._observer = observer
        self._config_file = config_file

    def begin(
        self, plan: JobPlan, source: Source, database: str | None, order: Order, backup_id: str | None = None
    ) -> Backup:
        """Record the backup and the exact names of its objects before anything exists; without an id it gets one."""
        backup_id, at = backup_id or new_id(), now()
        created = max(at, order.at or at)
        part = database if source.many else None
        name = object_name(
            source.label, part, backup_id, created, source.suffix_of(database or "") + plan.pipeline.suffix
        )
        backup = Backup(
            id=backup_id,
            label=f"{source.label}/{part}" if part is not None else source.label,
            job=plan.label,
            source=source.label,
            database=database or "",
            source_provider=source.provider,
            instance=self._config.instance,
            object_name=name,
            spool_path=str(self._spools.path(source, name)),
            home=self._spools.home,
            created_at=created,
            trigger=order.trigger,
            operator=order.operator,
            comment=order.comment,
            tags=dict(order.tags),
            drive_files=[
                DriveFile(
                    backup_id=backup_id,
                    position=position,
                    provider=drive.provider,
                    label=drive.label,
                    required=drive.required,
                    path=drive.path(name),
                )
                for position, drive in enumerate(plan.drives)
            ],
        )
        self._store.backups.begin(backup, _announcements(plan, EventKind.BACKUP_START))
        self._keeping.begin(backup.id)
        self._observer.began(backup)
        return backup

    def run(self, plan: JobPlan, source: Source, backup: Backup, data_plane: DataPlane, lock: int) -> Backup:
        """Dump one database onto every drive of the plan; the settled record, whatever happened."""
        outcome = Outcome(self._store, backup, self._observer)
        try:
            self._hooks(plan, plan.hooks.before_backup, self._values(backup), data_plane.cancelled)
            task = backup_task(self._config, self._spools, plan, source, backup)
            with _deadline(source, data_plane) as met:
                outcome.on_dumped = met
                data_plane.run(task, outcome.take, hand_over=(lock,))
        except BackupmanError as error:
            outcome.failed(data_plane.reason or error)  # a hook that was ended says less
        except Exception as error:  # noqa: BLE001 - whatever it was, the backup is settled and told
            outcome.failed(_unexpected(error))
        return self._conclude(plan, backup, outcome)

    def refuse(self, plan: JobPlan, source: Source, order: Order, error: BackupmanError) -> Backup:
        """The record of a source that failed before its databases were known, reported like any other."""
        return self.give_up(plan, self.begin(plan, source, None, order), error)

    def give_up(self, plan: JobPlan, backup: Backup, error: BackupmanError) -> Backup:
        """The settled record of a backup that was begun and will not be run."""
        outcome = Outcome(self._store, backup, self._observer)
        outcome.failed(error)
        with about_backup(backup):
            return self._conclude(plan, backup, outcome)

    def settle_dead(self, plan: JobPlan, backup: Backup, error: BackupmanError | None) -> Backup:
        """The settled record of a backup whose process died; exactly what it had begun on the drives is removed.

        Without an error it died after its last upload, and only the record was missing.
        """
        outcome = Outcome(self._store, backup, self._observer)
        if error:
            outcome.failed(error)
        self._keeping.begin(backup.id)
        # Also where no phase is recorded: the child may have been quicker than the parent's last words.
        outcome.begun = {file.label for file in backup.drive_files if file.status == Status.PENDING}
        with about_backup(backup):
            if error:
                log.warning("%s", error.sentence)
            return self._conclude(plan, backup, outcome)

    def on_error(self, plan: JobPlan, label: str, error: BackupmanError, drive: str) -> None:
        """Fire the error hooks for what failed beside a backup, for example retention: `engine.hooks.OnError`."""
        values = {
            "label": label,
            "error": error.sentence,
            "output": error.output,
            "configuration_filename": str(self._config_file),
            "repository": drive,
        }
        self._try_hooks(plan, "on_error", values)

    def retry(
        self,
        plan: JobPlan,
        backup: Backup,
        data_plane: DataPlane,
        lock: int,
        begun: Callable[[Sequence[Backup]], None] = lambda backups: None,
    ) -> Backup:
        """Go on from the failed drives alone; the settled record. `begun` is told when it is sure to be tried.

        Raises:
            BackupmanError: there is nothing to go on from.
        """
        backup = self._store.backups.get(backup.id)  # another retry may have ended while this one waited for its turn
        task = upload_task(self._config, plan, backup, self._store.proofs.manifest(backup.id))
        served = {drive.label for drive in task.drives}
        for label in (file.label for file in backup.drive_files if file.status == Status.FAILED):
            again = {"status": Status.PENDING, "error": None} if label in served else {"error": left(plan, label)}
            self._store.backups.change_drive_file(backup.id, label, **again)
        self._store.backups.change(backup.id, status=Status.PENDING)
        backup = self._store.backups.get(backup.id)
        self._keeping.begin(backup.id)
        self._observer.began(backup)
        begun([backup])
        outcome = Outcome(self._store, backup, self._observer)
        try:
            data_plane.run(task, outcome.take, hand_over=(lock,))
        except BackupmanError as error:
            outcome.failed(error)
        except Exception as error:  # noqa: BLE001 - as in `run`
            outcome.failed(_unexpected(error))
        return self._conclude(plan, backup, outcome)

    def _conclude(self, plan: JobPlan, backup: Backup, outcome: Outcome) -> Backup:
        """Clean up what is not needed, settle the record, and let everybody know."""
        self._abort_unended(plan, backup, outcome)
        backup = self._settle(plan, backup, outcome)
        self._spools.tidy(backup)
        values = self._values(backup, self._config.redact(outcome.output))
        failure = self._try_hooks(plan, "after_backup", values)
        if backup.status == Status.FAILED:
            self._try_hooks(plan, "on_error", values)
        elif failure:
            self._try_hooks(plan, "on_error", values | {"error": failure.sentence, "output": failure.output})
        return backup

    def _abort_unended(self, plan: JobPlan, backup: Backup, outcome: Outcome) -> None:
        """Where the child died before it could abort its own uploads, remove exactly what it had begun."""
        begun = outcome.begun - outcome.ended
        if not begun:
            return
        record = self._store.backups.get(backup.id)  # by now it holds the ids of upload sessions
        try:
            DataPlane().run(abort_task(self._config, plan, record, begun))
        except BackupmanError as error:
            outcome.warn(f"what the interrupted upload left could not be removed: {error.sentence}")

    def _settle(self, plan: JobPlan, backup: Backup, outcome: Outcome) -> Backup:
        """One transaction: what came of it, the status that follows from it, the report, and who is owed it."""

        def announce(settled: Backup) -> list[Announcement]:
            good = settled.status == Status.FINISHED
            result = EventKind.BACKUP_SUCCESS if good else EventKind.BACKUP_FAILURE
            return _announcements(plan, EventKind.BACKUP_REPORT, result)

        self._keeping.flush_of(backup.id)  # whoever is told now is told with it
        settled = self._store.backups.settle(backup.id, outcome.enter, announce)
        self._observer.ended(settled)
        self._keeping.end(backup.id)
        return settled

    def _try_hooks(self, plan: JobPlan, kind: str, values: Mapping[str, str]) -> HookError | None:
        """Hooks of something that is settled, which they cannot change any more; what went wrong with them first."""
        failures = []
        for commands in (getattr(plan.hooks, kind), self._config.on_error if kind == "on_error" else []):
            try:
                self._hooks(plan, commands, values)
            except HookError as error:  # of a job's own: those of every job are run all the same
                log.warning("%s: %s", values["label"], error.sentence)
                failures.append(error)
        return failures[0] if failures else None

    def _hooks(
        self,
        plan: JobPlan,
        commands: Sequence[str | Sequence[str]],
        values: Mapping[str, str],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        try:
            run_hooks(commands, values, plan.hooks.timeout, stopped=stopped)
        except HookError as error:  # which repeats what the hook printed
            redact = self._config.redact
            raise HookError(redact(error.sentence), output=redact(error.output)) from None

    def _values(self, backup: Backup, output: str = "") -> dict[str, str]:
        """What the placeholders of hooks stand for."""
        failed = [file.label for file in backup.drive_files if file.status == Status.FAILED]
        stored = [file.path for file in backup.drive_files if file.status == Status.FINISHED and file.path]
        return {
            "label": backup.label,
            "database": backup.database,
            "path": stored[0] if stored else "",
            "error": backup.error or "",
            "output": output,
            "status": backup.status,
            "backup_id": backup.id,
            "configuration_filename": str(self._config_file),
            "repository": failed[0] if failed and backup.dump_status == Status.FINISHED else "",
        }


def _unexpected(error: Exception) -> BackupmanError:
    log.debug("unexpected", exc_info=error)
    return BackupmanError(f"unexpected {type(error).__name__}: {error}; please report it (run with --debug)")


@contextmanager
def _deadline(source: Source, data_plane: DataPlane) -> Iterator[Callable[[], None]]:
    """Ends a dump that takes longer than the source's `timeout`, unless what it gives was called before."""
    if source.timeout is None:
        yield lambda: None
        return
    seconds = source.timeout.total_seconds()
    sentence = f"{source.label}: the dump took longer than its timeout of {seconds:g} s and was ended"
    timer = Timer(seconds, data_plane.cancel, (TimedOut(sentence),))
    timer.daemon = True
    timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()


def _announcements(plan: JobPlan, *kinds: EventKind) -> list[Announcement]:
    return [Announcement(kind, plan.wanting(kind)) for kind in kinds]
