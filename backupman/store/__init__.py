"""The store: the database of all records, and the only place that opens a session."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from backupman.errors import BackupmanError, StoreError
from backupman.store._engines import READS, engine, sqlite_file
from backupman.store.assignments import Assignments
from backupman.store.backups import Backups
from backupman.store.catalogue import Catalogue
from backupman.store.claims import Claims
from backupman.store.copies import Copies
from backupman.store.history import History
from backupman.store.imports import Imports
from backupman.store.ingest import Ingest
from backupman.store.jobs import Jobs
from backupman.store.listings import Listings
from backupman.store.migrating import migrate, refuse_older
from backupman.store.outbox import Announcement, Outbox
from backupman.store.proofs import Proofs
from backupman.store.restores import Restores
from backupman.store.run_logs import RunLogs
from backupman.store.standing import Standing
from backupman.store.statistics import Statistics
from backupman.store.transfer import Copied, copy
from backupman.store.verifiable import Verifiable
from backupman.store.workers import Workers
from backupman.text import first_line

__all__ = ["Announcement", "Store"]

_EXTRAS = {"psycopg": "postgres", "pymysql": "mysql"}


class Store:
    """All records; `backups` and `outbox` hold what can be done with them. Thread-safe.

    Args:
        address: a SQLAlchemy URL; SQLite, PostgreSQL (psycopg) or MySQL/MariaDB (PyMySQL), the last with
            `tls=false|true|preferred|skip-verify` in its query.
    """

    def __init__(self, address: str) -> None:
        self._url = make_url(address)
        self._place = self._url.set(query={}).render_as_string(hide_password=True)
        with self._translated():
            self._engine = engine(self._url)
        self._reader = self._engine.execution_options(**{READS: True})
        self.assignments = Assignments(self._session)
        self.backups = Backups(self._session)
        self.copies = Copies(self._session)
        self.catalogue = Catalogue(self._session)
        self.claims = Claims(self._session)
        self.history = History(self._session)
        self.imports = Imports(self._session)
        self.ingest = Ingest(self._session)
        self.jobs = Jobs(self._session)
        self.listings = Listings(self._reading)
        self.outbox = Outbox(self._session)
        self.proofs = Proofs(self._session)
        self.restores = Restores(self._session)
        self.run_logs = RunLogs(self._session)
        self.standing = Standing(self._reading)
        self.statistics = Statistics(self._reading)
        self.verifiable = Verifiable(self._reading)
        self.workers = Workers(self._session)

    @classmethod
    def open(cls, address: str) -> "Store":
        """The store, its tables made or brought up to date first.

        Raises:
            StoreError: the database cannot be reached, written or migrated.
        """
        store = cls(address)
        try:
            with store._translated():
                file = sqlite_file(store._url)
                if file:
                    _make_private(file)
                migrate(store._engine, file)
        except BackupmanError:
            store.close()
            raise
        return store

    @classmethod
    def open_for_copy(cls, address: str) -> "Store":
        """A store to copy records into: its tables are made where there are none, and never brought up to date.

        Raises:
            StoreError: the tables are of another version, or the database cannot be reached or written.
        """
        store = cls(address)
        try:
            with store._translated():
                file = sqlite_file(store._url)
                if not file or file.exists():
                    refuse_older(store._engine, store._place)
        finally:
            store.close()
        return cls.open(address)

    def copy_into(self, target: "Store", tell: Callable[[str, int], None]) -> Copied:
        """Copy all records into another store, which is empty or holds the same ones, and compare the two.

        `tell` hears each table's name and how many of its records were copied so far.

        Raises:
            StoreError: the target holds other records, they differ in the end, or somebody has changed them meanwhile.
        """
        return copy(self._session, target._session, tell)

    @property
    def shared(self) -> bool:
        """Whether processes on several hosts may work with it: they claim what they do, in PostgreSQL."""
        return self._url.get_backend_name() == "postgresql"

    @property
    def place(self) -> str:
        """Where the records are, without a password."""
        return self._place

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
    def _reading(self) -> Iterator[Session]:
        """A session for those that only read; nothing that was done in it is kept."""
        with self._translated(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ModuleNotFoundError as error:
            extra = _EXTRAS.get(error.name or "", "all")
            raise StoreError(f"the store {self._place} needs {error.name}: pip install 'backupman[{extra}]'") from error
        except (SQLAlchemyError, OSError) as error:
            told = getattr(error, "orig", None) or error
            reason = f"{told.strerror}: {told.filename}" if isinstance(told, OSError) else first_line(str(told))
            raise StoreError(
                f"the store {self._place} cannot be used: {reason}; see `database` and `state_folder` in the config"
            ) from error


def _make_private(file: Path) -> None:
    """Make the file that is to become the database, and its folder, for our own account alone."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
