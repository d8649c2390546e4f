"""What comes of a backup: taken from the data plane message by message, entered into the record when it is settled."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from backupman.data_plane.messages import Dumped, Message, Phase, Retrying, SessionOpened, Uploaded, UploadFailed
from backupman.errors import BackupmanError, StoreError, TimedOut
from backupman.records import Backup, Status, now
from backupman.store import Store

log = logging.getLogger(__name__)

_PATIENCE = 30.0
"""Seconds that a backup waits for its records altogether."""
_PAUSE = 1.0


class Observer(Protocol):
    """Somebody who watches a run, for example a terminal; it can never disturb it."""

    def began(self, backup: Backup) -> None:
        """A backup was recorded and starts."""

    def heard(self, backup: Backup, message: Message) -> None:
        """The data plane said something."""

    def ended(self, backup: Backup) -> None:
        """A backup is settled."""


class Outcome:
    """Records what the data plane says as it says it, and gathers what is entered when the backup is settled."""

    def __init__(self, store: Store, backup: Backup, observer: Observer) -> None:
        self._store = store
        self._backup = backup
        self._observer = observer
        self._started = time.monotonic()
        self._sentence: str | None = None
        self._timed_out = False
        self._patience = _PATIENCE
        self._warnings: list[str] = []
        self._sha256 = backup.sha256
        self.output = ""
        self.begun: set[str] = set()
        self.ended: set[str] = set()
        self.on_dumped: Callable[[], None] = lambda: None

    def take(self, message: Message) -> None:
        """One message of the data plane."""
        match message:
            case Phase():
                self.begun = {file.label for file in self._backup.drive_files if file.status == Status.PENDING}
                self._note(phase=message.phase)
            case SessionOpened():
                self._note(message.label, session=message.session)
            case Dumped():
                self.on_dumped()
                self._sha256 = message.sha256
                self._warnings += message.warnings
                if manifest := message.manifest:  # first: what is on record as dumped can be gone on with after a crash
                    self._surely(lambda: self._store.proofs.keep_manifest(self._backup.id, manifest))
                self._note(
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
                held = {"size": message.size, "sha256": self._sha256, **_about(message)}
                self._enter_upload(message, Status.FINISHED, error=None, **held)
            case UploadFailed():
                self._enter_upload(message, Status.FAILED, error=message.error)
            case Retrying():
                log.warning("%s: %s; trying again", self._backup.label, message.error)
            case _:
                pass
        self._observer.heard(self._backup, message)

    def _enter_upload(self, message: Uploaded | UploadFailed, status: Status, **fields: object) -> None:
        self.ended.add(message.label)
        self._note(
            message.label,
            status=status,
            attempts=message.attempts,
            seconds=message.seconds,
            session=None,
            **fields,
        )

    def _note(self, label: str | None = None, **fields: object) -> None:
        self._surely(lambda: self._store.backups.progress(self._backup.id, label, **fields))

    def _surely(self, write: Callable[[], None]) -> None:
        """Write it although the store has a bad moment: no dump fails because its records were restarted.

        Raises:
            StoreError: such moments have lasted too long, for this backup altogether.
        """
        while True:
            try:
                return write()
            except StoreError as error:
                if self._patience <= 0:
                    raise
                log.warning("%s: what comes of it is not on record yet: %s", self._backup.label, error.sentence)
            time.sleep(_PAUSE)
            self._patience -= _PAUSE

    def warn(self, sentence: str) -> None:
        """Something to say in the report that is no failure."""
        self._warnings.append(sentence)

    def failed(self, error: BackupmanError) -> None:
        """The backup ended with an error of its own, not only a drive's."""
        label = self._backup.label
        self._sentence = error.sentence if label in error.sentence else f"{label}: {error.sentence}"
        self._timed_out = isinstance(error, TimedOut)
        self.output = error.output

    def enter(self, backup: Backup) -> None:
        """Everything that is known now, into the record; called inside the transaction that settles it."""
        if backup.dump_status == Status.PENDING:
            backup.dump_status = Status.FAILED
        for file in backup.drive_files:
            if file.status == Status.PENDING:
                file.status, file.updated_at = Status.FAILED, now()
                file.error = self._sentence or "the upload did not end"
        backup.warnings = [*backup.warnings, *self._warnings]
        backup.seconds = time.monotonic() - self._started
        backup.timed_out = self._timed_out
        backup.error = self._sentence or _drives_errors(backup)
        if backup.dump_status == Status.FAILED or not _uploads_failed(backup):
            backup.dump_path = None  # the spool goes with a failed dump, and is not needed after the last upload


def _about(message: Uploaded) -> dict[str, object]:
    return {"ref": message.ref, "sidecar_ref": message.sidecar_ref, "checksums": message.checksums}


def _uploads_failed(backup: Backup) -> bool:
    return any(file.status == Status.FAILED for file in backup.drive_files)


def _drives_errors(backup: Backup) -> str | None:
    errors = [file.error for file in backup.drive_files if file.status == Status.FAILED and file.error]
    return "; ".join(dict.fromkeys(errors)) or None
