"""The resumable upload of Google's services: chunks of a stream whose length nobody knows before its end.

https://developers.google.com/workspace/drive/api/guides/manage-uploads#resumable. The library's own `next_chunk` opens
the session and sends the first chunk in one go, so that a session could not be recorded before it holds something, and
takes a chunk of which Google kept a part for the end of the stream. So the requests are made here, over its connection.

The address of a session is all that is needed to write to it: it stands in no error and in no log.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

from backupman.drives._google_client import Connection
from backupman.drives._google_errors import SessionGone
from backupman.errors import DriveError

CHUNK_STEP = 256 * 2**10
"""Google takes chunks in multiples of it."""

_MIME = "application/octet-stream"
_GONE = (400, 404, 410, 412, 416)
"""What Google answers for a session that it does not know any more, or not as we know it."""

_CANCELLED = 499
"""What Google answers when a session was ended by us."""


@dataclass(frozen=True)
class Session:
    """An upload under way: the id that its file will have, and the address that takes its bytes."""

    file_id: str
    address: str

    def __str__(self) -> str:
        return f"{self.file_id} {self.address}"

    @classmethod
    def of(cls, text: str) -> "Session":
        """The session that `str` wrote."""
        file_id, _, address = text.partition(" ")
        return cls(file_id, address)


@dataclass(frozen=True)
class Sent:
    """What was sent, and what Google says that it stored."""

    size: int
    checksums: Mapping[str, str]
    file: Mapping[str, Any]


class Sender:
    """Sends one object in chunks of `chunk` bytes; `name` is what sentences call it."""

    gone: ClassVar[tuple[int, ...]] = _GONE

    def __init__(self, connection: Connection, chunk: int, name: str) -> None:
        self._connection = connection
        self._door = connection.door
        self._chunk = chunk
        self._name = name

    def begin(self, request: Any, file_id: str) -> Session:
        """Open a session for the file that the library's request describes."""

        def attempt() -> str:
            with self._door.explained(self._name):
                request.headers["X-Upload-Content-Type"] = _MIME
                status, headers, body = self._connection.begin(request)
                if status != 200 or "location" not in headers:
                    raise self._door.refusal(status, headers, body, self._name)
                return str(headers["location"])

        return Session(file_id, self._door.retry.call(attempt))

    def standing(self, session: Session) -> int | Mapping[str, Any] | None:
        """How many bytes Google holds, the file if it holds all of it, or None when the session is gone."""

        def attempt() -> int | Mapping[str, Any] | None:
            try:
                return self._ask(session)
            except SessionGone:
                return None

        return self._door.retry.call(attempt)

    def send(self, session: Session, reader: BinaryIO, start: int = 0) -> Sent:
        """Everything that the reader gives from `start` on; what stands before it is only read."""
        window = _Window(reader, self._chunk)
        window.skip(start)
        while True:
            window.fill()
            came = self._send_chunk(session, window)
            if isinstance(came, Mapping):
                return Sent(window.end, window.checksums, came)
            window.advance(came - window.start)

    def read_only(self, reader: BinaryIO, file: Mapping[str, Any]) -> Sent:
        """What a reader gives, whose file is there whole already."""
        window = _Window(reader, self._chunk)
        window.skip(None)
        return Sent(window.end, window.checksums, file)

    def cancel(self, session: Session) -> None:
        """End a session, so that nothing of it stays; one that has ended is fine. Raises DriveError."""

        def attempt() -> None:
            with self._door.explained(self._name):
                status, headers, body = self._connection.send("DELETE", session.address, {"Content-Length": "0"})
                if status >= 300 and status != _CANCELLED and status not in _GONE:
                    raise self._door.refusal(status, headers, body, self._name)

        self._door.retry.call(attempt)

    def _send_chunk(self, session: Session, window: "_Window") -> int | Mapping[str, Any]:
        """Send the window, tried again from where Google stands; up to where it then holds all, or the file."""
        failed = False

        def attempt() -> int | Mapping[str, Any]:
            nonlocal failed
            if failed and (stands := self._ask(session)) != window.start:
                return self._checked(stands, window)
            failed = True
            came = self._put(session, window.chunk, window.range)
            if came == window.start:
                raise DriveError(f"{self._door.label}: Google took nothing of {self._name}")
            return self._checked(came, window)

        came: int | Mapping[str, Any] = self._door.retry.call(attempt)
        return came

    def _checked(self, came: int | Mapping[str, Any], window: "_Window") -> int | Mapping[str, Any]:
        if isinstance(came, int) and not window.start <= came <= window.end:
            raise self._gone(f"Google holds {came} bytes, which is not where the upload stood")
        if isinstance(came, Mapping) and not window.last:
            raise self._gone("Google ended it early")
        return came

    def _ask(self, session: Session) -> int | Mapping[str, Any]:
        return self._put(session, b"", "bytes */*")

    def _put(self, session: Session, chunk: bytes, place: str | None) -> int | Mapping[str, Any]:
        headers = {"Content-Length": str(len(chunk))} | ({"Content-Range": place} if place else {})
        with self._door.explained(self._name):
            status, answered, body = self._connection.send("PUT", session.address, headers, chunk)
        if status == 308:
            return int(answered["range"].rpartition("-")[2]) + 1 if "range" in answered else 0
        if status in (200, 201):
            file: Mapping[str, Any] = json.loads(body or b"{}")
            return file
        if status in self.gone:
            raise self._gone(f"Google answers {status}")
        raise self._door.refusal(status, answered, body, self._name)

    def _gone(self, why: str) -> SessionGone:
        return SessionGone(f"{self._door.label}: the upload of {self._name} has to begin anew: {why}")


class _Window:
    """The part of a stream that is on its way: one chunk, and the byte behind it, which tells whether more comes."""

    def __init__(self, reader: BinaryIO, size: int) -> None:
        self.start = 0
        self.chunk = b""
        self._behind = b""
        self._ended = False
        self._reader = reader
        self._size = size
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    @property
    def last(self) -> bool:
        """Whether nothing comes behind the chunk."""
        return self._ended and not self._behind

    @property
    def range(self) -> str | None:
        """`Content-Range` for the chunk; nothing for a file without bytes, of which there is no range."""
        total = str(self.end) if self.last else "*"
        if self.chunk:
            return f"bytes {self.start}-{self.end - 1}/{total}"
        return f"bytes */{total}" if self.end else None

    @property
    def checksums(self) -> dict[str, str]:
        """Of all that was read."""
        return {"sha256": self._sha256.hexdigest(), "md5": self._md5.hexdigest()}

    def skip(self, count: int | None) -> None:
        """Read what stands there already, for the checksums; None is all of it."""
        while (left := self._size if count is None else count - self.start) and (
            data := self._read(min(self._size, left))
        ):
            self.start += len(data)

    def fill(self) -> None:
        """Read until the chunk is full and one byte more is known, or to the end."""
        if not self._ended and len(self.chunk) < self._size:
            self.chunk += self._behind
            self._behind = b""
            while (missing := self._size - len(self.chunk)) and (data := self._read(missing)):
                self.chunk = self.chunk + data if self.chunk else data
        if not self._ended and not self._behind:
            self._behind = self._read(1)

    def advance(self, count: int) -> None:
        """Let go of what Google holds."""
        self.start += count
        self.chunk = self.chunk[count:]

    @property
    def end(self) -> int:
        """Where the chunk ends: the size of it all, when it is the last."""
        return self.start + len(self.chunk)

    def _read(self, count: int) -> bytes:
        data = self._reader.read(count)
        self._ended = self._ended or not data
        self._sha256.update(data)
        self._md5.update(data)
        return data
