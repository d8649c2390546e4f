"""Between the server and the application: headers of every answer, and the last door for what goes wrong."""

import logging
from urllib.parse import unquote_to_bytes

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backupman.api.connections import HEAD_LIMIT, HEAD_TOO_LONG
from backupman.api.errors import error

log = logging.getLogger(__name__)

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # a link that needs no key stays out of other sites' logs
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Boundary:
    """An application around the API's.

    Whatever escapes from it is logged once. An answer that has begun by then is left unfinished: the server cuts the
    connection, and nobody takes half of it for the whole.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        try:
            await (_refusal(scope) or self._app)(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except Exception as failure:  # the application has answered it already, unless an answer had begun
            log.exception("a %s of %r failed", scope["method"], scope["path"])
            if not exchange.begun:
                answer = error(500, f"unexpected {type(failure).__name__}; the daemon's log says more")
                await answer(scope, exchange.receive, exchange.send)


class _Exchange:
    """What was taken of a request and given of its answer; gives every answer its headers."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        self._receive = receive
        self._send = send
        self._unread = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        self.begun = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._unread = self._unread and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if self._unread:  # of a body that was refused nothing more is taken
                headers["Connection"] = "close"
        await self._send(message)


def _refusal(scope: Scope) -> ASGIApp | None:
    """The answer to what no application is to see."""
    if _length(scope) > HEAD_LIMIT:  # it came at once, of which h11 does not look at the length
        return error(400, HEAD_TOO_LONG)
    if "\0" in scope["path"] or b"\0" in unquote_to_bytes(scope["query_string"]):  # no database takes one in a text
        return error(400, "an address holds no NUL character")
    if {b"transfer-encoding", b"content-length"} <= dict(scope["headers"]).keys():  # RFC 9112, 6.1: may be two requests
        return error(400, "a body has a length or is chunked, not both")
    return None


def _length(scope: Scope) -> int:
    """The bytes of the names and values of the headers, and of the address."""
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    return headers + len(scope["raw_path"]) + len(scope["query_string"])
