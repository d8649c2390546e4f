"""The HTTP server of a daemon, in a thread of its own, so that signals stay the main thread's."""

import logging
import socket
import time
from threading import Thread

import uvicorn
from fastapi import FastAPI

from backupman.errors import ConfigError

_START_WITHIN = 10.0

log = logging.getLogger(__name__)


class Server:
    """uvicorn on one address.

    Raises:
        ConfigError: the address cannot be listened on.
    """

    def __init__(self, api: FastAPI, host: str, port: int) -> None:
        self._socket = _listen(host, port)
        self.address = f"{host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            api, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=3
        )
        self._server = uvicorn.Server(config)
        self._thread = Thread(target=self._server.run, args=([self._socket],), name="http", daemon=True)

    def start(self) -> None:
        """Serve, and come back once requests are answered."""
        self._thread.start()
        deadline = time.monotonic() + _START_WITHIN
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        log.info("listening on http://%s", self.address)

    def stop(self) -> None:
        """Answer what is under way, and no more."""
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; set http.host and http.port") from error
    return listener
