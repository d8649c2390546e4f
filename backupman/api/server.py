"""The HTTP server of a daemon, in a thread of its own, so that signals stay the main thread's."""

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from threading import Thread

import uvicorn
from fastapi import FastAPI

from backupman.api.boundary import Boundary
from backupman.api.connections import HEAD_LIMIT, Connection
from backupman.errors import ConfigError

_START_WITHIN = 10.0


class _Uvicorn(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Also cut off who has not taken what was sent, for whom a connection stays open when all else has ended."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # in which asyncio closes them


class Server:
    """uvicorn on one address; only of `trusted_proxies` it believes whom they speak for.

    Raises:
        ConfigError: the address cannot be listened on.
    """

    def __init__(self, api: FastAPI, host: str, port: int, trusted_proxies: Sequence[str] = ()) -> None:
        self._socket = _listen(host, port)
        name = f"[{host}]" if ":" in host else host
        self.address = f"{name}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            Boundary(api),
            http=Connection,
            h11_max_incomplete_event_size=HEAD_LIMIT,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=list(trusted_proxies),
            timeout_graceful_shutdown=3,
        )
        logging.getLogger("uvicorn.access").disabled = True  # addresses of requests hold the signatures of links
        self._server = _Uvicorn(config)
        self._thread = Thread(target=self._server.run, args=([self._socket],), name="http", daemon=True)

    def start(self) -> None:
        """Serve, and come back once requests are answered."""
        self._thread.start()
        deadline = time.monotonic() + _START_WITHIN
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.02)

    @property
    def alive(self) -> bool:
        """Whether it still serves, once it was started."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Answer what is under way, and no more."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(timeout=5)
        self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named asyncio sees that it is TCP and sends at once; else each answer would wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}; set http.host and http.port") from error
    return listener
