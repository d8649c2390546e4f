"""Makes the record of a copy anew, from the sidecar that stands beside it."""

from backupman.config import Config
from backupman.drives import Drive
from backupman.engine.comparing import Found
from backupman.errors import BackupmanError
from backupman.records import Backup, DriveFile, Status
from backupman.store import Store


def adopt(config: Config, store: Store, drive: Drive, found: Found) -> Backup:
    """Take an orphan into the records, as this installation's; its backup.

    Raises:
        BackupmanError: it is not what its sidecar says, or stands against what is on record.
    """
    sidecar, held = found.sidecar, found.object
    assert sidecar is not None and held is not None  # noqa: S101 - an orphan has both
    if held.size != sidecar.stored_size:
        raise BackupmanError(
            f"it has {held.size or 0:,} bytes, and its sidecar says {sidecar.stored_size:,}: it is damaged",
            permanent=True,
        )
    if (digest := held.checksums.get("sha256", sidecar.sha256)) != sidecar.sha256:
        raise BackupmanError(f"its sha256 is {digest}, and its sidecar says another: it is damaged", permanent=True)
    dumped_at = sidecar.dumped_at or sidecar.created_at
    backup = Backup(
        id=sidecar.id,
        dump_status=Status.FINISHED,
        label=sidecar.label,
        job=sidecar.job,
        source=sidecar.source,
        database=sidecar.database,
        source_provider=sidecar.source_provider,
        instance=config.instance,
        trigger=sidecar.trigger,
        object_name=sidecar.object,
        size=sidecar.size,
        stored_size=sidecar.stored_size,
        sha256=sidecar.sha256,
        warnings=sidecar.warnings,
        facts=sidecar.facts,
        dump_seconds=max((dumped_at - sidecar.created_at).total_seconds(), 0) if sidecar.dumped_at else None,
        created_at=sidecar.created_at,
        updated_at=dumped_at,
        finished_at=dumped_at,
    )
    file = DriveFile(
        backup_id=sidecar.id,
        position=config.drive_labels.index(drive.label),
        provider=drive.provider,
        label=drive.label,
        required=drive.required,
        status=Status.FINISHED,
        path=drive.path(sidecar.object),
        ref=held.ref,
        sidecar_ref=found.sidecar_ref,
        size=sidecar.stored_size,
        sha256=sidecar.sha256,
        checksums=dict(held.checksums),
        created_at=sidecar.created_at,
        updated_at=dumped_at,
    )
    adopted = store.catalogue.adopt(backup, file)
    if sidecar.manifest and store.proofs.manifest(sidecar.id) is None:
        store.proofs.keep_manifest(sidecar.id, sidecar.manifest)
    return adopted
