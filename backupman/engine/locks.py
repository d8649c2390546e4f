"""The locks of sources, held by the child that dumps them too; of daemons and workers; and of whoever reconciles."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from backupman.errors import BusyError, ConfigError, StoreError
from backupman.naming import slug

_POLL = 0.2
_RECONCILE = "RECONCILE"
"""No source's lock is called so: theirs are in lower case."""


@contextmanager
def source_lock(
    state_folder: Path, label: str, *, wait: bool, stop: Callable[[], bool] = lambda: False
) -> Iterator[int]:
    """The descriptor of the held lock; hand it to the child, so that the lock lasts as long as the work.

    Raises:
        BusyError: the source is being dumped already, and `wait` is false or `stop` asked to end the waiting.
        StoreError: the lock file cannot be made or locked.
    """
    with _lock(state_folder, slug(label), label) as (fd, folder):
        while not _taken(fd, label, folder):
            if not wait or stop():
                raise BusyError(f"{label} is being backed up already; wait for it to end")
            time.sleep(_POLL)
        yield fd


@contextmanager
def reconcile_lock(state_folder: Path) -> Iterator[None]:
    """Held by who compares records and drives; one at a time.

    Raises:
        BusyError: another one does.
        StoreError: the lock file cannot be made or locked.
    """
    with _lock(state_folder, _RECONCILE, "reconcile") as (fd, folder):
        if not _taken(fd, "reconcile", folder):
            raise BusyError("another `backupman reconcile` is under way; wait for it to end")
        yield


def daemon_lock(state_folder: Path) -> int:
    """The descriptor of the held lock that the one daemon of a state folder has for as long as it lives.

    Raises:
        BusyError: another one has it.
        ConfigError: the folder cannot be used.
    """
    return _owned(state_folder, "daemon", f"another backupman serves from {state_folder} already; stop it first")


def worker_lock(state_folder: Path) -> int:
    """The same for the one worker of a state folder."""
    return _owned(state_folder, "worker", f"another worker works from {state_folder} already; stop it first")


def _owned(state_folder: Path, name: str, busy: str) -> int:
    try:
        state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(state_folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"the state folder {state_folder} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise BusyError(busy) from error
    return fd


@contextmanager
def _lock(state_folder: Path, name: str, label: str) -> Iterator[tuple[int, Path]]:
    """An open lock file, and its folder."""
    folder = state_folder / "locks"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(label, folder, error) from error
    try:
        yield fd, folder
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
