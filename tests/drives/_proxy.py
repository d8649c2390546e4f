"""A small real HTTP proxy in front of a server, mostly of S3, where a test decides what becomes of a request."""

import base64
import hashlib
import http.client
import ssl
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Answer:
    """What is answered; `close` ends the connection after it, for answers given before the body was read."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    close: bool = False


@dataclass
class Request:
    """A request whose body is still to be read."""

    method: str
    target: str
    headers: dict[str, str]
    read: Callable[[int], bytes]
    _body: bytes | None = None

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def key(self) -> str:
        """The object's key (path-style)."""
        return unquote(urlsplit(self.target).path).lstrip("/").partition("/")[2]

    @property
    def part(self) -> int | None:
        """The number of the part that is uploaded."""
        return int(self.query["partNumber"][0]) if "partNumber" in self.query else None

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", 0))

    @property
    def kind(self) -> str:
        """What S3 calls the request."""
        special = {
            ("PUT", True, False): "UploadPart",
            ("POST", True, False): "CompleteMultipartUpload",
            ("DELETE", True, False): "AbortMultipartUpload",
            ("POST", False, True): "CreateMultipartUpload",
        }
        plain = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
        if not self.key:
            return "ListObjects"
        return special.get((self.method, "uploadId" in self.query, "uploads" in self.query)) or plain[self.method]

    @property
    def body(self) -> bytes:
        if self._body is None:
            self._body = self.read(self.length)
        return self._body


_OWN = ("connection", "date", "server", "transfer-encoding")
"""Headers of an answer that the proxy makes itself."""

Forward = Callable[[], Answer]
Rule = Callable[[Request, Forward], Answer | None]
"""What becomes of a request; None drops the connection without an answer."""


class Proxy:
    """The proxy while it runs; `rule` may be changed at any time, `seen` holds the requests in order."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.rule: Rule = lambda request, forward: forward()
        self.seen: list[Request] = []
        self.endpoint = ""
        self._guard = Lock()

    def kinds(self) -> list[str]:
        return [request.kind for request in self.seen]

    def handle(self, request: Request) -> Answer | None:
        with self._guard:
            self.seen.append(request)
        return self.rule(request, lambda: self._forward(request))

    def _forward(self, request: Request) -> Answer:
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        try:
            connection.request(request.method, request.target, request.body, request.headers)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, response.read(), headers)
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = 2**16  # an answer goes out in one piece, which does not wait for an acknowledgement
    proxy: Proxy

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True

    def handle_expect_100(self) -> bool:
        """Let the body come: what is buffered would hold up a client that waits for it."""
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    def _any(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        for hop in ("expect", "connection"):
            headers.pop(hop, None)
        answer = self.proxy.handle(Request(self.command, self.path, headers, self.rfile.read))
        if answer is None:
            self.close_connection = True
            return
        self.close_connection = self.close_connection or answer.close
        self.send_response(answer.status)
        kept = {name: value for name, value in answer.headers.items() if name not in _OWN}
        if self.command != "HEAD" or "content-length" not in kept:
            kept["content-length"] = str(len(answer.body)) if "content-length" not in kept else kept["content-length"]
        for name, value in kept.items():
            self.send_header(name, value)
        if answer.close:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PROPFIND = do_MKCOL = do_MOVE = _any

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of the tests."""


@contextmanager
def proxy(upstream: str, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy in front of `upstream`, on a port of its own."""
    running = Proxy(upstream)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": running}))
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    running.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def error(status: int, code: str, message: str = "said so", *, close: bool = False) -> Answer:
    """An error as S3 answers it."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, body.encode(), {"content-type": "application/xml"}, close=close)


def verifying(request: Request, forward: Forward) -> Answer:
    """A server that verifies the checksums of what it is sent and echoes them, as Amazon's does and moto does not."""
    algorithms = {
        "content-md5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
        "x-amz-checksum-sha256": lambda data: hashlib.sha256(data).digest(),
        "x-amz-checksum-crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    }
    if request.kind not in ("PutObject", "UploadPart"):
        return forward()
    carried = {name: value for name, value in request.headers.items() if name in algorithms}
    assert carried, "every body carries a checksum"
    for name, value in carried.items():
        if base64.b64encode(algorithms[name](request.body)).decode() != value:
            return error(400, "BadDigest", f"The {name} you specified did not match what we received.")
    answer = forward()
    answer.headers |= {name: value for name, value in carried.items() if name.startswith("x-amz-checksum")}
    return answer
