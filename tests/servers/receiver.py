"""A real HTTP server that records each request and gives the answers that a test has queued."""

import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass(frozen=True)
class Request:
    """One request as it came in: the path with its query, headers (looked up in any case), the raw body."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What to answer: after `delay` seconds, or, with `drop`, cut the connection without a word."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    drop: bool = False


class Receiver:
    """A server on 127.0.0.1, over TLS if it is given a context; without a queued answer it gives `usual`."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.answers: deque[Answer] = deque()
        self.usual = Answer()
        self.at: dict[str, Answer] = {}
        """What is always answered at a path, which no queued answer is for."""
        self._closing = threading.Event()
        self._server = _Server(self)
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = "127.0.0.1"
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if context else 'http'}://{self.host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="receiver")
        self._thread.start()

    def answer(self, status: int = 200, **how: Any) -> None:
        """Queue the answer to one further request; `how` are the other fields of Answer."""
        self.answers.append(Answer(status, **how))

    def wait(self, count: int = 1, seconds: float = 90.0) -> list[Request]:
        """The requests, once there are `count` of them; AssertionError when they do not come in time."""
        deadline = time.monotonic() + seconds
        while len(self.requests) < count:
            assert time.monotonic() < deadline, f"{len(self.requests)} of {count} requests in {seconds} s"
            time.sleep(0.02)
        return self.requests

    def next_answer(self, request: Request) -> Answer:
        """Record a request, and give its answer once its delay is over or the server closes."""
        self.requests.append(request)
        answer = self.at.get(request.path)
        try:
            answer = answer or self.answers.popleft()
        except IndexError:
            answer = self.usual
        self._closing.wait(answer.delay)
        return answer

    def close(self) -> None:
        """Stop listening, and end the delays that are under way."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    # Threads are joined at the end, so that none outlives its test.
    daemon_threads = False

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a client that gave up waiting is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    # HTTP/1.0: each answer ends its connection, so that closing never waits for an idle client.
    protocol_version = "HTTP/1.0"
    # A client that never sends the body it promised must not hold up the end of a test.
    timeout = 10

    def _receive(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.server.receiver.next_answer(Request(self.command, self.path, self.headers, body))
        if answer.drop:
            return
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _receive

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of this test's own."""
    server = Receiver()
    yield server
    server.close()
