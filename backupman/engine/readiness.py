"""Whether a daemon can do its work: what of it waits for the records, and whether its files are still there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


_LOST = (
    "so that what it records would be lost; put back what was there and start it again, or make the records anew by "
    "`backupman reconcile --fix`"
)
_TWICE = "so that another one could work beside it; put back what was there, or start it again with what is there now"


class OwnFiles:
    """The files that a `daemon` or `worker` has open for as long as it lives: whether their paths still lead to them.

    Where one was removed, moved or replaced, it goes on with a file that nobody else can see. It is only looked at: to
    open the file of the records, and close it, would drop the locks that SQLite holds on it.
    """

    def __init__(self, who: str, lock: Path, records: Path | None = None) -> None:
        self._who = who
        self._so = _LOST if records else _TWICE
        self._known = {file: _identity(file) for file in (lock, records) if file}

    def displaced(self) -> str | None:
        """What has happened and what to do, in a sentence; None: all are where they were, as far as can be told."""
        for file, known in self._known.items():
            try:
                if _identity(file) == known:
                    continue
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError:  # nobody may look there now, which moves nothing
                continue
            return f"{file} was removed, moved or replaced while the {self._who} ran, {self._so}"
        return None


def _identity(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino
