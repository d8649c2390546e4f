"""Until when a child may work without hearing of its parent: a parent that is frozen cannot end it."""

import time
from collections.abc import Callable
from threading import Thread

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_TICK = 0.5
WORD = "until "
"""What a line to the child begins with that says so, before seconds since the machine was started."""


def since_boot() -> float:
    """Seconds since the machine was started, those too in which it slept: the same to all its processes."""
    return time.clock_gettime(_CLOCK)


class Lifetime:
    """Calls `end` once the time is up, unless it is put off before; endless until it is first set."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._until = 0.0
        self._thread = Thread(target=self._watch, name="lifetime", daemon=True)

    def set(self, until: float) -> None:
        """From now on the time is up then."""
        self._until = until
        if self._thread.ident is None:
            self._thread.start()

    def _watch(self) -> None:
        while since_boot() < self._until:
            time.sleep(_TICK)
        self._end()
