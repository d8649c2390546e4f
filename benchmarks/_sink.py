"""An S3 server in a process of its own that takes objects of any size and keeps nothing but how large they are."""

import contextlib
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_CHUNK = 2**20

_sizes: dict[str, int] = {}
_parts: defaultdict[str, dict[int, int]] = defaultdict(dict)
_guard = threading.Lock()


@contextlib.contextmanager
def sink() -> Iterator[str]:
    """The address of the running server while the `with` lasts."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline() if process.stdout else 0)}"
    finally:
        process.terminate()
        process.wait()


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
        """Nothing is ever found."""
        self._answer(404, "Error", "<Code>NoSuchKey</Code>")

    def do_DELETE(self) -> None:
        """Whatever it is, it is gone."""
        self._answer(204)

    def _key(self) -> str:
        return urlsplit(self.path).path

    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def _swallow(self) -> int:
        size = left = int(self.headers.get("Content-Length", 0))
        while left and (chunk := self.rfile.read(min(_CHUNK, left))):
            left -= len(chunk)
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
    server.serve_forever()
