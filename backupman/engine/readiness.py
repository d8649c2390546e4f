"""Whether a daemon can do its work: what of it waits because the records cannot be used."""

from collections.abc import Iterator
from contextlib import contextmanager

from backupman.errors import StoreError


class Waits:
    """What is done by the clock and could not be done the last time, for the sake of the records. Thread-safe."""

    def __init__(self) -> None:
        self._sentences: dict[str, str] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Do something of that name: a StoreError is remembered and goes on, and the next success forgets it."""
        try:
            yield
        except StoreError as error:
            self._sentences[name] = error.sentence
            raise
        self.over(name)

    def over(self, name: str) -> None:
        """It is done again, or not to be done any more."""
        self._sentences.pop(name, None)

    @property
    def reason(self) -> str | None:
        """Why something waits; None: nothing does."""
        return next(iter(list(self._sentences.values())), None)
