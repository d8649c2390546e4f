"""Sessions of the database of the records, and what goes wrong in it in our own words."""

import errno
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
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        told = getattr(error, "orig", None) or error
        reason = f"{told.strerror}: {told.filename}" if isinstance(told, OSError) else first_line(str(told))
        raise StoreError(f"the store {place} cannot be used: {reason}; {_what_to_do(told)}") from error


def _what_to_do(told: BaseException) -> str:
    if _is_damaged(told):
        return _ANEW
    if _primary(told) == sqlite3.SQLITE_BUSY:
        return "another process keeps it to itself for long: find it by `fuser -v` with the file's name, and let it end"
    room = "make room if its disk is full, or " if _may_be_full(told) else ""
    return f"{room}see `database` and `state_folder` in the config"


def _may_be_full(told: BaseException) -> bool:
    """Whether a full disk is behind it, of which SQLite says `disk I/O error` where it only reads."""
    code = getattr(told, "sqlite_errorcode", 0)
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE) or getattr(told, "errno", 0) == errno.ENOSPC


def _is_damaged(told: BaseException) -> bool:
    """Whether it is a file that SQLite cannot read as a database."""
    return _primary(told) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _primary(told: BaseException) -> int:
    """SQLite's code without its details: https://sqlite.org/rescode.html."""
    code: int = getattr(told, "sqlite_errorcode", 0)
    return code & 0xFF
