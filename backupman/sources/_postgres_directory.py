"""A folder of files as a tar stream that removes what it has passed on, so that there is never a second copy."""

import io
import tarfile
from collections.abc import Generator, Iterator
from pathlib import Path

from backupman.errors import DumpError

_CHUNK = 2**18

TAR_END = b"\0" * 2 * tarfile.BLOCKSIZE
"""How every whole tar stream ends."""


class Packed(io.RawIOBase):
    """The stream. Its members stand in a folder of the same name, the table of contents first."""

    def __init__(self, label: str, folder: Path) -> None:
        self._label = label
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
        if not self._piece:
            self._piece = memoryview(next(self._pieces, b""))
        piece, self._piece = self._piece[:size], self._piece[size:]
        return bytes(piece)

    def close(self) -> None:
        """Let go of the file that was read last."""
        self._pieces.close()
        super().close()

    def _packed(self, folder: Path) -> Generator[bytes, None, None]:
        try:
            for path in sorted(folder.iterdir(), key=lambda path: (path.name != "toc.dat", path.name)):
                yield from _member(path, f"{folder.name}/{path.name}")
                path.unlink()
        except OSError as error:
            raise DumpError(f"{self._label}: {error.filename} cannot be packed: {error.strerror}") from error
        yield TAR_END


def _member(path: Path, name: str) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        member = tarfile.TarInfo(name)
        status = path.stat()
        member.size, member.mtime, member.mode = status.st_size, int(status.st_mtime), 0o600
        # The GNU format has no limit of 8 GiB, and tar, bsdtar and Python read it.
        yield member.tobuf(tarfile.GNU_FORMAT)
        while chunk := file.read(_CHUNK):
            yield chunk
        yield b"\0" * (-member.size % tarfile.BLOCKSIZE)
