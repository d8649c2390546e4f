"""How fast a drive is written to, or a source read: one bucket for all processes that do, in a small locked file.

The file holds one number, the time at which the bytes that were let through so far are paid for (the generic cell rate
algorithm). The clock has to be the same for all processes of the machine, as the monotonic one is.
"""

import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backupman.errors import PipelineError

_AT_ONCE = 1.0
"""Seconds' worth of bytes that are let through in one step, so that its users take turns and can be given up."""

_STALE = 3600.0
"""Nobody is that far ahead: the machine was started anew, and its clock with it."""

_TIME = struct.Struct("<d")


def pace_of(bandwidth: int | None, file: Path | None, sleep: Callable[[float], Any] = time.sleep) -> "Pace | None":
    """The pace of a drive or a source; None where it has no bandwidth, or nowhere to keep it."""
    return Pace(bandwidth, file, sleep=sleep) if bandwidth and file else None


class Pace:
    """Lets `rate` bytes a second through, all users of `file` together.

    Args:
        rate: bytes a second.
        file: where the state is kept; made when it is not there.
        sleep: waits so many seconds; what it raises ends the work.
        clock: seconds since any moment, the same for all processes.
    """

    def __init__(
        self,
        rate: int,
        file: Path,
        *,
        sleep: Callable[[float], Any] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._file = file
        self._sleep = sleep
        self._clock = clock

    def __call__(self, count: int) -> None:
        """Return when `count` more bytes may go.

        Raises:
            PipelineError: the file cannot be used.
        """
        step = max(1, int(self._rate * _AT_ONCE))
        while count > 0:
            wait = self._book(min(step, count))
            count -= step
            if wait > 0:
                self._sleep(wait)

    def _book(self, count: int) -> float:
        """Enter `count` bytes; how long to wait until they are paid for."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                now = self._clock()
                held = os.pread(fd, _TIME.size, 0)
                paid: float = _TIME.unpack(held)[0] if len(held) == _TIME.size else now
                paid = max(paid, now) if paid < now + _STALE else now
                paid += count / self._rate
                os.pwrite(fd, _TIME.pack(paid), 0)
            finally:
                os.close(fd)
        except OSError as error:
            raise PipelineError(
                f"a bandwidth cannot be kept track of in {self._file}: {error.strerror}; give the user "
                "that runs backupman write access, or set state_folder to a local folder"
            ) from error
        return paid - now
