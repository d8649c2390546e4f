"""A stored object is read and hashed ahead of who unpacks it, never far; an error comes out where it is taken."""

import hashlib
import io
import threading
from typing import BinaryIO, cast

import pytest

from backupman.data_plane import ahead
from backupman.data_plane.ahead import Ahead
from backupman.errors import DriveError
from backupman.pipeline._sink import CHUNK

OBJECT = bytes(range(256)) * (CHUNK // 32)
"""Eight pieces."""


class Stored(io.RawIOBase):
    """An object that counts how often it is read, and breaks after so many reads."""

    def __init__(self, data: bytes = OBJECT, breaks_after: int | None = None) -> None:
        self._data = io.BytesIO(data)
        self._breaks_after = breaks_after
        self.reads = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if self.reads == self._breaks_after:
            raise DriveError("Disk: the disk has gone")
        self.reads += 1
        return self._data.read(size)


def opened(stored: io.RawIOBase) -> Ahead:
    return Ahead(lambda: cast(BinaryIO, stored))


def reading() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "reading"]


@pytest.mark.parametrize("size", [1, 4000, CHUNK - 1, CHUNK, 2 * CHUNK])
def test_the_bytes_are_what_is_stored(size: int) -> None:
    data = OBJECT if size > 1 else OBJECT[:1000]
    stored = Stored(data)
    with opened(stored) as stream:
        assert b"".join(iter(lambda: stream.read(size), b"")) == data
        assert stream.read(size) == b""
        assert stream.size == len(data)
        assert stream.sha256() == hashlib.sha256(data).hexdigest()
    assert stored.closed
    assert reading() == []


def test_the_hash_is_of_all_bytes_also_of_those_that_nobody_took() -> None:
    with opened(Stored()) as stream:
        assert stream.read(10) == OBJECT[:10]
        assert stream.sha256() == hashlib.sha256(OBJECT).hexdigest()


def test_it_is_never_far_ahead() -> None:
    stored = Stored(bytes(100 * CHUNK))
    with opened(stored) as stream:
        for taken in range(1, 80):
            assert len(stream.read(CHUNK)) == CHUNK
            assert stored.reads <= taken + ahead._PIECES + 1


def test_an_error_comes_after_what_was_read_before_it() -> None:
    stored = Stored(breaks_after=3)
    with opened(stored) as stream:
        assert b"".join(stream.read(CHUNK) for _ in range(3)) == OBJECT[: 3 * CHUNK]
        for _ in range(2):  # never an end, however often it is asked for
            with pytest.raises(DriveError, match="the disk has gone"):
                stream.read(CHUNK)
    assert stored.closed


def test_an_object_that_cannot_be_opened() -> None:
    def refuse() -> BinaryIO:
        raise DriveError("Disk: there is no such object")

    with Ahead(refuse) as stream, pytest.raises(DriveError, match="no such object"):
        stream.read(1)
    assert reading() == []


def test_who_leaves_early_waits_for_no_drive_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_PATIENCE", 0.01)
    answers = threading.Event()

    class Silent(Stored):
        def read(self, size: int | None = -1) -> bytes:
            assert answers.wait(60)
            return super().read(size)

    stored = Silent()
    stream = opened(stored)
    stream.close()
    assert not stored.closed
    [thread] = [thread for thread in threading.enumerate() if thread.name == "reading"]
    answers.set()
    thread.join(60)
    assert stored.closed
    assert stored.reads <= 1
