"""Reads an object from anywhere in it, a range at a time, where a server gives out ranges."""

from collections.abc import Callable

from backupman.drives._reading import ObjectStream

RANGE = 8 * 2**20


class RangeReader(ObjectStream):
    """A seekable stream of an object of `size` bytes; `fetch(start, end)` gives what stands from `start` before `end`.

    Whatever `fetch` raises comes out of `read`. `on_close` is called once.
    """

    def __init__(
        self, size: int, fetch: Callable[[int, int], bytes], on_close: Callable[[], object] = lambda: None
    ) -> None:
        self._end = size
        self._fetch = fetch
        self._on_close = on_close
        self._held = b""
        self._held_from = 0

    @property
    def _size(self) -> int:
        return self._end

    def _chunk(self, wanted: int) -> bytes:
        if not self._held_from <= self._position < self._held_from + len(self._held):
            self._held = b""  # let go of it before the next one comes
            self._held = self._fetch(self._position, min(self._position + RANGE, self._end))
            self._held_from = self._position
        start = self._position - self._held_from
        return self._held[start : start + wanted]

    def close(self) -> None:
        """Let go of what is held, and of the connection."""
        if not self.closed:
            self._held = b""
            self._on_close()
        super().close()
