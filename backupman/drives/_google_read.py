"""Reads a file of Google Drive from anywhere in it, a range at a time."""

import io
from contextlib import AbstractContextManager
from typing import Any

from backupman.drives._google_client import Client, Connection
from backupman.errors import DriveError

RANGE = 8 * 2**20


class FileReader(io.RawIOBase):
    """A seekable stream of one file of `size` bytes, on a connection of its own."""

    def __init__(self, client: Client, file_id: str, size: int) -> None:
        self._file_id = file_id
        self._size = size
        self._position = 0
        self._held = b""
        self._held_from = 0
        self._way: AbstractContextManager[Connection] = client.connected()
        self._connection = self._way.__enter__()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place; the bytes there are asked for by the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # Buffer has no name in Python 3.11
        if self._position >= self._size:
            return 0
        if not self._held_from <= self._position < self._held_from + len(self._held):
            self._held = b""  # let go of it before the next one comes
            self._held, self._held_from = self._range(self._position), self._position
        start = self._position - self._held_from
        data = self._held[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            self._held = b""
            self._way.__exit__(None, None, None)
        super().close()

    def _range(self, start: int) -> bytes:
        end = min(start + RANGE, self._size)
        request: Any = self._connection.files.get_media(fileId=self._file_id, supportsAllDrives=True)
        # Unless told otherwise the library asks for gzip, of which a range is none of the file.
        request.headers |= {"Range": f"bytes={start}-{end - 1}", "accept-encoding": "identity"}

        def attempt() -> bytes:
            with self._connection.door.explained(f"file {self._file_id}"):
                data: bytes = self._connection.execute(request)
            if len(data) != end - start:
                raise DriveError(
                    f"{self._connection.door.label}: Google gave {len(data)} instead of {end - start} bytes of file "
                    f"{self._file_id}"
                )
            return data

        found: bytes = self._connection.door.retry.call(attempt)
        return found
