"""Reads an object over HTTP from anywhere in it, and goes on where it was when the connection breaks."""

from collections.abc import Iterator
from contextlib import suppress

import httpx

from backupman.drives._reading import ObjectStream
from backupman.drives._webdav_client import Server
from backupman.errors import DriveError
from backupman.retry import RetryPolicy


class RemoteObject(ObjectStream):
    """A seekable stream of one object; raises DriveError when it has changed meanwhile."""

    def __init__(self, server: Server, path: str, retry: RetryPolicy) -> None:
        """Open it. Raises Missing, DriveError."""
        self._server, self._path, self._retry = server, path, retry
        self._client = server.client()
        self._answer: httpx.Response | None = None
        self._skipped = b""
        self._known: tuple[int, str | None] | None = None
        try:
            retry.call(self._body)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            self._drop()
            self._client.close()
        super().close()

    @property
    def _size(self) -> int:
        return self._known[0] if self._known else 0

    def _moved(self) -> None:
        self._drop()

    def _chunk(self, wanted: int) -> bytes:
        return self._retry.call(self._next)

    def _next(self) -> bytes:
        try:
            body = self._body()
            with self._server.explained():
                if data := self._skipped or next(body, b""):
                    self._skipped = b""
                    return data
            raise DriveError(f"{self._server.label}: {self._path} ended after {self._position} of {self._size} bytes")
        except DriveError:
            self._drop()
            raise

    def _body(self) -> Iterator[bytes]:
        """The bytes from the position on."""
        if self._answer is None:
            try:
                self._ask()
            except BaseException:
                self._drop()  # else the next try would take the answer that was refused
                raise
        return self._chunks

    def _ask(self) -> None:
        """Ask for them."""
        # Compressed on the way it could not be measured, nor asked for from its middle.
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={self._position}-"}
        if not self._position:
            del headers["Range"]
        with self._server.explained():
            request = self._client.build_request("GET", self._server.url(self._path), headers=headers)
            self._answer = self._client.send(request, stream=True)
        self._server.judge(self._answer)
        skipped = self._position if self._answer.status_code != httpx.codes.PARTIAL_CONTENT else 0
        length = int(self._answer.headers.get("content-length", 0)) + self._position - skipped
        known = (length, self._answer.headers.get("etag"))
        if self._known not in (None, known):
            raise DriveError(f"{self._server.label}: {self._path} was replaced while it was read", permanent=True)
        self._known = known
        self._chunks = self._answer.iter_raw(2**18)
        with self._server.explained():
            self._skip(skipped)

    def _skip(self, count: int) -> None:
        """Read past what a server sends that knows no ranges."""
        while count and (data := next(self._chunks, b"")):
            self._skipped, count = data[count:], max(0, count - len(data))

    def _drop(self) -> None:
        self._rest = self._skipped = b""
        if self._answer is not None:
            with suppress(httpx.HTTPError, RuntimeError):
                self._answer.close()
            self._answer = None
