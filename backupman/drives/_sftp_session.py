"""One SSH connection with its SFTP channel, for code that blocks: its event loop runs in a thread of its own.

The loop runs all the time, as a server that asks whether we are still there wants an answer while a slow dump is waited
for, too.
"""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asyncssh import SFTPClient, SSHClientConnection

T = TypeVar("T")

_CLOSE_SECONDS = 5.0

Connect = Callable[[], Coroutine[Any, Any, "SSHClientConnection"]]
Explained = Callable[[], AbstractContextManager[None]]


class Session:
    """A connection from `__init__` to `close`; `explained` turns what any call raises into a DriveError."""

    sftp: "SFTPClient"

    def __init__(self, name: str, connect: Connect, timeout: float, explained: Explained) -> None:
        """Connect. Raises what `explained` makes of a failure, and leaves no thread then."""
        self._timeout = timeout
        self._explained = explained
        self._connection: SSHClientConnection | None = None
        self._running = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._live()), name=name, daemon=True)
        self._thread.start()
        self._running.wait()
        try:
            self.run(self._connect(connect), patience=3)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, call: Awaitable[T], *, patience: float = 1) -> T:
        """What the call returns; a server that is silent for `patience` times the timeout has failed."""
        return self.result(self.start(call), patience=patience)

    def start(self, call: Awaitable[T]) -> "concurrent.futures.Future[T]":
        """The call under way."""
        return asyncio.run_coroutine_threadsafe(_waiting(call), self._loop)

    def result(self, started: "concurrent.futures.Future[T]", *, patience: float = 1) -> T:
        """What a started call returns."""
        with self._explained():
            try:
                return started.result(self._timeout * patience)
            except concurrent.futures.TimeoutError:
                started.cancel()
                raise TimeoutError(f"no answer within {self._timeout * patience:g} s") from None

    def close(self) -> None:
        """End the connection and its thread, whatever state they are in."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()

    async def _live(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        # What a call raises is ours to tell; the requests that it had under way besides may fail unheard.
        self._loop.set_exception_handler(lambda *_: None)
        self._running.set()
        await self._over.wait()
        if connection := self._connection:
            connection.close()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(connection.wait_closed(), _CLOSE_SECONDS)
            connection.abort()

    async def _connect(self, connect: Connect) -> None:
        self._connection = await connect()
        self.sftp = await self._connection.start_sftp_client()


async def _waiting(call: Awaitable[T]) -> T:
    """Some calls of asyncssh are no coroutines, and can only be waited for."""
    return await call
