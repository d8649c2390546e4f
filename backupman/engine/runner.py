"""The life of one backup, from its record to its report. `Runner.run` tells the story; read it from top to bottom."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from backupman.config import Config, JobPlan
from backupman.drives import Drive
from backupman.engine.data_plane import DataPlane
from backupman.engine.hooks import run_hooks
from backupman.engine.protocol import (
    BackupTask,
    DriveTask,
    Dumped,
    Message,
    Phase,
    Retrying,
    SessionOpened,
    Uploaded,
    UploadFailed,
    UploadTask,
)
from backupman.engine.spools import Spools
from backupman.errors import BackupmanError, HookError
from backupman.events import BackupExtended, EventKind
from backupman.naming import object_name
from backupman.records import Backup, DriveFile, Status, new_id, now
from backupman.sources import Source
from backupman.store import Announcement, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """Who asked for a run, and what they said of it."""

    trigger: str = "manual"
    operator: str | None = None
    comment: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


class Observer(Protocol):
    """Somebody who watches a run, for example a terminal; it can never disturb it."""

    def began(self, backup: Backup) -> None:
        """A backup was recorded and starts."""

    def heard(self, backup: Backup, message: Message) -> None:
        """The data plane said something."""

    def ended(self, backup: Backup) -> None:
        """A backup is settled."""


class Runner:
    """Runs single backups; the executor decides which and when."""

    def __init__(self, config: Config, store: Store, spools: Spools, observer: Observer, config_file: Path) -> None:
        self._config = config
        self._store = store
        self._spools = spools
        self._observer = observer
        self._config_file = config_file

    def run(
        self, plan: JobPlan, source: Source, database: str, order: Order, data_plane: DataPlane, lock: int
    ) -> Backup:
        """Dump one database onto every drive of the plan; the settled record, whatever happened."""
        backup = self._begin(plan, source, database, order)
        outcome = _Outcome(self._store, backup, self._observer)
        try:
            self._hooks(plan, "before_backup", backup)
            data_plane.run(self._task(plan, source, backup), outcome.take, keep_fds=(lock,))
        except BackupmanError as error:
            outcome.failed(error)
        backup = self._settle(plan, backup, outcome)
        self._spools.tidy(backup)
        self._after(plan, backup, outcome.hook_output)
        return backup

    def refuse(self, plan: JobPlan, source: Source, order: Order, error: BackupmanError) -> Backup:
        """The record of a source that failed before its databases were known, reported like any other."""
        backup = self._begin(plan, source, None, order)
        outcome = _Outcome(self._store, backup, self._observer)
        outcome.failed(error)
        backup = self._settle(plan, backup, outcome)
        self._after(plan, backup, "")
        return backup

    def retry(self, plan: JobPlan, backup: Backup, data_plane: DataPlane, lock: int) -> Backup:
        """Go on from the failed drives alone; the settled record.

        Raises:
            BackupmanError: there is nothing to go on from.
        """
        task = self._upload_task(plan, backup)
        for drive in task.drives:
            self._store.backups.change_drive_file(backup.id, drive.label, status=Status.PENDING, error=None)
        self._store.backups.change(backup.id, status=Status.PENDING)
        backup = self._store.backups.get(backup.id)
        self._observer.began(backup)
        outcome = _Outcome(self._store, backup, self._observer)
        try:
            data_plane.run(task, outcome.take, keep_fds=(lock,))
        except BackupmanError as error:
            outcome.failed(error)
        backup = self._settle(plan, backup, outcome)
        self._spools.tidy(backup)
        self._after(plan, backup, "")
        return backup

    def _begin(self, plan: JobPlan, source: Source, database: str | None, order: Order) -> Backup:
        """Record the backup and the exact names of its objects before anything exists."""
        backup_id, created = new_id(), now()
        part = database if source.many else None
        name = object_name(source.label, part, backup_id, created, source.suffix + plan.pipeline.suffix)
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
        log.info("%s: backup %s starts", backup.label, backup.id[:8])
        self._observer.began(backup)
        return backup

    def _task(self, plan: JobPlan, source: Source, backup: Backup) -> BackupTask:
        spool = Path(backup.spool_path or "")
        return BackupTask(
            source=source.revealed(),
            database=backup.database,
            pipeline=plan.pipeline.model_dump(mode="json"),
            spool=spool,
            keep_free=self._spools.keep_free(spool),
            max_size=self._config.spool.max_size,
            object_name=backup.object_name,
            sidecar=_sidecar(plan, backup),
            drives=[DriveTask(label=drive.label, settings=drive.revealed()) for drive in plan.drives],
            retry=self._config.retry.policy(),
        )

    def _upload_task(self, plan: JobPlan, backup: Backup) -> UploadTask:
        failed = {file.label: file for file in backup.drive_files if file.status == Status.FAILED}
        drives: dict[str, Drive] = {drive.label: drive for drive in plan.drives if drive.label in failed}
        if gone := sorted(failed.keys() - drives.keys()):
            raise BackupmanError(f"{backup.label}: the drive {gone[0]!r} is not in the config any more", permanent=True)
        if not failed:
            raise BackupmanError(f"{backup.label}: no upload of this backup has failed", permanent=True)
        if not backup.dump_path or not Path(backup.dump_path).exists():
            raise BackupmanError(
                f"{backup.label}: its dump is not in the spool any more; make a new one with "
                f"`backupman run --source {backup.source!r}`",
                permanent=True,
            )
        stored = {"StoredSize": backup.stored_size, "Sha256": backup.sha256}
        content = {} if plan.pipeline.encryption else {"Size": backup.size, "Facts": backup.facts}
        return UploadTask(
            spool=Path(backup.dump_path),
            object_name=backup.object_name,
            sidecar=_sidecar(plan, backup) | stored | content,
            sha256=backup.sha256 or "",
            drives=[
                DriveTask(label=label, settings=drive.revealed(), leftover_session=failed[label].session)
                for label, drive in drives.items()
            ],
            retry=self._config.retry.policy(),
        )

    def _settle(self, plan: JobPlan, backup: Backup, outcome: "_Outcome") -> Backup:
        """One transaction: what came of it, the status that follows from it, the report, and who is owed it."""

        def announce(settled: Backup) -> list[Announcement]:
            good = settled.status == Status.FINISHED
            result = EventKind.BACKUP_SUCCESS if good else EventKind.BACKUP_FAILURE
            return _announcements(plan, EventKind.BACKUP_REPORT, result)

        settled = self._store.backups.settle(backup.id, outcome.enter, announce)
        log.info("%s: backup %s has %s%s", settled.label, settled.id[:8], settled.status, _because(settled))
        self._observer.ended(settled)
        return settled

    def _after(self, plan: JobPlan, backup: Backup, output: str) -> None:
        kinds = ["after_backup"] + (["on_error"] if backup.status == Status.FAILED else [])
        for kind in kinds:
            try:
                self._hooks(plan, kind, backup, output)
            except HookError as error:  # the backup is settled: a hook cannot change it any more
                log.warning("%s: %s", backup.label, error.sentence)

    def _hooks(self, plan: JobPlan, kind: str, backup: Backup, output: str = "") -> None:
        commands = list(getattr(plan.hooks, kind))
        if kind == "on_error":
            commands += self._config.on_error
        run_hooks(commands, self._values(backup, output), plan.hooks.timeout)

    def _values(self, backup: Backup, output: str) -> dict[str, str]:
        failed = [file for file in backup.drive_files if file.status == Status.FAILED]
        return {
            "label": backup.label,
            "database": backup.database,
            "path": next((file.path or "" for file in backup.drive_files if file.status == Status.FINISHED), ""),
            "error": backup.error or "",
            "output": output,
            "status": backup.status,
            "backup_id": backup.id,
            "configuration_filename": str(self._config_file),
            "repository": failed[0].label if failed and backup.dump_status == Status.FINISHED else "",
        }


class _Outcome:
    """Records what the data plane says as it says it, and gathers what is entered when the backup is settled."""

    def __init__(self, store: Store, backup: Backup, observer: Observer) -> None:
        self._store = store
        self._backup = backup
        self._observer = observer
        self._started = time.monotonic()
        self._error: BackupmanError | None = None
        self._warnings: list[str] = []
        self.hook_output = ""

    def take(self, message: Message) -> None:
        """One message of the data plane."""
        backup_id, backups = self._backup.id, self._store.backups
        match message:
            case Phase():
                backups.change(backup_id, phase=message.phase)
            case SessionOpened():
                backups.change_drive_file(backup_id, message.label, session=message.session)
            case Dumped():
                self._warnings += message.warnings
                backups.change(
                    backup_id,
                    dump_status=Status.FINISHED,
                    dump_path=self._backup.spool_path,
                    size=message.size,
                    stored_size=message.stored_size,
                    sha256=message.sha256,
                    dump_seconds=message.seconds,
                    facts=message.facts,
                )
            case Uploaded():
                if message.sidecar_error:
                    self._warnings.append(f"the manifest could not be stored: {message.sidecar_error}")
                self._enter_upload(message, Status.FINISHED, error=None, **_about(message))
            case UploadFailed():
                self._enter_upload(message, Status.FAILED, error=message.error)
            case Retrying():
                log.warning("%s: %s; trying again", self._backup.label, message.error)
            case _:
                pass
        self._observer.heard(self._backup, message)

    def _enter_upload(self, message: Uploaded | UploadFailed, status: Status, **fields: object) -> None:
        backups, backup_id = self._store.backups, self._backup.id
        backups.change_drive_file(
            backup_id,
            message.label,
            status=status,
            attempts=message.attempts,
            seconds=message.seconds,
            session=None,
            **fields,
        )

    def failed(self, error: BackupmanError) -> None:
        """The backup ended with an error of its own, not only a drive's."""
        self._error = error
        if isinstance(error, HookError):
            self.hook_output = error.output

    def enter(self, backup: Backup) -> None:
        """Everything that is known now, into the record; called inside the transaction that settles it."""
        if backup.dump_status == Status.PENDING:
            backup.dump_status = Status.FAILED
        for file in backup.drive_files:
            if file.status == Status.PENDING:
                file.status, file.error, file.updated_at = Status.FAILED, self._sentence(), now()
            if file.status == Status.FINISHED:
                file.size, file.sha256 = backup.stored_size, backup.sha256
        backup.warnings = [*backup.warnings, *self._warnings]
        backup.seconds = time.monotonic() - self._started
        backup.error = self._error.sentence if self._error else _drives_errors(backup)
        if backup.dump_status == Status.FAILED or not _uploads_failed(backup):
            backup.dump_path = None  # the spool goes with a failed dump, and is not needed after the last upload

    def _sentence(self) -> str:
        return self._error.sentence if self._error else "the upload did not end"


def _about(message: Uploaded) -> dict[str, object]:
    return {"ref": message.ref, "sidecar_ref": message.sidecar_ref, "checksums": message.checksums}


def _uploads_failed(backup: Backup) -> bool:
    return any(file.status == Status.FAILED for file in backup.drive_files)


def _drives_errors(backup: Backup) -> str | None:
    errors = [file.error for file in backup.drive_files if file.status == Status.FAILED and file.error]
    return "; ".join(dict.fromkeys(errors)) or None


def _announcements(plan: JobPlan, *kinds: EventKind) -> list[Announcement]:
    return [
        Announcement(kind, [endpoint.name for endpoint in plan.endpoints if kind in endpoint.events]) for kind in kinds
    ]


def _sidecar(plan: JobPlan, backup: Backup) -> dict[str, object]:
    """The manifest as far as it is known before the dump; nothing of it tells about the content."""
    report = BackupExtended.of(backup).document()
    known = {key: report[key] for key in ("Id", "Label", "Job", "Source", "Database", "SourceProvider", "Instance")}
    encryption = "age" if plan.pipeline.encryption else None
    pipeline = {"Compression": plan.pipeline.compression.method, "Encryption": encryption}
    return known | {"CreatedAt": report["CreatedAt"], "Object": backup.object_name} | pipeline


def _because(backup: Backup) -> str:
    return f": {backup.error}" if backup.error else ""
