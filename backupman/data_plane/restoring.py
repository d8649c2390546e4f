"""In the child: the dump in an object, from the first copy that is good, checked from end to end on its way."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from pydantic import BaseModel

from backupman.data_plane.ahead import Ahead
from backupman.data_plane.messages import CopyFailed, Restoring
from backupman.data_plane.tasks import Copy, Packed, RestoreTask
from backupman.data_plane.throttle import Throttle
from backupman.data_plane.uploading import drive_of
from backupman.errors import DriveError, PipelineError, RestoreError
from backupman.pipeline import unpacked
from backupman.pipeline._sink import CHUNK, Pieces
from backupman.writing import write_all

Tell = Callable[[BaseModel], None]


def restore(task: RestoreTask, to: int, tell: Tell) -> None:
    """Write the dump to a descriptor; a file begins anew with each copy, a pipe takes the first one that it is given.

    Raises:
        RestoreError: no copy is good, or what is to take the dump does not.
    """
    errors = []
    out = _Out(to, task.label)
    for copy in task.copies:
        try:
            _from(task, copy, out, tell)
        except (DriveError, PipelineError) as error:
            sentence = tell_bad(copy, error, tell)
            errors.append(sentence)
            if not out.begin_anew():
                sentence += f"; {out.written} bytes had been written by then: they are not a whole dump"
                raise RestoreError(f"{task.label}: {sentence}", permanent=True) from error
        else:
            out.finish()
            return
    raise RestoreError(f"{task.label}: no copy can be restored: {'; '.join(errors)}", permanent=True)


def tell_bad(copy: Copy, error: DriveError | PipelineError, tell: Tell) -> str:
    """Tell that a copy cannot be restored from; the sentence, which names its drive."""
    label = copy.drive.label
    sentence = error.sentence if error.sentence.startswith(label) else f"{label}: {error.sentence}"
    tell(CopyFailed(label=label, error=sentence))
    return sentence


def _from(task: RestoreTask, copy: Copy, out: "_Out", tell: Tell) -> None:
    throttle = Throttle()
    with opened(copy, task) as dump:
        while chunk := dump.read(CHUNK):
            out.write(chunk)
            if throttle.due():
                tell(Restoring(label=copy.drive.label, read=dump.taken, written=out.written))
    tell(Restoring(label=copy.drive.label, read=dump.taken, written=out.written))


@contextmanager
def opened(copy: Copy, packed: Packed) -> Iterator["Checked"]:
    """The dump in a copy, unpacked; only who has read it up to its end knows that it is good.

    Raises:
        DriveError: the drive does not give it.
        PipelineError: it is damaged, or not for these identities.
    """
    drive = drive_of(copy.drive, packed.retry)
    with (
        Ahead(lambda: drive.open(copy.ref)) as stored,
        unpacked(cast(BinaryIO, stored), packed.ending, packed.identities) as dump,
    ):
        yield Checked(dump, stored, packed.sha256)


class Checked(Pieces):
    """A dump whose end is given out only when all stored bytes have the hash that was recorded."""

    def __init__(self, dump: BinaryIO, stored: Ahead, sha256: str) -> None:
        self._dump = dump
        self._stored = stored
        self._sha256 = sha256

    @property
    def taken(self) -> int:
        """Stored bytes so far."""
        return self._stored.size

    def _next(self) -> bytes:
        """Raises PipelineError at the end of a dump that is not what was stored."""
        chunk = self._dump.read(CHUNK)
        if not chunk:
            self._must_be_what_was_stored()
        return chunk

    def _must_be_what_was_stored(self) -> None:
        """Of an imported backup the hash may be unknown (empty)."""
        found = self._stored.sha256()
        if self._sha256 and found != self._sha256:
            raise PipelineError("the object is damaged: its sha256 is not the one that was recorded", permanent=True)


class _Out:
    """What takes the dump: a file, or a pipe."""

    def __init__(self, fd: int, label: str) -> None:
        self._fd = fd
        self._label = label
        self._file = stat.S_ISREG(os.fstat(fd).st_mode)
        self._start = os.lseek(fd, 0, os.SEEK_CUR) if self._file else 0
        self.written = 0

    def write(self, data: bytes) -> None:
        """Write all of it."""
        try:
            write_all(self._fd, data)
        except OSError as error:
            raise self._refusal(error) from error
        self.written += len(data)

    def begin_anew(self) -> bool:
        """Whether nothing is written now, so that another copy may be."""
        if self.written and self._file:
            os.ftruncate(self._fd, self._start)
            os.lseek(self._fd, self._start, os.SEEK_SET)
            self.written = 0
        return not self.written

    def finish(self) -> None:
        """Bring a file to the disk."""
        try:
            if self._file:
                os.fsync(self._fd)
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> RestoreError:
        why = {
            errno.EPIPE: "what reads standard output has ended before the dump has",
            errno.ENOSPC: "the disk that the dump is written to is full: make room, or name another file",
            errno.EDQUOT: "the quota of the disk that the dump is written to is used up: name another file",
        }.get(error.errno or 0, f"the dump cannot be written: {error.strerror}")
        return RestoreError(f"{self._label}: {why}", permanent=True)
