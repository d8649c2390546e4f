"""In the child: one copy read back, as far as its level says. Whoever gets no error has a good copy."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import BaseModel

from backupman.data_plane.drilling import drill
from backupman.data_plane.dumping import source_of
from backupman.data_plane.restoring import opened
from backupman.data_plane.room import Room, check_drill_room
from backupman.data_plane.tasks import VerifyTask
from backupman.data_plane.uploading import drive_of
from backupman.errors import CopyError, NoKey, NoRoom, ObjectNotFound, PipelineError, RestoreError, SourceError
from backupman.pipeline._sink import CHUNK

Tell = Callable[[BaseModel], None]


def verify(task: VerifyTask, tell: Tell) -> None:
    """Read the copy back.

    Raises:
        CopyError: it is not good; the sentence says why.
        BackupmanError: it could not be looked at that far, so that nothing is known of it.
    """
    label = task.held.drive.label
    try:
        _verify(task, tell)
    except ObjectNotFound as error:
        raise CopyError(f"{label}: {task.path} is gone", permanent=True) from error
    except NoRoom as error:
        raise NoRoom(f"{label}: {task.path}: {error.sentence}") from error
    except NoKey as error:
        raise NoKey(f"{label}: {task.path}: {error.sentence}", permanent=True) from error
    except PipelineError as error:
        raise CopyError(f"{label}: {task.path}: {error.sentence}", permanent=error.permanent) from error
    except (SourceError, RestoreError) as error:
        raise CopyError(error.sentence, permanent=error.permanent) from error


def _verify(task: VerifyTask, tell: Tell) -> None:
    if task.level == "checksum":
        return _compare_bytes(task)
    try:
        if task.level == "key":
            return _open(task)
        with _workspace(task) as folder:
            return _look(task, folder) if task.level == "structure" else drill(task, folder, tell)
    except NoKey:
        if task.sha256:
            _compare_bytes(task)  # where the copy's own head was altered, no key fits either
        raise


def _compare_bytes(task: VerifyTask) -> None:
    digest, count = sha256(), 0
    with drive_of(task.held.drive, task.retry).open(task.held.ref) as copy:
        while chunk := copy.read(CHUNK):
            digest.update(chunk)
            count += len(chunk)
    if task.size is not None and count != task.size:
        raise PipelineError(f"it has {count:,} bytes, and {task.size:,} were stored", permanent=True)
    if digest.hexdigest() != task.sha256:
        raise PipelineError("it has other content than was stored: its SHA-256 differs", permanent=True)


def _look(task: VerifyTask, folder: Path) -> None:
    with opened(task.held, task) as dump:
        source_of(task.source).inspect(cast(BinaryIO, dump), task.origin, folder)
        while dump.read(CHUNK):  # only the end of the stream says that it was good
            pass


def _open(task: VerifyTask) -> None:
    """The first piece is decrypted and authenticated, or this raises; the rest is left alone unless it is asked for."""
    with opened(task.held, task) as dump:
        while dump.read(CHUNK if task.whole else 1) and task.whole:
            pass


@contextmanager
def _workspace(task: VerifyTask) -> Iterator[Path]:
    """An empty folder while there is room on its disk."""
    shutil.rmtree(task.folder, ignore_errors=True)
    task.folder.mkdir(mode=0o700, parents=True)
    try:
        check_drill_room(task.folder, task.keep_free)
        with Room(task.folder, task.keep_free, check_drill_room):
            yield task.folder
    finally:
        shutil.rmtree(task.folder, ignore_errors=True)
