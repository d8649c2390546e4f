"""The tasks that the data plane's child is given: everything it may know, from the plan and the record."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from backupman import sidecar
from backupman.config import Config, JobPlan
from backupman.data_plane.tasks import AbortTask, BackupTask, DriveTask, UploadTask
from backupman.drives import Drive
from backupman.engine.restore_txt import restore_txt
from backupman.engine.restores import ending_of
from backupman.engine.spools import Spools
from backupman.errors import BackupmanError
from backupman.events import BackupExtended
from backupman.manifest import Manifest
from backupman.naming import slug
from backupman.pipeline import Pipeline, method_of
from backupman.records import Backup, Status
from backupman.sources import Source


def backup_task(config: Config, spools: Spools, plan: JobPlan, source: Source, backup: Backup) -> BackupTask:
    """Dump the backup's database onto every drive of the plan."""
    spool = Path(backup.spool_path or "")
    return BackupTask(
        source=source.revealed(),
        pace=_pace(config, f"source:{slug(source.label)}"),  # which no drive's slug can be
        database=backup.database,
        pipeline=plan.pipeline.model_dump(mode="json"),
        spool=spool,
        keep_free=spools.keep_free(spool),
        max_size=config.spool.max_size,
        object_name=backup.object_name,
        sidecar=_known(backup, plan.pipeline.compression.method, encrypted=plan.pipeline.encryption is not None),
        drives=[drive_task(config, drive) for drive in plan.drives],
        parallel=plan.max_parallel_uploads,
        restore_txt=restore_txt(source),
        retry=config.retry.policy(),
    )


def upload_task(config: Config, plan: JobPlan, backup: Backup, manifest: Manifest | None) -> UploadTask:
    """Put the backup's spooled dump onto the drives that failed, as far as they are in the job still.

    Raises:
        BackupmanError: no upload failed, all drives that did left the job, or the spooled dump is gone.
    """
    failed = {file.label: file for file in backup.drive_files if file.status == Status.FAILED}
    drives = {drive.label: drive for drive in plan.drives if drive.label in failed}
    if not failed:
        raise BackupmanError(f"{backup.label}: no upload of this backup has failed", permanent=True)
    if not drives:
        raise BackupmanError(left(plan, next(iter(failed))), permanent=True)
    if not backup.dump_path or not Path(backup.dump_path).exists():
        held = any(file.status == Status.FINISHED for file in backup.drive_files)
        how = (
            f"copy it from another drive by `backupman reconcile --drive {next(iter(drives))!r} --fix`"
            if held
            else f"make a new one by `backupman run --source {backup.source!r}`"
        )
        raise BackupmanError(f"{backup.label}: its dump is not in the spool any more; {how}", permanent=True)
    source = plan.source(backup.source)
    return UploadTask(
        spool=Path(backup.dump_path),
        object_name=backup.object_name,
        sidecar=whole_sidecar(config, plan.pipeline, backup, manifest),
        sha256=backup.sha256 or "",
        drives=[drive_task(config, drive, failed[label].session) for label, drive in drives.items()],
        parallel=plan.max_parallel_uploads,
        restore_txt=restore_txt(source) if source else None,
        retry=config.retry.policy(),
    )


def left(plan: JobPlan, drive: str) -> str:
    """Why nothing goes to a drive of an earlier backup."""
    return f"the drive {drive!r} is not in the job {plan.label!r} any more"


def abort_task(config: Config, plan: JobPlan, backup: Backup, labels: set[str]) -> AbortTask:
    """Remove what the backup's uploads left on the drives of those labels."""
    files = {file.label: file for file in backup.drive_files}
    drives = [drive_task(config, drive, files[drive.label].session) for drive in plan.drives if drive.label in labels]
    return AbortTask(object_name=backup.object_name, drives=drives, retry=config.retry.policy())


def drive_task(config: Config, drive: Drive, session: str | None = None) -> DriveTask:
    """A drive as the child needs it; `session` is what an upload that has failed has left open there."""
    pace = _pace(config, slug(drive.label))
    return DriveTask(label=drive.label, settings=drive.revealed(), leftover_session=session, pace=pace)


def _pace(config: Config, name: str) -> Path:
    """The file in which all processes keep the pace of a drive or source."""
    return config.state_folder.absolute() / "bandwidth" / name


def whole_sidecar(config: Config, pipeline: Pipeline, backup: Backup, manifest: Manifest | None) -> dict[str, Any]:
    """The sidecar of a dump that was made earlier, perhaps through another pipeline: its name says how."""
    ending = ending_of(config, backup)
    return sidecar.document(
        _known(backup, method_of(ending), encrypted=ending.endswith(".age")),
        stored_size=backup.stored_size or 0,
        sha256=backup.sha256 or "",
        dumped_at=backup.created_at + timedelta(seconds=backup.dump_seconds or 0),
        content=sidecar.Content(size=backup.size, facts=backup.facts, warnings=backup.warnings, manifest=manifest),
        seal=pipeline.encryption.armored if pipeline.encryption else None,
    )


def _known(backup: Backup, compression: str, *, encrypted: bool) -> dict[str, Any]:
    """The sidecar as far as it is known before the dump; nothing of it tells about the content."""
    report = BackupExtended.of(backup).document()
    keys = ("Id", "Label", "Job", "Source", "Database", "SourceProvider", "Instance", "Trigger", "CreatedAt")
    pipeline = {"Compression": compression, "Encryption": "age" if encrypted else None}
    return {key: report[key] for key in keys} | {"Object": backup.object_name} | pipeline
