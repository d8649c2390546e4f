"""Sessions of the database of the records, and what goes wrong in it in our own words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from backupman.errors import StoreError
from backupman.store._engines import READS
from backupman.text import first_line

_ANEW = (
    "if it is the right file, stop backupman, move it away together with its -wal and -shm, and `backupman reconcile "
    "--fix` makes the records anew from the drives"
)
_EXTRAS = {"psycopg": "postgres", "pymysql": "mysql"}


class Sessions:
    """Opens sessions; `place` is where the database is, without a password. Thread-safe."""

    def __init__(self, engine: Engine, place: str) -> None:
        self._writer = engine
        self._reader = engine.execution_options(**{READS: True})
        self._place = place

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session; what was done in it is committed together at a clean exit, or not at all. Raises StoreError."""
        with translated(self._place), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for those that only read: in SQLite they wait for no writer, and no writer for them.

        Nothing that was done in it is kept. Raises StoreError.
        """
        with translated(self._place), Session(self._reader, expire_on_commit=False) as session:
            yield session


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise StoreError for what SQLAlchemy, a driver or the system has to say of the database there."""
    try:
        yield
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "", "all")
        raise StoreError(f"the store {place} needs {error.name}: pip install 'backupman[{extra}]'") from error
    except (SQLAlchemyError, OSError) as error:
        told = getattr(error, "orig", None) or error
        reason = f"{told.strerror}: {told.filename}" if isinstance(told, OSError) else first_line(str(told))
        what_to_do = _ANEW if _is_damaged(told) else "see `database` and `state_folder` in the config"
        raise StoreError(f"the store {place} cannot be used: {reason}; {what_to_do}") from error


def _is_damaged(told: BaseException) -> bool:
    """Whether it is a file that SQLite cannot read as a database: https://sqlite.org/rescode.html."""
    primary = getattr(told, "sqlite_errorcode", 0) & 0xFF
    return primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
