"""The connection of one client: whoever speaks slowly, endlessly or no HTTP at all costs little, and not for long."""

import asyncio
import json
import logging
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 500
"""Connections at once, half of the files that a process may usually have open: the rest is for backups."""
REQUEST_WITHIN = 15.0
"""Seconds that the line and the headers of a request may take."""
HEAD_LIMIT = 64 * 1024
"""Bytes of the line and the headers of a request."""
HEAD_TOO_LONG = f"the line and the headers of the request are longer than {HEAD_LIMIT // 1024} KiB"


def _worth_a_line(record: logging.LogRecord) -> bool:
    """Not what anybody can bring about as often as they like: no request at all, or one to go on without HTTP."""
    return record.levelno != logging.WARNING or record.funcName not in ("handle_events", "_unsupported_upgrade_warning")


logging.getLogger("uvicorn.error").addFilter(_worth_a_line)


class Connection(H11Protocol):
    """uvicorn's, which limits the size of headers, but neither the time they take nor how many clients there are."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn's own
        """Wait for a request, but not with too many others."""
        super().connection_made(transport)
        if len(self.connections) > MOST:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; try again in a moment")
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what came; what is no whole request yet has to become one in time."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._forget_deadline()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or too long for it, as everything else is refused."""
        unread, _ = self.conn.trailing_data
        words = HEAD_TOO_LONG if len(unread) > HEAD_LIMIT else msg[:1].lower() + msg[1:].rstrip(".")
        self._refuse(HTTPStatus.BAD_REQUEST, words)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # a whole request is there, or no more will come
            self._forget_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_WITHIN, self.transport.close)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        body = json.dumps({"Error": sentence}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        answer = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
