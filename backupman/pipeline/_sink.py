"""What every stage writes to and reads from: sinks, watched sources, and streams made of a generator of chunks."""

import io
from collections.abc import Generator
from typing import BinaryIO, Protocol, cast

CHUNK = 256 * 1024
"""How many bytes are read at a time: larger gains nothing, smaller costs system calls (measured)."""


class Sink(Protocol):
    """Something that bytes are written to; it takes all of them or raises."""

    def write(self, data: bytes, /) -> int:
        """Take all of `data`; the number of its bytes."""


class Watched(io.RawIOBase):
    """A source as a library reads it, with what the library does not tell: whether it was empty, and its own error."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.empty = True
        self.error: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # Buffer has no name in Python 3.11
        try:
            data = self._source.read(len(buffer))
        except Exception as error:
            self.error = error
            raise
        buffer[: len(data)] = data
        self.empty = self.empty and not data
        return len(data)


class _ChunkStream(io.RawIOBase):
    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def close(self) -> None:
        """Let the generator end too, with whatever it holds."""
        self._chunks.close()
        super().close()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # Buffer has no name in Python 3.11
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        taken = min(len(buffer), len(self._rest))
        buffer[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken


def stream(chunks: Generator[bytes, None, None]) -> BinaryIO:
    """A readable stream of the chunks, made as they are asked for."""
    return cast(BinaryIO, io.BufferedReader(_ChunkStream(chunks), CHUNK))
