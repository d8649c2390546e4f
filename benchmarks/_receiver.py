"""An HTTP receiver in a process of its own: it counts what comes in on each path and answers some paths slowly."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

SLOW = "/slow"
"""Below it every answer takes SECONDS."""
SECONDS = 8.0

_seen: dict[str, list[float]] = {}


class Receiver:
    """The running receiver, as the benchmark sees it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = f"http://127.0.0.1:{port}"

    def seen(self) -> dict[str, list[float]]:
        """When each request came in, by path: seconds of the wall clock."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection.request("GET", "/seen")
        found: dict[str, list[float]] = json.loads(connection.getresponse().read())
        connection.close()
        return found


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver while the `with` lasts."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    try:
        yield Receiver(int(process.stdout.readline() if process.stdout else 0))
    finally:
        process.terminate()
        process.wait()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The receiver itself, as ASGI."""
    while (await receive()).get("more_body"):
        pass
    body = b""
    if scope["path"] == "/seen":
        body = json.dumps(_seen).encode()
    else:
        _seen.setdefault(scope["path"], []).append(time.time())
        await asyncio.sleep(SECONDS if scope["path"].startswith(SLOW) else 0)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve on a free port, and print which."""
    import socket

    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listening.getsockname()[1], flush=True)
    settings = uvicorn.Config(application, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    uvicorn.Server(settings).run(sockets=[listening])


if __name__ == "__main__":
    main()
