"""Bytes of an object for somebody who downloads it: the data plane's child reads the drive, a pipe brings them here."""

import logging
import os
from threading import Thread

from backupman.data_plane import DataPlane
from backupman.data_plane.tasks import DownloadTask, DriveTask
from backupman.drives import Drive
from backupman.errors import BackupmanError, DriveError, ObjectNotFound
from backupman.retry import RetryPolicy
from backupman.writing import widened

log = logging.getLogger(__name__)

_CHUNK = 1024 * 1024


class Download:
    """One object on its way: `open`, then `read` until it gives nothing, then `close`; `cancel` from any thread.

    Args:
        path: where the object stands, for people.
        start: the first byte that is wanted.
        length: how many bytes; all of the rest when None.
        sha256: that of all that is wanted, where it is known: what has another one comes to no good end.
    """

    def __init__(
        self,
        drive: Drive,
        ref: str,
        retry: RetryPolicy,
        path: str | None = None,
        start: int = 0,
        length: int | None = None,
        sha256: str | None = None,
    ) -> None:
        self._label = drive.label
        self._data_plane = DataPlane()
        self._error: BackupmanError | None = None
        self._first = b""
        read_end, self._write_end = os.pipe()
        widened(read_end)
        self._pipe = open(read_end, "rb", buffering=0)  # noqa: SIM115, PTH123 - closed by `close`; a descriptor
        task = DownloadTask(
            drive=DriveTask(label=drive.label, settings=drive.revealed()),
            ref=ref,
            path=path,
            start=start,
            length=length,
            sha256=sha256,
            retry=retry,
        )
        self._thread = Thread(target=self._run, args=(task,), name="download", daemon=True)

    def open(self) -> None:
        """Wait for the first bytes.

        Raises:
            ObjectNotFound, DriveError: the drive does not give the object.
        """
        self._thread.start()
        self._first = self.read()

    def read(self) -> bytes:
        """The next bytes, as many as have come; none at the good end.

        Raises:
            ObjectNotFound, DriveError: the drive has failed, the object is not the one that was stored, or the download
                was cancelled.
        """
        if chunk := self._first or self._pipe.read(_CHUNK):
            self._first = b""
            return chunk
        self._thread.join()
        if self._error:
            raise self._error
        return b""

    def cancel(self) -> None:
        """End the child; a `read` that waits for it raises."""
        self._data_plane.cancel(DriveError(f"{self._label}: the download was given up"))

    def close(self) -> None:
        """End the download, wherever it is; no `read` may be under way."""
        self.cancel()
        self._pipe.close()

    def _run(self, task: DownloadTask) -> None:
        try:
            self._data_plane.run(task, hand_over=(self._write_end,), started=self._let_go)
        except (ObjectNotFound, DriveError) as error:
            self._error = error
        except BackupmanError as error:
            self._error = DriveError(error.sentence, permanent=error.permanent)
        except Exception as error:  # whatever it was, the reader must not take it for a good end
            log.exception("%s: a download failed", self._label)
            self._error = DriveError(f"{self._label}: the download failed: unexpected {type(error).__name__}")
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Leave the writing end to the child, so that the pipe ends with it."""
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1
