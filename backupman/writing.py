"""Writes bytes to a descriptor, all of them; brings files and folders to the disk; makes room in pipes."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

_AT_ONCE = 2**17
"""For larger pieces Linux looks for larger folios of memory, which take it up to three times as long (measured)."""
_PIPE = 2**20
_NO_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}

NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What link(2) says on FAT, exFAT and some network disks."""


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of `data`. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view[:_AT_ONCE]) :]


def widened(pipe: int) -> int:
    """Let a pipe hold a megabyte, where the account may still have one; how many bytes it holds now."""
    with suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
    return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)


def flush_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk, where the file system can. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(fd)


class Flusher:
    """Brings a file to its disk while it grows, in a thread, so that nobody waits for all of it at the end.

    An error of the disk is told to one flush of a descriptor alone: it is kept, and raised by whatever is called next.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._due = Event()
        self._ended = False
        self._error: OSError | None = None
        self._thread = Thread(target=self._work, name="flushing", daemon=True)

    def flush(self) -> None:
        """Flush what was written by now, once the flush before has ended. Raises OSError."""
        self._raise()
        if self._thread.ident is None:
            self._thread.start()
        self._due.set()

    def end(self) -> None:
        """Wait for what is under way; the descriptor may be closed then. Raises OSError."""
        self._ended = True
        self._due.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error:
            raise self._error

    def _work(self) -> None:
        while self._due.wait() and not self._ended:
            self._due.clear()
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                self._error = error
                return
