"""Reads an object from anywhere in it, a range at a time, where a server gives out ranges."""

import io
from collections.abc import Callable

RANGE = 8 * 2**20


class RangeReader(io.RawIOBase):
    """A seekable stream of an object of `size` bytes; `fetch(start, end)` gives what stands from `start` before `end`.

    Whatever `fetch` raises comes out of `read`. `on_close` is called once.
    """

    def __init__(
        self, size: int, fetch: Callable[[int, int], bytes], on_close: Callable[[], object] = lambda: None
    ) -> None:
        self._size = size
        self._fetch = fetch
        self._on_close = on_close
        self._position = 0
        self._held = b""
        self._held_from = 0

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
            self._held = self._fetch(self._position, min(self._position + RANGE, self._size))
            self._held_from = self._position
        start = self._position - self._held_from
        data = self._held[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Let go of what is held, and of the connection."""
        if not self.closed:
            self._held = b""
            self._on_close()
        super().close()
