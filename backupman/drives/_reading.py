"""What the streams of all objects have in common: a size, a place, and chunks that are asked for as they are needed."""

import io
from abc import abstractmethod


class ObjectStream(io.RawIOBase):
    """A seekable stream of an object; what `_chunk` raises comes out of `read`."""

    _position = 0
    _rest = b""
    """What came with the last chunk, and was not read yet."""

    @property
    @abstractmethod
    def _size(self) -> int:
        """The object's bytes."""

    @abstractmethod
    def _chunk(self, wanted: int) -> bytes:
        """Bytes from the position on: at least one, perhaps more than are wanted. Not asked for at the end."""

    def _moved(self) -> None:
        """The position has changed, and not by reading."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place; the bytes there are asked for by the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if (position := max(0, base + offset)) != self._position:
            self._position, self._rest = position, b""
            self._moved()
        return position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # Buffer has no name in Python 3.11
        if not self._rest and self._position < self._size:
            self._rest = self._chunk(len(buffer))
        given, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(given)] = given
        self._position += len(given)
        return len(given)
