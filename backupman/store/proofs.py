"""Manifests and verifications on record."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from backupman.drills import DrillReport
from backupman.manifest import Manifest, ManifestShown
from backupman.records import Backup, DriveFile, ManifestRecord, Verification
from backupman.store._sessions import Sessions

_LOOKED_AT = 1000
KEY = "key"
"""The level of a verification that shows no more than that a key opens the copy."""


_DEPTHS = {KEY: 0, "checksum": 1, "structure": 2, "restore": 3}


class Proofs:
    """What shows that backups can be used."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def keep_manifest(self, backup_id: str, manifest: Manifest) -> None:
        """Record what was known of a backup's content."""
        with self._sessions.writing() as session:
            session.merge(ManifestRecord(backup_id=backup_id, document=manifest.model_dump(mode="json")))

    def manifest(self, backup_id: str) -> Manifest | None:
        """What was known of a backup's content; None where nothing was kept."""
        with self._sessions.reading() as session:
            record = session.get(ManifestRecord, backup_id)
            return Manifest.model_validate(record.document) if record else None

    def manifest_before(self, backup: Backup) -> Manifest | None:
        """The manifest of the newest finished dump of the same database before this one."""
        with self._sessions.reading() as session:
            query = (
                select(ManifestRecord)
                .join(Backup, col(Backup.id) == ManifestRecord.backup_id)
                .where(Backup.source == backup.source, Backup.database == backup.database)
                .where(Backup.instance == backup.instance, col(Backup.created_at) < backup.created_at)
                .order_by(col(Backup.created_at).desc())
                .limit(1)
            )
            record = session.exec(query).first()
            return Manifest.model_validate(record.document) if record else None

    def shown(self, backup: Backup) -> ManifestShown | None:
        """A backup's manifest, compared with the one before."""
        manifest = self.manifest(backup.id)
        return manifest.compared(self.manifest_before(backup)) if manifest else None

    def verified(self, verification: Verification, drive_file_id: str) -> None:
        """Record one check, and on the copy itself that it was checked.

        What a deeper look has found stays with the copy until one as deep finds it right.
        """
        with self._sessions.writing() as session:
            file = session.get(DriveFile, drive_file_id)
            found = _found(session, file) if file else None
            session.add(verification)
            if file is None:
                return
            if not (verification.good and found and _DEPTHS[found.level] > _DEPTHS[verification.level]):
                file.verify_error = verification.error
            if verification.good:
                file.verified_at = verification.at
                if verification.level == "restore":
                    file.proved_at = verification.at
            session.add(file)

    def is_damaged(self, file: DriveFile) -> bool:
        """Whether the copy itself was found to be wrong, not what a drill asked of its content."""
        if not file.verify_error:
            return False
        with self._sessions.reading() as session:
            found = _found(session, file)
        return found is None or found.level != "restore" or not found.details

    def note(self, verification: Verification) -> None:
        """Record what was found of a copy, and nothing on the copy itself."""
        with self._sessions.writing() as session:
            session.add(verification)

    def keys_checked(self) -> set[tuple[str, str]]:
        """The (source, database) of which a key was shown to open a backup."""
        with self._sessions.reading() as session:
            query = select(Verification.details).where(Verification.level == KEY, Verification.good)
            found = session.exec(query.order_by(col(Verification.at).desc()).limit(_LOOKED_AT)).all()
        return {(details["Source"], details["Database"]) for details in found if "Source" in details}

    def last_drills(self, instance: str) -> dict[tuple[str, str, str], DrillReport]:
        """The last good drill of each (source, database, drive), as far as the last thousand tell."""
        with self._sessions.reading() as session:
            query = (
                select(Backup.source, Backup.database, Verification.drive, Verification.details)
                .join(Backup, col(Backup.id) == Verification.backup_id)
                .where(Verification.instance == instance, Verification.level == "restore", Verification.good)
                .order_by(col(Verification.at).desc())
                .limit(_LOOKED_AT)
            )
            rows = session.connection().execute(query).all()
        newest = {(source, database, drive): details for source, database, drive, details in reversed(rows)}
        return {of: DrillReport.model_validate(details) for of, details in newest.items() if details}

    def verifications(self, backup_id: str) -> Sequence[Verification]:
        """The checks of a backup's copies, the newest first."""
        with self._sessions.reading() as session:
            mine = select(Verification).where(col(Verification.backup_id) == backup_id)
            return session.exec(mine.order_by(col(Verification.at).desc())).all()


def _found(session: Session, file: DriveFile) -> Verification | None:
    """The check by which a copy was found not to be right, where that is what counts of it."""
    if not file.verify_error:
        return None
    query = select(Verification).where(Verification.backup_id == file.backup_id, Verification.drive == file.label)
    query = query.where(Verification.error == file.verify_error)
    return session.exec(query.order_by(col(Verification.at).desc()).limit(1)).first()
