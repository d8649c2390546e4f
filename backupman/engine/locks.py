"""The lock of a source: held while it is dumped, across threads and processes, and by the child that dumps it."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from backupman.errors import BusyError, StoreError
from backupman.naming import slug

_POLL = 0.2


@contextmanager
def source_lock(
    state_folder: Path, label: str, *, wait: bool, stop: Callable[[], bool] = lambda: False
) -> Iterator[int]:
    """The descriptor of the held lock; hand it to the child, so that the lock lasts as long as the work.

    Raises:
        BusyError: the source is being dumped already, and `wait` is false or `stop` asked to end the waiting.
        StoreError: the lock file cannot be made or locked.
    """
    folder = state_folder / "locks"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder / slug(label), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(label, folder, error) from error
    try:
        while not _taken(fd, label, folder):
            if not wait or stop():
                raise BusyError(f"{label} is being backed up already; wait for it, or use --wait")
            time.sleep(_POLL)
        yield fd
    finally:
        os.close(fd)


def _taken(fd: int, label: str, folder: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _unusable(label, folder, error) from error
    return True


def _unusable(label: str, folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the lock of {label} cannot be made in {folder}: {error.strerror}; give the user that runs backupman write "
        "access, or set state_folder to a local folder"
    )
