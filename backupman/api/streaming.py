"""Answers that go on for a while: an object on its way from a drive."""

import asyncio
import logging
from collections.abc import Callable

import anyio
from anyio import to_thread
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from backupman.engine.downloading import Download
from backupman.errors import DriveError

log = logging.getLogger(__name__)

TAKEN_WITHIN = 120.0
"""Seconds in which a client has to take what it was sent, so that a few who take nothing do not lock out all others."""


async def opened(download: Download, receive: Receive, readers: anyio.CapacityLimiter) -> None:
    """Wait for the first bytes of a download, for as long as the client does: a drive may keep both waiting for long.

    Raises:
        ClientDisconnect: the client has gone away, and the child that asks the drive is ended.
        ObjectNotFound, DriveError: the drive does not give the object.
    """
    gone = False

    async def watch() -> None:
        nonlocal gone
        await _disconnected(receive)
        gone = True
        download.cancel()

    watching = asyncio.create_task(watch())
    try:
        await to_thread.run_sync(download.open, limiter=readers)
    except DriveError as error:
        if gone:
            raise ClientDisconnect from error
        raise
    finally:
        watching.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class DownloadResponse(Response):
    """The bytes of an opened download; `ended` is called once it is over, however it ends.

    When the drive fails half-way, or gives another number of bytes than was promised, the answer is left unfinished and
    the server cuts the connection. When the client goes away or takes nothing, the child that reads the drive is ended.
    """

    media_type = "application/octet-stream"

    def __init__(
        self,
        download: Download,
        promised: int | None,
        status_code: int,
        headers: dict[str, str],
        readers: anyio.CapacityLimiter,
        ended: Callable[[], None],
    ) -> None:
        super().__init__(None, status_code, headers)
        # Without a body the length would be said to be 0.
        kept = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        length = [(b"content-length", str(promised).encode())] if promised is not None else []
        self.raw_headers = kept + length
        self._download = download
        self._promised = promised
        self._readers = readers
        self._ended = ended
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything, or break off."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, receive)
                await self._pump(send)
                tasks.cancel_scope.cancel()
        finally:
            self._download.close()
            self._ended()

    async def _watch(self, receive: Receive) -> None:
        await _disconnected(receive)
        self._gone = True
        self._download.cancel()

    async def _pump(self, send: Send) -> None:
        """Send everything to a client that takes it."""

        async def in_time(message: Message) -> None:
            with anyio.fail_after(TAKEN_WITHIN):
                await send(message)

        try:
            await self._give(in_time)
        except TimeoutError:
            log.warning("a download broke off: the client has taken nothing for %g s", TAKEN_WITHIN)

    async def _give(self, send: Send) -> None:
        """Send each chunk once the next one is there, and the last one only when all is known to be well."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        held, count = b"", 0
        try:
            while chunk := await to_thread.run_sync(self._download.read, limiter=self._readers):
                count += len(chunk)
                if self._promised is not None and count > self._promised:
                    break
                if held:
                    await send({"type": "http.response.body", "body": held, "more_body": True})
                held = chunk
        except DriveError as error:
            if not self._gone:
                log.error("a download broke off after %d bytes: %s", count, error.sentence)
            return
        if self._promised is not None and count != self._promised:
            log.error("a download broke off: the drive holds another number of bytes than %d", self._promised)
            return
        await send({"type": "http.response.body", "body": held, "more_body": False})
