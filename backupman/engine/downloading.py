"""Bytes of an object for somebody who downloads it: the data plane's child reads the drive, a pipe brings them here."""

import os
from collections.abc import Iterator
from threading import Thread

from backupman.drives import Drive
from backupman.engine.data_plane import DataPlane
from backupman.engine.protocol import DownloadTask, DriveTask
from backupman.errors import BackupmanError, DriveError
from backupman.retry import RetryPolicy

_CHUNK = 256 * 1024


class Download:
    """One object on its way; iterate over it for `length` bytes from `start`.

    Raises:
        ObjectNotFound, DriveError: the drive does not give it.
    """

    def __init__(self, drive: Drive, ref: str, retry: RetryPolicy, start: int = 0, length: int | None = None) -> None:
        self._data_plane = DataPlane()
        self._error: BackupmanError | None = None
        read_end, write_end = os.pipe()
        task = DownloadTask(
            drive=DriveTask(label=drive.label, settings=drive.revealed()),
            ref=ref,
            fd=write_end,
            start=start,
            length=length,
            retry=retry,
        )
        self._pipe = open(read_end, "rb", _CHUNK)  # noqa: SIM115, PTH123 - closed by `close`, a descriptor
        self._thread = Thread(target=self._run, args=(task, write_end), name="download", daemon=True)
        self._thread.start()
        self._first = self._pipe.read(_CHUNK)
        if not self._first:
            self._thread.join()
            self.close()
            if self._error:
                raise self._error

    def _run(self, task: DownloadTask, write_end: int) -> None:
        try:
            self._data_plane.run(task, keep_fds=(write_end,), started=lambda: os.close(write_end))
        except BackupmanError as error:
            self._error = error

    def __iter__(self) -> Iterator[bytes]:
        """The bytes in chunks; a drive that fails half-way raises, so that the receiver sees a cut connection."""
        try:
            chunk = self._first
            while chunk:
                yield chunk
                chunk = self._pipe.read(_CHUNK)
            self._thread.join()
            if self._error:
                raise self._error
        finally:
            self.close()

    def close(self) -> None:
        """End the download, wherever it is."""
        self._data_plane.cancel(DriveError("the download was given up"))
        self._pipe.close()
