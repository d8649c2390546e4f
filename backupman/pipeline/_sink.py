"""What every stage writes to and reads from: sinks, watched sources, and streams made of a generator of chunks."""

import io
from abc import abstractmethod
from collections.abc import Generator
from typing import BinaryIO, Protocol, cast

CHUNK = 256 * 1024
"""How many bytes are read at a time: larger gains nothing, smaller costs system calls (measured)."""


class Sink(Protocol):
    """Something that bytes are written to; it takes all of them or raises."""

    def write(self, data: bytes, /) -> int:
        """Take all of `data`; the number of its bytes."""


class Pieces(io.RawIOBase):
    """A stream that hands its pieces on as they come; a read may give fewer bytes than were asked for.

    To fill a buffer with them first would take a quarter of the time that unpacking takes.
    """

    _rest = memoryview(b"")

    @abstractmethod
    def _next(self) -> bytes:
        """The next piece, as large as it is; empty at the end, and whenever it is asked for again then."""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes, none only at the end; without a size all of them."""
        if size is None or size < 0:
            return self.readall()
        if not self._rest:
            piece = self._next()
            if len(piece) <= size:
                return piece
            self._rest = memoryview(piece)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # Buffer has no name in Python 3.11
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Watched(Pieces):
    """A source as a library reads it, with what the library does not tell: whether it was empty, and its own error."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.empty = True
        self.error: Exception | None = None

    def _next(self) -> bytes:
        try:
            data = self._source.read(CHUNK)
        except Exception as error:
            self.error = error
            raise
        self.empty = self.empty and not data
        return data


class _Generated(Pieces):
    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        self._chunks = chunks

    def close(self) -> None:
        """Let the generator end too, with whatever it holds."""
        self._chunks.close()
        super().close()

    def _next(self) -> bytes:
        return next(self._chunks, b"")


def stream(chunks: Generator[bytes, None, None]) -> BinaryIO:
    """A readable stream of the chunks, made as they are asked for."""
    return cast(BinaryIO, _Generated(chunks))
