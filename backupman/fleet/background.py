"""What works beside everything else, in a thread of its own."""

from abc import ABC, abstractmethod
from threading import Event, Thread

_CLOSE_WITHIN = 5.0


class Background(ABC):
    """Works from `start` to `close`; `name` is its thread's, for people."""

    def __init__(self, name: str) -> None:
        self._closed = Event()
        self._thread = Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End what is under way, and begin nothing more."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_WITHIN)

    @abstractmethod
    def _work(self) -> None:
        """All of it, until `_closed` is set."""
