"""The spool: the local file that the pipeline fills, and that uploads read while it grows.

It is written as `<name>.part` with mode 0600 and gets its name by `commit()`, which the engine calls only when the
gate has accepted the dump. A reader hands out what is already on disk, and knows the end only after the commit: so
the last part of an upload waits for the gate, and a failed dump raises in every upload that follows it.
"""

import errno
import hashlib
import io
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Condition

from backupman.errors import BackupmanError, NoRoom, PipelineError
from backupman.pipeline._sink import CHUNK
from backupman.text import space
from backupman.writing import Flusher, write_all

_LOOK_EVERY = 32 * 2**20
"""Bytes after which the room on the disk is looked at, and what was written is flushed."""
_TELL_EVERY = 0.25


def check_room(folder: Path, keep_free: int, what: str = "the spool", setting: str = "spool.folder") -> None:
    """Raise NoRoom when less than `keep_free` bytes are free where the folder is that `setting` names."""
    free = shutil.disk_usage(folder).free
    if free < keep_free:
        raise NoRoom(
            f"only {space(free)} are free for {what} in {folder}, and spool.min_free wants "
            f"{space(keep_free)} to stay free: make room, or set {setting} to a larger disk"
        )


class Spool:
    """One dump on its way: a sink for the pipeline, and the source of any number of readers.

    Args:
        path: where the file stands after the commit.
        keep_free: bytes that must stay free on the file system; the spool fails before it takes them.
        max_size: bytes that the spool may hold, or None.
    """

    def __init__(self, path: Path, *, keep_free: int = 0, max_size: int | None = None) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.size = 0
        self.committed = False
        self.error: BackupmanError | None = None
        self._changed = Condition()
        self._digest: hashlib._Hash | None = hashlib.sha256()
        self._keep_free = keep_free
        self._max_size = max_size
        self._looked_at = 0
        self._fd = -1
        self._make_file()
        self._flusher = Flusher(self._fd)

    @classmethod
    def kept(cls, path: Path) -> "Spool":
        """A spool of an earlier run, committed then.

        Raises:
            PipelineError: the file is not there any more.
        """
        spool = cls.__new__(cls)
        try:
            spool._fd = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise PipelineError(f"the spooled dump {path} cannot be read: {error.strerror}", permanent=True) from error
        spool.path = spool.part = path
        spool.size = os.fstat(spool._fd).st_size
        spool.committed, spool.error, spool._changed = True, None, Condition()
        spool._digest = None
        spool._flusher = Flusher(spool._fd)
        return spool

    @property
    def sha256(self) -> str:
        """The hash of what was written so far, in hex; a kept spool is read for it, once."""
        if self._digest is None:
            digest = hashlib.sha256()
            for position in range(0, self.size, CHUNK):
                digest.update(self._read(CHUNK, position))
            self._digest = digest
        return self._digest.hexdigest()

    def write(self, data: bytes, /) -> int:
        """Append all of `data`.

        Raises:
            PipelineError: the disk is full, or a limit is reached.
            BackupmanError: what the spool was failed with, so that a dump that is given up ends.
        """
        if self.error:
            raise self.error
        if self._max_size is not None and self.size + len(data) > self._max_size:
            raise PipelineError(f"the dump is larger than spool.max_size ({self._max_size} bytes)", permanent=True)
        if due := self.size + len(data) - self._looked_at >= _LOOK_EVERY:
            self._check_space()
        try:
            write_all(self._fd, data)
            if due:
                self._flusher.flush()
        except OSError as error:
            raise self._no_room(error) from error
        assert self._digest is not None  # noqa: S101 - only a kept spool has none, and nobody writes to it
        self._digest.update(data)
        with self._changed:
            self.size += len(data)
            self._changed.notify_all()
        return len(data)

    def commit(self) -> None:
        """Give the file its name: the dump is good, and uploads may complete."""
        try:
            self._flusher.end()
            os.fsync(self._fd)
            with self._changed:
                self.part.rename(self.path)
                self.committed = True
                self._changed.notify_all()
        except OSError as error:
            raise self._no_room(error) from error

    def fail(self, error: BackupmanError) -> None:
        """End every reader with an error; before the commit the file is removed too, after it the dump stays."""
        with self._changed:
            self.error = self.error or error
            self._changed.notify_all()
        if not self.committed:
            with suppress(OSError):  # of a disk that fails: whoever tidies up after the backup tells of it
                self.part.unlink(missing_ok=True)

    def reader(
        self, progress: Callable[[int], None] | None = None, pace: Callable[[int], None] | None = None
    ) -> "SpoolReader":
        """A new reader from the start.

        `progress` is told the position after each read. `pace` is told how many bytes are about to be given out, and
        may take its time.
        """
        return SpoolReader(self, progress, pace)

    def pause(self, seconds: float) -> None:
        """Wait so long; raises the dump's error as soon as the dump has failed."""
        with self._changed:
            self._changed.wait_for(lambda: self.error, seconds)
            if self.error:
                raise self.error

    def close(self) -> None:
        """Let go of the file; an uncommitted one is removed."""
        self.fail(PipelineError("the dump was given up"))
        with suppress(OSError):
            self._flusher.end()
        os.close(self._fd)

    def _make_file(self) -> None:
        try:
            for folder in reversed(self.path.parents):  # mkdir(parents=True) would leave the parents readable to all
                if not folder.exists():
                    folder.mkdir(mode=0o700, exist_ok=True)
            self._check_space()
            self._fd = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise PipelineError(
                f"the spool {self.part} cannot be made: {error.strerror}; give the daemon a folder that it may write"
            ) from error

    def _check_space(self) -> None:
        self._looked_at = self.size
        check_room(self.path.parent, self._keep_free)

    def _no_room(self, error: OSError) -> PipelineError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return NoRoom(f"the disk of the spool folder {self.path.parent} is full: make room, or set spool.folder")
        return PipelineError(f"the spool {self.part} cannot be written: {error.strerror}")

    def _link(self, name: Path) -> bool:
        with self._changed:
            if self.error:
                raise self.error
            try:
                if os.fstat(self._fd).st_nlink > 1:  # two copies that are one file would be damaged together
                    return False
                os.link(self.path if self.committed else self.part, name)
            except OSError:  # another disk, or one without links; what else is wrong shows when it is written to
                return False
            return True

    def _wait(self, end: int | None, seconds: float | None = None) -> bool:
        """Wait until there are `end` bytes, or for the commit; whether it came to that within so many seconds."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: self.error or self.committed or (end is not None and self.size >= end), seconds
            )
            if self.error:
                raise self.error
            return bool(found)

    def _read(self, size: int, position: int) -> bytes:
        """`size` bytes from `position`, fewer only at the end; waits until they are there."""
        self._wait(position + size)
        chunks, left = [], min(size, self.size - position)
        try:
            while left > 0 and (chunk := os.pread(self._fd, left, position)):  # the system may give less than asked for
                chunks.append(chunk)
                position, left = position + len(chunk), left - len(chunk)
        except OSError as error:
            raise PipelineError(f"the spool {self.path} cannot be read: {error.strerror}") from error
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class SpoolReader(io.RawIOBase):
    """Reads a spool while it grows; `read(n)` gives n bytes, fewer only at the end, which comes after the commit.

    Seekable, so that a part can be sent again. Raises the dump's error once the dump has failed.
    """

    def __init__(
        self,
        spool: Spool,
        progress: Callable[[int], None] | None = None,
        pace: Callable[[int], None] | None = None,
    ) -> None:
        self._spool = spool
        self._position = 0
        self._progress = progress
        self._pace = pace

    @property
    def committed(self) -> bool:
        """Whether the gate has spoken, so that `size` is final."""
        return self._spool.committed

    @property
    def size(self) -> int:
        """How many bytes there are so far."""
        return self._spool.size

    def wait_for_the_end(self) -> None:
        """Wait for the commit; raises the dump's error."""
        self._spool._wait(None)

    def link(self, name: Path) -> bool:
        """Give the spool's file another name, for one drive and where nobody keeps a pace; whether that was done."""
        return self._pace is None and self._spool._link(name)

    def whole(self) -> tuple[int, str]:
        """Wait for the commit: the size of the file and its sha256. Raises the dump's error."""
        ended = False
        while not ended:
            ended = self._spool._wait(None, _TELL_EVERY)
            if self._progress:
                self._progress(self.size)
        return self.size, self._spool.sha256

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place; from the end only after the commit."""
        if whence == io.SEEK_END:
            self.wait_for_the_end()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._spool.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, or all of them; fewer only at the end."""
        if size is None or size < 0:
            return self.readall()
        data = self._spool._read(size, self._position)
        if self._pace:
            self._pace(len(data))
        self._position += len(data)
        if self._progress:
            self._progress(self._position)
        return data

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # Buffer has no name in Python 3.11
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
