"""The event loops that messages are sent in: whoever waits for a name server there holds up nobody else."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_THREADS = 200
"""At most; a loop's own few are all taken where some names are looked up that nobody answers for."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """What the work gives, from a loop of its own as `asyncio.run` has it."""
    with asyncio.Runner(loop_factory=_loop) as runner:
        return runner.run(work)


def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, "sending"))
    return loop
