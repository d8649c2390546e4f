"""A connector of Procrastinate's that waits for PostgreSQL to come back, where its own ends the worker.

How long that may take is not decided here: who cannot put off its claims for half of `takeover_after` ends.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, LiteralString, TypeVar

import psycopg
from procrastinate import PsycopgConnector
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException

from backupman.text import first_line

log = logging.getLogger(__name__)

T = TypeVar("T")

_PAUSE = 1.0
_PASSES = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
"""A server that is away or has no room, and one that only reads: on a full disk, or as another one has taken over."""


class PatientConnector(PsycopgConnector):
    """Tries again whatever failed because PostgreSQL was not there, or could not write.

    A task that was fetched in a call whose answer was lost stays `doing` with nobody at work on it: see `reaping`.
    """

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """As Procrastinate's own; what it says of a task that was taken from us is no fault."""
        try:
            await _patiently(lambda: super(PatientConnector, self).execute_query_async(query, **arguments))
        except ConnectorException as error:
            if not isinstance(error.__cause__, psycopg.errors.RaiseException):
                raise
            log.warning("another host has seen to a task of ours: %s", error.__cause__.diag.message_primary)

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        """As Procrastinate's own."""
        return await _patiently(lambda: super(PatientConnector, self).execute_query_one_async(query, **arguments))

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        """As Procrastinate's own."""
        return await _patiently(lambda: super(PatientConnector, self).execute_query_all_async(query, **arguments))

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """As Procrastinate's own."""
        names = list(channels)
        await _patiently(lambda: super(PatientConnector, self).listen_notify(on_notification, names))


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await call()
        except ConnectorException as error:
            if not isinstance(error.__cause__, _PASSES):
                raise
            log.warning("PostgreSQL cannot be used now, the queue waits: %s", first_line(str(error.__cause__)))
        await asyncio.sleep(_PAUSE)
