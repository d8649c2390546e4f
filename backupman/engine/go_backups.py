"""Judges the records of the original Go program, one by one: what each becomes in ours, and what cannot be taken.

The Go program knows a dump's label, path and status. Its dumps are neither compressed nor encrypted, their names are
the second in which each upload began, and nothing is known of sizes and checksums: `reconcile` finds those.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from backupman.config import Config, JobPlan
from backupman.config.plans import DEFAULT_JOB
from backupman.drives import Drive
from backupman.errors import DriveError, SourceError
from backupman.naming import object_name
from backupman.records import Backup, DriveFile, Status
from backupman.settling import settle
from backupman.sources import Source
from backupman.store.go_records import GoBackup, GoFile
from backupman.store.imports import TRIGGER

UNDER_WAY = timedelta(days=1)
"""A pending backup that is not older may still end in the Go program; an older one never will."""

UNKNOWN = "unknown"
"""The provider of a source that the Go program's config does not name any more."""

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ENDING = re.compile(r"(?P<tool>\.(?:sql|db|sqlite|dump|tar))(?P<pipeline>(?:\.(?:gz|zst))?(?:\.age)?)$")
_LONGEST_LABEL = 200
_STATUSES = frozenset(Status)

Held = Mapping[str, str | None]
"""The refs of what a drive holds by their names; None where several have that name."""


@dataclass(frozen=True)
class Left:
    """What was not taken: a backup, or one copy of it, and why."""

    id: str
    label: str
    reason: str
    drive: str | None = None


class Judge:
    """Makes ours of the Go program's records. Pure: it asks no drive and no store.

    Args:
        config: ours, whose records they become.
        go: the Go program's, as our own loader reads it.
        names: by label, what each of its Google Drives holds, or why that is not known.
        shared: as `GoRecords.shared` gives it.
    """

    def __init__(
        self,
        config: Config,
        plans: Sequence[JobPlan],
        go: Config,
        shared: Mapping[tuple[str, str], str | None],
        names: Mapping[str, Held | str],
        clock: Callable[[], datetime],
    ) -> None:
        self._config = config
        self._jobs = {source.label: plan.label for plan in reversed(plans) for source in plan.sources}
        self._positions = {drive.label: position for position, drive in enumerate(config.drives)}
        self._go = go
        self._shared = shared
        self._names = names
        self._clock = clock

    def judge(self, told: GoBackup) -> tuple[Backup | None, list[Left]]:
        """The record that it becomes, and what is left of it."""
        began = told.created_at
        if began is None:
            return None, [Left(told.id, told.label, "its created_at is no time")]
        if reason := self._cannot_be_taken(told, began):
            return None, [Left(told.id, told.label, reason)]
        backup = self._backup(told, began)
        left: list[Left] = []
        for file in told.files:
            try:
                backup.drive_files.append(self._file(file, backup))
            except _Left as error:
                left.append(Left(told.id, told.label, str(error), file.label))
        kept = any(file.status == Status.FINISHED for file in backup.drive_files)
        if left and not kept:  # it would be on record as one that no drive holds
            return None, left
        backup.status = settle(backup.dump_status, backup.drive_files)
        errors = [file.error for file in backup.drive_files if file.error]
        backup.error = backup.error or "; ".join(dict.fromkeys(errors)) or None
        return backup, left

    def _cannot_be_taken(self, told: GoBackup, began: datetime) -> str | None:
        if not _ID.fullmatch(told.id):
            return "its id is none that a backup can have"
        if not told.label or len(told.label) > _LONGEST_LABEL:
            return f"its label is empty, or longer than {_LONGEST_LABEL} characters"
        if told.status not in _STATUSES:
            return f"its status {told.status[:50]!r} is not known"
        if told.status == Status.PENDING and self._clock() - began < UNDER_WAY:
            return "it may still be under way in the Go program: import again when it has ended"
        return None

    def _backup(self, told: GoBackup, began: datetime) -> Backup:
        source = self._go.source(told.label)
        dumped = bool(told.files) or told.status == Status.FINISHED
        error = None
        if not dumped:
            said = "was not finished" if told.status == Status.PENDING else "failed, and not why"
            error = f"{told.label}: the Go program recorded that the dump {said}"
        ending = _ending(told, source)
        return Backup(
            id=told.id,
            dump_status=Status.FINISHED if dumped else Status.FAILED,
            label=told.label,
            job=self._jobs.get(told.label, DEFAULT_JOB),
            source=told.label,
            database=_database(source),
            source_provider=source.provider if source else UNKNOWN,
            instance=self._config.instance,
            trigger=TRIGGER,
            # What a copy of it would be called by us; where the Go program's own stand, their refs say.
            object_name=object_name(told.label, None, told.id, began, ending),
            facts={"tool": "the Go program"} | ({"dump_path": told.dump_path} if told.dump_path else {}),
            error=error,
            created_at=began,
            updated_at=told.updated_at,
            finished_at=told.updated_at or began,
        )

    def _file(self, file: GoFile, backup: Backup) -> DriveFile:
        """Raises _Left."""
        if not _ID.fullmatch(file.id) or not file.label or len(file.label) > _LONGEST_LABEL:
            raise _Left("the id or the label of its drive file is none that one can have")
        if file.status not in _STATUSES:
            raise _Left(f"the status {file.status[:50]!r} of its drive file is not known")
        error, ref = self._what_failed(file), None
        if error is None:
            ref = self._ref(file)
        drive = self._config.drive(file.label)
        return DriveFile(
            id=file.id,
            backup_id=backup.id,
            position=self._positions.get(file.label, len(self._positions)),
            provider=file.provider[:64],
            label=file.label,
            required=drive.required if drive else True,
            status=Status.FAILED if error else Status.FINISHED,
            path=file.path or None,
            ref=ref,
            error=f"{file.label}: {error}" if error else None,
            created_at=file.created_at or backup.created_at,
            updated_at=file.updated_at or file.created_at,
        )

    def _what_failed(self, file: GoFile) -> str | None:
        if file.status != Status.FINISHED:
            said = "failed, and not why" if file.status == Status.FAILED else "began, and not that it ended"
            return f"the Go program recorded that the upload {said}"
        last = self._shared.get((file.label, file.path), file.id)
        if last is None:
            return f"several dumps were stored as {file.path} in one second, and nobody knows which of them it is"
        if last != file.id:
            return f"another dump was stored as {file.path} after it, and has replaced it"
        return None

    def _ref(self, file: GoFile) -> str:
        """Where our drive finds the object. Raises _Left."""
        if not file.path:
            raise _Left("no path of it is on record")
        if file.provider == "s3":
            return file.path
        if file.provider == "google_drive":
            return self._by_name(file)
        drive = self._go.drive(file.label)
        folder = getattr(drive, "folder", None)
        if drive is None or folder is None:
            raise _Left(f"the Go program's config names no folder for {file.label!r}: {file.path} cannot be found")
        return _inside(drive, os.path.normpath(folder), os.path.normpath(file.path))

    def _by_name(self, file: GoFile) -> str:
        held = self._names.get(file.label, "the Go program's config does not name it")
        if isinstance(held, str):
            raise _Left(f"{file.path} could not be looked for: {held}")
        if file.path not in held:
            raise _Left(f"there is no {file.path} in its folder (any more)")
        if (ref := held[file.path]) is None:
            raise _Left(f"several files in its folder are called {file.path}")
        return ref


class _Left(Exception):
    """Why a copy is not taken."""


def _inside(drive: Drive, folder: str, path: str) -> str:
    """The path inside the drive's folder; both count from where the Go program ran. Raises _Left."""
    name = path if folder == "." else path.removeprefix(f"{folder.rstrip('/')}/")
    if name == path and folder != ".":
        raise _Left(f"{path} is not in the drive's folder {folder}")
    with suppress(DriveError):
        drive.path(name)
        return name
    raise _Left(f"{path} is no name that an object can have")


def _database(source: Source | None) -> str:
    """The name under which our own backups of the source go on."""
    if source is None or source.many:
        return ""
    with suppress(SourceError):
        return next(iter(source.list_databases()), "")
    return ""


def _ending(told: GoBackup, source: Source | None) -> str:
    """How the dump is packed, as our names say it."""
    for path in _paths(told):
        if found := _ENDING.search(PurePosixPath(path).name):
            return {".db": ".sqlite"}.get(found["tool"], found["tool"]) + found["pipeline"]
    return ".sqlite" if source and source.provider == "sqlite" else ".sql"


def _paths(told: GoBackup) -> Iterator[str]:
    yield from (file.path for file in told.files if file.path)
    yield told.dump_path
