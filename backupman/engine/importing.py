"""Takes the records of the original Go program over: read in one stream, judged one by one, recorded in batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from backupman.config import Config, JobPlan
from backupman.data_plane import DataPlane
from backupman.data_plane.messages import Listed, Message
from backupman.data_plane.tasks import DriveTask, ListTask
from backupman.drives import Drive
from backupman.engine.go_backups import UNKNOWN, Held, Judge, Left
from backupman.errors import BackupmanError, Interrupted
from backupman.records import Backup, Status, now
from backupman.store import Store
from backupman.store.go_records import GoRecords

_BATCH = 500
_TOLD = 1000
"""How much of what was left is remembered; the number counts all."""


@dataclass
class Tally:
    """What was taken of one source; `already` counts backups that were on record before and are complete."""

    backups: int = 0
    finished: int = 0
    failed: int = 0
    copies: int = 0
    already: int = 0


@dataclass
class Imported:
    """What came of an import: by label what was taken, then what was left, and what else is worth knowing."""

    taken: dict[str, Tally] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)
    left_count: int = 0
    remarks: list[str] = field(default_factory=list)

    def leave(self, left: Left) -> None:
        """One more that was left."""
        self.left_count += 1
        if self.left_count <= _TOLD:
            self.left.append(left)


class Importer:
    """Takes over what a Go program has recorded.

    Args:
        config: ours.
        go: the Go program's, as our own loader reads it.
    """

    def __init__(
        self,
        config: Config,
        plans: Sequence[JobPlan],
        store: Store,
        go: Config,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._config = config
        self._plans = plans
        self._store = store
        self._go = go
        self._clock = clock
        self._data_plane = DataPlane()

    def stop(self, reason: str) -> None:
        """End what is under way; `take` raises Interrupted."""
        self._data_plane.cancel(Interrupted(reason))

    def take(self, records: GoRecords, *, dry: bool, tell: Callable[[int], None] = lambda done: None) -> Imported:
        """Take everything over that is not on record; with `dry` only say what would be. `tell` hears how far it is.

        Raises:
            StoreError: one of the two databases failed; what was recorded by then stays, and the next import goes on.
            Interrupted: it was stopped.
        """
        judge = Judge(self._config, self._plans, self._go, records.shared(), self._names(), self._clock)
        found, done = Imported(), 0
        backups = iter(records.backups())
        while batch := list(islice(backups, _BATCH)):
            self._data_plane.check()
            judged = [judge.judge(backup) for backup in batch]
            for left in (each for _, several in judged for each in several):
                found.leave(left)
            self._record([backup for backup, _ in judged if backup], found, dry=dry)
            tell(done := done + len(batch))
        for file_id, backup_id in records.lost():
            found.leave(Left(backup_id, "", f"its drive file {file_id} is there, and its own record is gone"))
        found.remarks = list(self._remarks(records, found))
        return found

    def _record(self, backups: Sequence[Backup], found: Imported, *, dry: bool) -> None:
        taken = self._store.imports.take(backups, dry=dry)
        for backup in backups:
            if backup.id in taken.foreign:
                found.leave(Left(backup.id, backup.label, "another backup with that id is on record"))
                continue
            tally = found.taken.setdefault(backup.label, Tally())
            copies = sum(file.status == Status.FINISHED for file in backup.drive_files if file.id in taken.files)
            tally.copies += copies
            if backup.id in taken.backups:
                tally.backups += 1
                tally.finished += backup.status == Status.FINISHED
                tally.failed += backup.status == Status.FAILED
            elif not copies:
                tally.already += 1

    def _names(self) -> dict[str, Held | str]:
        """What each Google Drive holds: the Go program knew its files by their names alone."""
        return {drive.label: self._held(drive) for drive in self._go.drives if drive.provider == "google_drive"}

    def _held(self, drive: Drive) -> Held | str:
        found: dict[str, str | None] = {}

        def take(message: Message) -> None:
            if isinstance(message, Listed):
                for each in message.objects:
                    found[each.name] = None if each.name in found else each.ref

        task = DriveTask(label=drive.label, settings=drive.revealed())
        try:
            self._data_plane.run(ListTask(drive=task, objects=[], sidecars=[], retry=self._config.retry.policy()), take)
        except Interrupted:
            raise
        except BackupmanError as error:
            return error.sentence
        return found

    def _remarks(self, records: GoRecords, found: Imported) -> Iterator[str]:
        for name in records.not_understood:
            yield f"{name} is a column that the Go program did not have when this was written: it was not read"
        for label in found.taken:
            if self._go.source(label) is None:
                yield (
                    f"the Go program's config names no source {label!r}: its backups are on record with the provider "
                    f"`{UNKNOWN}`, and can be written to a file with `backupman restore ID --output FILE`"
                )
            elif self._config.source(label) is None:
                yield f"our config names no source {label!r}: no retention removes its backups"
        for drive in self._go.drives:
            if self._config.drive(drive.label) is None:
                yield f"our config names no drive {drive.label!r}: its copies can be read only once it does"
