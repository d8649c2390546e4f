"""A folder of files as a tar stream that removes what it passes on, so that there is never a second copy; and back."""

import fcntl
import io
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from backupman.errors import DumpError

_CHUNK = 2**18
_BLOCK = tarfile.BLOCKSIZE

TAR_END = b"\0" * 2 * _BLOCK
"""How every whole tar stream ends."""

_MEMBER = re.compile(r"dump/[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
"""What `pg_dump --format=directory` writes: toc.dat, blobs.toc, 3456.dat, ..."""


_ROWS = re.compile(r"\d+\.dat")
"""Of those the rows of a table, which are written once, from beginning to end."""

_LOOK_EVERY = 0.1
"""Seconds."""


class Packed(io.RawIOBase):
    """The stream of a folder that is still being written: a table's rows go out as soon as they are whole.

    Its members stand in a folder of the same name, the table of contents behind those rows. `ended` waits so many
    seconds for whoever writes, and says whether all is there; what it raises ends the stream.
    """

    def __init__(self, label: str, folder: Path, ended: Callable[[float], bool]) -> None:
        self._label = label
        self._ended = ended
        self._pieces = self._packed(folder)
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, up to `size`.

        Raises:
            DumpError: a file cannot be read.
        """
        if size is None or size < 0:
            return self.readall()
        while not self._piece:
            if (packed := next(self._pieces, None)) is None:
                return b""
            self._piece = memoryview(packed)
        piece, self._piece = self._piece[:size], self._piece[size:]
        return bytes(piece)

    def close(self) -> None:
        """Let go of the file that was read last."""
        self._pieces.close()
        super().close()

    def _packed(self, folder: Path) -> Generator[bytes, None, None]:
        try:
            while not self._ended(_LOOK_EVERY):
                for path in folder.glob("*.dat"):
                    if _ROWS.fullmatch(path.name) and _closed(path):
                        yield from _taken(path)
            for path in sorted(folder.iterdir(), key=lambda path: (path.name != "toc.dat", path.name)):
                yield from _taken(path)
        except OSError as error:
            raise DumpError(f"{self._label}: {error.filename} cannot be packed: {error.strerror}") from error
        yield TAR_END


def _closed(path: Path) -> bool:
    """Whether nobody has the file open for writing any more: only then the system gives a lease for reading it.

    Where a disk knows no leases all files are packed in the end. See fcntl(2), F_SETLEASE.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _taken(path: Path) -> Iterator[bytes]:
    """A file as a member, and then it is gone."""
    yield from _member(path, f"{path.parent.name}/{path.name}")
    path.unlink()


def _member(path: Path, name: str) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        member = tarfile.TarInfo(name)
        status = path.stat()
        member.size, member.mtime, member.mode = status.st_size, int(status.st_mtime), 0o600
        # The GNU format has no limit of 8 GiB, and tar, bsdtar and Python read it.
        yield member.tobuf(tarfile.GNU_FORMAT)
        while chunk := file.read(_CHUNK):
            yield chunk
        yield b"\0" * (-member.size % _BLOCK)


def unpack(label: str, dump: BinaryIO, folder: Path) -> Path:
    """The folder that was packed, below `folder`; the stream is read to its end.

    What is no plain file of a dump is refused, and nothing is written outside of the folder. An error that reading
    `dump` raises is passed on.

    Raises:
        DumpError: it is no such stream, or is cut off, or the disk is full.
    """
    place = folder / "dump"
    stream = _Whole(label, dump)
    try:
        shutil.rmtree(place, ignore_errors=True)  # what an earlier try has left
        place.mkdir(mode=0o700)
        while (block := stream.take(_BLOCK)) != TAR_END[:_BLOCK]:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if not member.isreg() or not _MEMBER.fullmatch(member.name):
                raise DumpError(f"{label}: {member.name!r} in the dump is nothing that pg_dump writes", permanent=True)
            with (place / Path(member.name).name).open("xb") as file:
                for size in _pieces(member.size):
                    file.write(stream.take(size))
            stream.take(-member.size % _BLOCK)
    except tarfile.HeaderError as error:
        raise stream.damaged() from error
    except OSError as error:
        raise DumpError(f"{label}: the dump cannot be unpacked in {folder}: {error.strerror}") from error
    if stream.take(_BLOCK) != TAR_END[:_BLOCK] or dump.read(1):
        raise stream.damaged()
    return place


def _pieces(size: int) -> Iterator[int]:
    """A number in numbers that are not large."""
    for start in range(0, size, _CHUNK):
        yield min(_CHUNK, size - start)


class _Whole:
    """A stream of which exactly as many bytes are taken as are wanted."""

    def __init__(self, label: str, dump: BinaryIO) -> None:
        self._label = label
        self._dump = dump

    def take(self, size: int) -> bytes:
        """The next `size` bytes. Raises DumpError when there are fewer."""
        taken = b""
        while len(taken) < size:
            chunk = self._dump.read(size - len(taken))
            if not chunk:
                raise self.damaged()
            taken += chunk
        return taken

    def damaged(self) -> DumpError:
        """What is said of a stream that is not what was packed."""
        return DumpError(f"{self._label}: the dump is damaged or cut off: it is no whole tar file", permanent=True)
