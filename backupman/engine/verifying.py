"""Reads finished copies back from their drives and compares them with what was stored.

No copy's status changes by it: a bad one stays on record as the copy that it is, with what is wrong with it.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from pydantic import Field

from backupman.config import Config, JobPlan, wanting
from backupman.engine.downloading import Download
from backupman.errors import BackupmanError, ObjectNotFound
from backupman.events import EventKind, Time, View
from backupman.records import Backup, DriveFile, Status, now
from backupman.store import Store
from backupman.text import listed, size

log = logging.getLogger(__name__)

_TOLD = 1000
"""How many copies a report lists; the numbers count all."""


@dataclass(frozen=True)
class Checked:
    """What came of one copy: `error` is None when it was read whole and is what was stored."""

    backup: Backup
    file: DriveFile
    error: str | None
    seconds: float


class VerifiedCopy(View):
    """A copy in a `verify_success` or `verify_failure`."""

    backup_id: str
    database: str
    drive: str
    path: str | None
    size: int | None = Field(description="Bytes as they were stored.")
    created_at: Time = Field(description="When its backup was begun.")
    good: bool = Field(description="Whether it was read whole and is what was stored.")
    error: str | None = Field(description="What is wrong with it.")
    seconds: float = Field(description="How long reading it took.")

    @classmethod
    def about(cls, checked: Checked) -> "VerifiedCopy":
        """What came of one copy."""
        return cls(
            backup_id=checked.backup.id,
            database=checked.backup.database,
            drive=checked.file.label,
            path=checked.file.path,
            size=checked.file.size,
            created_at=checked.backup.created_at,
            good=checked.error is None,
            error=checked.error,
            seconds=round(checked.seconds, 3),
        )


class VerifyReport(View):
    """The payload of `verify_success` and `verify_failure`: what came of reading copies of one source back."""

    label: str
    job: str
    source: str
    instance: str
    level: str = Field(description="`checksum`: every byte was read and hashed.")
    good: int
    bad: int
    copies: list[VerifiedCopy] = Field(description="The bad ones first, up to 1,000.")
    reason: str = Field(description="All this in a sentence.")


class Verifier:
    """Reads copies back, one after the other, and records and reports what came of it."""

    def __init__(
        self, config: Config, plans: Sequence[JobPlan], store: Store, clock: Callable[[], datetime] = now
    ) -> None:
        self._config = config
        self._plans = {plan.label: plan for plan in plans}
        self._store = store
        self._clock = clock

    def verify(self, backups: Sequence[Backup], drives: Collection[str] | None = None) -> Iterator[Checked]:
        """Every finished copy of the backups (on these drives), as it has been read; each source is reported."""
        ordered = sorted(backups, key=lambda backup: (backup.job, backup.source))
        for _, group in groupby(ordered, key=lambda backup: (backup.job, backup.source)):
            done = []
            for backup in group:
                for file in backup.drive_files:
                    if file.status == Status.FINISHED and (drives is None or file.label in drives):
                        done.append(self._checked(backup, file))
                        yield done[-1]
            if done:
                self._report(done)

    def _checked(self, backup: Backup, file: DriveFile) -> Checked:
        started = time.monotonic()
        try:
            self._read(file)
        except BackupmanError as error:
            checked = Checked(backup, file, error.sentence, time.monotonic() - started)
            log.error("%s: the copy %s is not right: %s", backup.label, file.path, error.sentence)
        else:
            checked = Checked(backup, file, None, time.monotonic() - started)
        self._store.copies.verified(file.id, self._clock(), checked.error)
        return checked

    def _read(self, file: DriveFile) -> None:
        """Raises BackupmanError unless every byte is there and is what was stored."""
        drive = self._config.drive(file.label)
        if drive is None:
            raise BackupmanError(f"cannot be checked: the drive {file.label!r} is not in the config any more")
        if file.ref is None or file.sha256 is None:
            raise BackupmanError(f"{file.label}: cannot be checked: its checksum is not on record")
        download = Download(drive, file.ref, self._config.retry.policy())
        digest, count = hashlib.sha256(), 0
        try:
            download.open()
            while chunk := download.read():
                digest.update(chunk)
                count += len(chunk)
        except ObjectNotFound as error:
            raise BackupmanError(f"{file.label}: {file.path} is gone") from error
        finally:
            download.close()
        if file.size is not None and count != file.size:
            raise BackupmanError(f"{file.label}: {file.path} has {count:,} bytes, and {file.size:,} were stored")
        if digest.hexdigest() != file.sha256:
            raise BackupmanError(f"{file.label}: {file.path} has other content than was stored: its SHA-256 differs")

    def _report(self, done: Sequence[Checked]) -> None:
        backup = done[0].backup
        bad = [checked for checked in done if checked.error]
        good = [checked for checked in done if not checked.error]
        read = sum(checked.file.size or 0 for checked in good)
        counts = {f"{len(good)} good ({size(read)})": good, f"{len(bad)} bad": bad}
        reason = f"{backup.source}: copies read back: {listed([words for words, found in counts.items() if found])}"
        report = VerifyReport(
            label=backup.source,
            job=backup.job,
            source=backup.source,
            instance=self._config.instance,
            level="checksum",
            good=len(good),
            bad=len(bad),
            copies=[VerifiedCopy.about(checked) for checked in [*bad, *good][:_TOLD]],
            reason="; ".join([reason, *(checked.error or "" for checked in bad[:3])]),
        )
        kind = EventKind.VERIFY_FAILURE if bad else EventKind.VERIFY_SUCCESS
        told = wanting(self._config, self._plans.get(backup.job), kind)
        self._store.outbox.announce(kind, backup.job, report.instance, report.document(), told)
