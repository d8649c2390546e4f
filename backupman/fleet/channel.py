"""What the hosts of an installation tell each other at once, by PostgreSQL's LISTEN and NOTIFY.

Nothing depends on a message: progress is told again, and what is to be cancelled stands on record too.
"""

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any

import psycopg

log = logging.getLogger(__name__)

_PAUSE = 1.0
_TICK = 0.5
_MOST = 7900
"""Bytes of a message that PostgreSQL takes, and some room."""
_QUEUED = 1000

Message = dict[str, Any]


class Speaker:
    """Tells the others, in a thread of its own; what cannot be told now is forgotten."""

    def __init__(self, conninfo: str, channel: str) -> None:
        self._conninfo = conninfo
        self._channel = channel
        self._queue: Queue[Message] = Queue(_QUEUED)
        self._closed = Event()
        self._thread = Thread(target=self._work, name="speaking", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def say(self, message: Message) -> None:
        """Tell the others soon."""
        with suppress(Full):
            self._queue.put_nowait(message)

    def close(self) -> None:
        """Tell what is left, and nothing more."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5)

    def _work(self) -> None:
        while not self._closed.is_set():
            try:
                with psycopg.connect(self._conninfo, autocommit=True) as connection:
                    self._tell(connection)
            except psycopg.Error as error:
                log.debug("the other hosts cannot be told now: %s", error)
                self._closed.wait(_PAUSE)

    def _tell(self, connection: psycopg.Connection[Any]) -> None:
        while not (self._closed.is_set() and self._queue.empty()):
            try:
                text = json.dumps(self._queue.get(timeout=_TICK), separators=(",", ":"))
            except Empty:
                continue
            if len(text) <= _MOST:  # ASCII
                connection.execute("SELECT pg_notify(%s, %s)", [self._channel, text])


class Listener:
    """Hears the others, in a thread of its own."""

    def __init__(self, conninfo: str, channel: str, hear: Callable[[Message], None]) -> None:
        self._conninfo = conninfo
        self._channel = channel
        self._hear = hear
        self._closed = Event()
        self._thread = Thread(target=self._work, name="listening", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Hear nothing more."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5)

    def _work(self) -> None:
        while not self._closed.is_set():
            try:
                with psycopg.connect(self._conninfo, autocommit=True) as connection:
                    connection.execute(f'LISTEN "{self._channel}"'.encode())
                    while not self._closed.is_set():
                        for notification in connection.notifies(timeout=_TICK):
                            self._take(notification.payload)
            except psycopg.Error as error:
                log.debug("the other hosts are not heard now: %s", error)
                time.sleep(_PAUSE)

    def _take(self, text: str) -> None:
        try:
            self._hear(json.loads(text))
        except Exception:
            log.exception("a message of another host could not be taken: %s", text[:200])
