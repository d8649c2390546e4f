"""The store: the database of all records, and the only place that opens a session."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlmodel import Session

from backupman.errors import StoreError
from backupman.store.backups import Backups
from backupman.store.migrating import migrate
from backupman.store.outbox import Announcement, Outbox

__all__ = ["Announcement", "Store"]


class Store:
    """All records; `backups` and `outbox` hold what can be done with them. Thread-safe.

    Args:
        address: a SQLAlchemy URL; SQLite, PostgreSQL (psycopg) or MySQL/MariaDB (PyMySQL).
    """

    def __init__(self, address: str) -> None:
        self._url = make_url(address)
        self._engine = _engine(address)
        self.backups = Backups(self._session)
        self.outbox = Outbox(self._session)

    @classmethod
    def open(cls, address: str) -> "Store":
        """The store, its tables made or brought up to date first.

        Raises:
            StoreError: the database cannot be reached, written or migrated.
        """
        store = cls(address)
        with store._translated():
            store._make_folder()
            migrate(store._engine, store._lock_file())
        return store

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def check(self) -> None:
        """Whether records can be read now; raises StoreError."""
        with self._translated(), self._engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1").fetchall()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """A session; what was done in it is committed together at a clean exit, or not at all."""
        with self._translated(), Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def _translated(self) -> Iterator[None]:
        place = self._url.render_as_string(hide_password=True)
        try:
            yield
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).split("\n")[0]
            raise StoreError(f"the store {place} cannot be used: {reason}; see `database` in the config") from error
        except ModuleNotFoundError as error:
            extra = "mysql" if "mysql" in str(error.name) else "postgres"
            raise StoreError(f"the store {place} needs {error.name}: pip install 'backupman[{extra}]'") from error
        except OSError as error:
            raise StoreError(
                f"the store {place} cannot be used: {error.strerror} ({error.filename}); give the user that runs "
                "backupman write access, or set state_folder"
            ) from error

    def _make_folder(self) -> None:
        if file := self._file():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _file(self) -> Path | None:
        is_file = self._url.get_backend_name() == "sqlite" and self._url.database not in (None, "", ":memory:")
        return Path(str(self._url.database)) if is_file else None

    def _lock_file(self) -> Path | None:
        file = self._file()
        return file.with_name(file.name + ".lock") if file else None


def _engine(address: str) -> Engine:
    url = make_url(address)
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=5)
    if url.database in (None, "", ":memory:"):
        return create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a report must survive a power cut
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # a later upgrade to a writer could fail as busy

    return engine
