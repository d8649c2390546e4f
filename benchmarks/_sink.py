"""An S3 server in a process of its own that takes objects of any size and keeps nothing but how large they are.

It can take them slowly: `rate` bytes a second over all connections together.
"""

import contextlib
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_CHUNK = 2**20
_BURST = 0.1
"""Seconds."""

_sizes: dict[str, int] = {}
_parts: defaultdict[str, dict[int, int]] = defaultdict(dict)
_guard = threading.Lock()


class Sink:
    """The running server, which answers at `url`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{int(process.stdout.readline() if process.stdout else 0)}"

    def take(self, rate: float) -> None:
        """From now on take so many bytes a second; 0 is as fast as can be."""
        if self._process.stdin:
            self._process.stdin.write(f"{rate}\n")
            self._process.stdin.flush()

    def drive(self, label: str = "Sink") -> dict[str, Any]:
        """It, as a drive of the config."""
        return {
            "provider": "s3",
            "label": label,
            "bucket": "sink",
            "endpoint": self.url,
            "region": "us-east-1",
            "access_key": "benchmark",
            "secret_key": "benchmark-secret",
        }


@contextlib.contextmanager
def sink(rate: float = 0) -> Iterator[Sink]:
    """The server while the `with` lasts."""
    argv = [sys.executable, __file__]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            server = Sink(process)
            server.take(rate)
            yield server
        finally:
            process.terminate()


class _Pace:
    """Lets bytes through at a rate; what was not used is lost after a tenth of a second."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._paid = 0.0
        self._guard = threading.Lock()

    def __call__(self, count: int) -> None:
        if not self.rate:
            return
        with self._guard:
            self._paid = max(self._paid, time.monotonic() - _BURST) + count / self.rate
            until = self._paid
        while self.rate and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _BURST))  # the rate may be lifted meanwhile


_pace = _Pace()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        """An object, or a part of one."""
        query = self._query()
        size = self._swallow()
        with _guard:
            if "partNumber" in query:
                _parts[self._key()][int(query["partNumber"][0])] = size
            else:
                _sizes[self._key()] = size
        self._answer(200, headers={"ETag": '"etag"'})

    def do_POST(self) -> None:
        """The beginning or the end of an upload in parts."""
        self._swallow()
        if "uploads" in self._query():
            self._answer(200, "InitiateMultipartUploadResult", "<UploadId>one</UploadId>")
            return
        with _guard:
            _sizes[self._key()] = sum(_parts.pop(self._key()).values())
        self._answer(200, "CompleteMultipartUploadResult", '<ETag>"etag"</ETag>')

    def do_HEAD(self) -> None:
        """How large an object is."""
        with _guard:
            size = _sizes.get(self._key())
        if size is None:
            self._answer(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.send_header("ETag", '"etag"')
        self.end_headers()

    def do_GET(self) -> None:
        """No upload is under way, and nothing is ever found."""
        if "uploads" in self._query():
            self._answer(200, "ListMultipartUploadsResult", "<IsTruncated>false</IsTruncated>")
            return
        self._answer(404, "Error", "<Code>NoSuchKey</Code>")

    def do_DELETE(self) -> None:
        """Whatever it is, it is gone."""
        with _guard:
            _sizes.pop(self._key(), None)
            _parts.pop(self._key(), None)
        self._answer(204)

    def _key(self) -> str:
        return urlsplit(self.path).path

    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def _swallow(self) -> int:
        size = left = int(self.headers.get("Content-Length", 0))
        buffer = memoryview(bytearray(min(size, int(_pace.rate * _BURST) or _CHUNK)))
        while left and (taken := self.rfile.readinto(buffer[:left])):
            left -= taken
            _pace(taken)
        return size

    def _answer(self, status: int, name: str = "", content: str = "", headers: dict[str, str] | None = None) -> None:
        body = f"{_XML}<{name}>{content}</{name}>".encode() if name else b""
        self.send_response(status)
        for header, value in (headers or {}).items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """Nobody reads it."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for line in sys.stdin:
        _pace.rate = float(line)
