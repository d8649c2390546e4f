"""Deletes one backup because somebody asks for it: first its objects, and its record when they are gone."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from backupman.config import Config
from backupman.engine.floors import witnesses_of
from backupman.engine.holding import Holding, source_alone
from backupman.engine.pruning import Pruner, Step
from backupman.engine.spools import Spools
from backupman.errors import BusyError, ConfigError, DriveError
from backupman.logs import about_backup
from backupman.records import Backup, DriveFile, Kind, Status, now
from backupman.retention import FOR_EVER
from backupman.store import Store
from backupman.text import minute

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deletion:
    """What came of it: the copies that are gone, why a drive keeps others, and what went wrong."""

    removed: Sequence[Step]
    retained: Sequence[str]
    errors: Sequence[DriveError]

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left, so that the record has gone too."""
        return not self.retained and not self.errors


class Deleter:
    """Deletes backups of this installation, and none that somebody could miss unless that is insisted on."""

    def __init__(
        self, config: Config, store: Store, pruner: Pruner, spools: Spools, holding: Holding | None = None
    ) -> None:
        self._config = config
        self._store = store
        self._holding = holding
        self._pruner = pruner
        self._spools = spools

    def check(self, backup: Backup, *, force: bool = False, insist: str = "") -> None:
        """Let pass what may be deleted; `force` also lets the last good or proved copy of a database pass.

        `insist` is what the caller would have to say for that, where they are not the command.

        Raises:
            BusyError: it is under way, or being restored.
            ConfigError: it is pinned, was made elsewhere, or is the last one.
        """
        label, name = backup.label, backup.id[:8]
        if backup.kind != Kind.OWN or backup.instance != self._config.instance:
            made = backup.device if backup.kind != Kind.OWN else backup.instance
            raise ConfigError(f"{label}: the backup was made on {made}, and only there it can be deleted")
        if backup.status == Status.PENDING:
            raise BusyError(f"{label}: the backup is under way; wait for it to end, or cancel it on the dashboard")
        if any(restore.status == Status.PENDING for restore in self._store.restores.list(backup.id)):
            raise BusyError(f"{label}: the backup is being restored; wait for it to end")
        if backup.pinned_until and backup.pinned_until > now():
            until = "for ever" if backup.pinned_until == FOR_EVER else f"until {minute(backup.pinned_until)}"
            raise ConfigError(f"{label}: the backup is pinned {until}; unpin it first: `backupman unpin {name}`")
        if last := "" if force else self._last(backup):
            raise ConfigError(
                f"{label}: this is {last}; if that is meant: {insist or f'`backupman delete {name} --force`'}"
            )

    def delete(self, backup: Backup, operator: str, *, force: bool = False, insist: str = "") -> Deletion:
        """Remove every copy of a backup with its sidecar, then its record; what a drive keeps stays on record.

        With `force` the record also goes where a drive holds neither it nor the oldest other copy on record there.

        Raises:
            BusyError: as for `check`, or its source is being backed up.
            ConfigError: as for `check`.
        """
        with source_alone(self._config.state_folder, self._holding, backup.source), about_backup(backup):
            backup = self._store.backups.get(backup.id)  # as it is now that nobody else works on it
            self.check(backup, force=force, insist=insist)
            if backup.dump_path:
                self._spools.drop(backup, "the backup is deleted")
            found = self._remove(backup, f"{operator} deletes the backup", force=force)
            if found.is_complete:
                self._store.copies.forget_backup(backup.id)
                log.info("%s: the backup %s was deleted by %s", backup.label, backup.id, operator)
        return found

    def _remove(self, backup: Backup, reason: str, *, force: bool) -> Deletion:
        drives = {drive.label: drive for drive in self._config.drives}
        steps: list[Step] = []
        retained, errors = [], []
        for file in backup.drive_files:
            if file.status != Status.FINISHED:
                continue
            drive, step = drives.get(file.label), Step(file, "delete", reason)
            if drive is None:
                gone = f"the config names {file.label} no more; put the drive back into it, and delete again"
                errors.append(DriveError(f"deletion could not remove {file.path}: {gone}"))
            elif not drive.capabilities.deletes:
                retained.append(f"{file.label} is never deleted from: {file.path} stays")
            else:
                witnesses = [] if force else self._witnesses(file)
                errors += self._pruner.remove(drive, [step], "deletion", witnesses)
                steps.append(step)
        retained += [step.reason for step in steps if step.action == "retained"]
        removed = [step for step in steps if step.action == "delete" and step.error is None]
        return Deletion(removed, retained, errors)

    def _witnesses(self, file: DriveFile) -> list[str]:
        """What shows that the drive is the right one; nothing where this copy is all that it should hold."""
        on_drive = self._store.catalogue.on(self._config.instance, file.label)
        others = [other for other in on_drive if other.id != file.id and other.status == Status.FINISHED]
        return witnesses_of([file], others) if others else []

    def _last(self, backup: Backup) -> str:
        """What would be lost with it: nothing, the last copy of its database, or the last that a drill has proved.

        Copies on a drive that has left the config help nobody.
        """
        has_another = partial(self._store.copies.has_another, backup, self._config.drive_labels)
        copies = [file for file in backup.drive_files if file.status == Status.FINISHED]
        of = f"of {backup.database!r} of {backup.source}"
        if copies and not has_another():
            return f"the last good backup {of}"
        if any(file.proved_at for file in copies) and not has_another(proved=True):
            return f"the last backup {of} that a drill has proved"
        return ""
