"""What every stage writes to, and a stream that is pulled out of a generator of chunks."""

import io
from collections.abc import Iterator
from typing import BinaryIO, Protocol, cast

CHUNK = 256 * 1024
"""How many bytes are read at a time: larger gains nothing, smaller costs system calls (measured)."""


class Sink(Protocol):
    """Something that bytes are written to; it takes all of them or raises."""

    def write(self, data: bytes, /) -> int:
        """Take all of `data`; the number of its bytes."""


class _ChunkStream(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

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


def stream(chunks: Iterator[bytes]) -> BinaryIO:
    """A readable stream of the chunks, made as they are asked for."""
    return cast(BinaryIO, io.BufferedReader(_ChunkStream(chunks), CHUNK))
