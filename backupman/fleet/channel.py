"""What the hosts of an installation tell each other at once, by PostgreSQL's LISTEN and NOTIFY.

Nothing depends on a message: progress is told again, and what is to be cancelled stands on record too.
"""

import json
import logging
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Any

import psycopg

from backupman.fleet.background import Background

log = logging.getLogger(__name__)

_PAUSE = 1.0
_TICK = 0.5
_MOST = 7900
"""Bytes of a message that PostgreSQL takes, and some room."""
_QUEUED = 1000

Message = dict[str, Any]


class _OnChannel(Background):
    """Has a connection of its own to PostgreSQL, which may be gone for a while."""

    def __init__(self, name: str, conninfo: str, channel: str) -> None:
        super().__init__(name)
        self._conninfo = conninfo
        self._channel = channel

    def _work(self) -> None:
        while not self._closed.is_set():
            try:
                with psycopg.connect(self._conninfo, autocommit=True) as connection:
                    self._use(connection)
            except psycopg.Error as error:
                log.debug("%s: the other hosts cannot be reached now: %s", self._thread.name, error)
                self._closed.wait(_PAUSE)

    @abstractmethod
    def _use(self, connection: psycopg.Connection[Any]) -> None:
        """Work with a connection, until `_closed` is set. Raises psycopg.Error once it is gone."""


class Speaker(_OnChannel):
    """Tells the others, what is left at the end too; what cannot be told now is forgotten."""

    def __init__(self, conninfo: str, channel: str) -> None:
        super().__init__("speaking", conninfo, channel)
        self._queue: Queue[Message] = Queue(_QUEUED)

    def say(self, message: Message) -> None:
        """Tell the others soon."""
        with suppress(Full):
            self._queue.put_nowait(message)

    def _use(self, connection: psycopg.Connection[Any]) -> None:
        while not (self._closed.is_set() and self._queue.empty()):
            try:
                text = json.dumps(self._queue.get(timeout=_TICK), separators=(",", ":"))
            except Empty:
                continue
            if len(text) <= _MOST:  # ASCII
                connection.execute("SELECT pg_notify(%s, %s)", [self._channel, text])


class Listener(_OnChannel):
    """Hears the others."""

    def __init__(self, conninfo: str, channel: str, hear: Callable[[Message], None]) -> None:
        super().__init__("listening", conninfo, channel)
        self._hear = hear

    def _use(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(f'LISTEN "{self._channel}"'.encode())
        while not self._closed.is_set():
            for notification in connection.notifies(timeout=_TICK):
                self._take(notification.payload)

    def _take(self, text: str) -> None:
        try:
            self._hear(json.loads(text))
        except Exception:
            log.exception("a message of another host could not be taken: %s", text[:200])
