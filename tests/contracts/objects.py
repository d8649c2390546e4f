"""Objects for the tests of drives: names of every kind, readers that give less or break, and what was stored."""

import io
import threading
from typing import BinaryIO

from backupman.drives import Drive, Stored

NAME = "shop/orders/backup-20261121120000-0123abcd.sql.gz"

ODD_NAMES = {
    "spaces": "a b/ c /d.sql",
    "accents": "größe/naïve-日本語-😀.sql",
    "quotes": 'it\'s "odd" `$HOME` $(x).sql',
    "signs": "a+b&c=d?e#f%20%2F;g,h:i@j!k*l[m]{n}|o<p>q\\r~.sql",
    "dots": ".hidden/..x/y...sql",
    "long": "/".join(["f" * 200] * 4),
}

BAD_NAMES = {
    "empty": "",
    "absolute": "/etc/passwd",
    "upwards": "../outside",
    "upwards inside": "a/../../outside",
    "here": "a/./b",
    "empty folder": "a//b",
    "a folder": "a/",
    "nul": "a\0b",
    "line feed": "a\nb",
    "not unicode": "a\udc80b",
    "unfinished": "a.part",
    "a long folder": "f" * 241,
    "long": "/".join(["f" * 100] * 10),
}


class Reader(io.RawIOBase):
    """Bytes as a socket gives them: read in chunks, at most `most` at a time, and broken off by `error` at the end."""

    def __init__(self, data: bytes, most: int | None = None, error: Exception | None = None) -> None:
        self._stream = io.BytesIO(data)
        self._most = most
        self._error = error
        self.asked: list[int] = []

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self.asked.append(size)
        data = self._stream.read(min(size, self._most) if self._most else size)
        if self._error and not data:
            raise self._error
        return data


def put(drive: Drive, name: str, data: bytes | BinaryIO) -> Stored:
    """Upload bytes, or what a reader gives."""
    return drive.upload(io.BytesIO(data) if isinstance(data, bytes) else data, name, {"source": "größe 'x'"})


def content(drive: Drive, ref: str) -> bytes:
    """The bytes of an object."""
    with drive.open(ref) as stream:
        return stream.read()


def threads() -> set[str]:
    """The threads of this process that have a name: a test's server works in nameless ones."""
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("Thread-")}
