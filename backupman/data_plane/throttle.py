"""In the child: how often it tells how far it is."""

import time

_EVERY = 0.25


class Throttle:
    """Lets through what is told a few times a second."""

    def __init__(self) -> None:
        self._next = 0.0

    def due(self) -> bool:
        """Whether it is time to tell; the first time it is."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _EVERY
        return True
