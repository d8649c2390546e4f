"""In the child: a stored object, read and hashed in a thread of its own while what was read before is unpacked."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread
from typing import BinaryIO

from backupman.pipeline._sink import CHUNK, Pieces

_PIECES = 8
_PATIENCE = 5.0
"""Seconds that a drive is waited for which does not answer, when nobody wants its answer any more."""


class Ahead(Pieces):
    """The stored bytes, a few pieces ahead of who takes them. What reading them raises is raised where they are taken.

    `opens` gives the stream; it is opened, read and closed in the thread alone, so that no end has to wait for it.
    """

    def __init__(self, opens: Callable[[], BinaryIO]) -> None:
        self._opens = opens
        self._digest = hashlib.sha256()
        self._read: Queue[bytes | Exception] = Queue(_PIECES)
        self._end: bytes | Exception | None = None
        self.size = 0
        self._thread = Thread(target=self._run, name="reading", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, or leave it to itself where its drive does not answer."""
        if not self.closed:
            super().close()
            with suppress(Empty):
                while True:
                    self._read.get_nowait()
            self._thread.join(_PATIENCE)

    def sha256(self) -> str:
        """The hash of all bytes, in hex; those that nobody has taken are read now."""
        while self.read(CHUNK):
            pass
        return self._digest.hexdigest()

    def _next(self) -> bytes:
        piece = self._read.get() if self._end is None else self._end
        if not piece or isinstance(piece, Exception):
            self._end = piece  # and again for whoever asks once more
        if isinstance(piece, Exception):
            raise piece
        self.size += len(piece)
        return piece

    def _run(self) -> None:
        try:
            with self._opens() as stored:
                while not self.closed and (piece := stored.read(CHUNK)):
                    self._digest.update(piece)
                    self._read.put(piece)
        except Exception as error:  # noqa: BLE001 - raised in the other thread
            self._read.put(error)
        else:
            self._read.put(b"")
