"""The steps of every backup as lines of the daemon's log; commands show them in their own way."""

import logging

from backupman.data_plane.messages import Dumped, Message, Uploaded, UploadFailed
from backupman.engine.figures import Asked
from backupman.engine.outcome import Observer
from backupman.logs import about_backup
from backupman.records import Backup, Status
from backupman.text import listed, size, span

log = logging.getLogger(__name__)


class Steps:
    """An observer that logs each step, and what more was asked for, and passes on what it is told."""

    def __init__(self, then: Observer, asked: Asked | None = None) -> None:
        self._then = then
        self._asked = asked or Asked()
        self._dumped: set[str] = set()
        self._early: dict[str, list[UploadFailed]] = {}
        """Uploads that failed before the dump was whole; told if it becomes so, else its own error says enough."""

    def began(self, backup: Backup) -> None:
        """A backup was recorded and starts, or goes on with the drives that are left."""
        if backup.dump_status == Status.FINISHED:
            self._dumped.add(backup.id)
        drives = [file.label for file in backup.drive_files if file.status == Status.PENDING]
        with about_backup(backup):
            log.info("%s: begins, onto %s", backup.label, listed(drives))
        self._then.began(backup)

    def heard(self, backup: Backup, message: Message) -> None:
        """The data plane said something."""
        label = backup.label
        with about_backup(backup):
            match message:
                case Dumped():
                    self._dumped.add(backup.id)
                    figures = size(message.size), span(message.seconds), size(message.stored_size)
                    log.info("%s: dumped %s in %s, %s to store", label, *figures)
                    for line in self._asked.of_dump(message):
                        log.info("%s: %s", label, line)
                    for warning in message.warnings:
                        log.warning("%s", warning)
                    for failed in self._early.pop(backup.id, []):
                        _failed(label, failed)
                case Uploaded():
                    log.info("%s: stored on %s after %s", label, message.label, span(message.seconds))
                    for line in self._asked.of_upload(message):
                        log.info("%s: %s", label, line)
                case UploadFailed() if backup.id in self._dumped:
                    _failed(label, message)
                case UploadFailed():
                    self._early.setdefault(backup.id, []).append(message)
                case _:
                    pass
        self._then.heard(backup, message)

    def ended(self, backup: Backup) -> None:
        """A backup is settled."""
        self._dumped.discard(backup.id)
        self._early.pop(backup.id, None)
        with about_backup(backup):
            if backup.status == Status.FINISHED:
                log.info("%s: finished in %s", backup.label, span(backup.seconds))
            else:
                reason = (backup.error or "").removeprefix(f"{backup.label}: ")
                log.error("%s: failed after %s: %s", backup.label, span(backup.seconds), reason)
        self._then.ended(backup)


def _failed(label: str, message: UploadFailed) -> None:
    error = message.error.removeprefix(f"{message.label}: ")
    log.error("%s: failed on %s: %s", label, message.label, error)
