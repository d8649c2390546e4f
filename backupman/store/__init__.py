"""The store: the database of all records, and the only place that opens a session."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import make_url

from backupman.errors import BackupmanError
from backupman.store._engines import AS_TEXT, KEPT_ALIVE, close, engine, sqlite_file
from backupman.store._sessions import Sessions, translated
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
from backupman.store.reached import Reached
from backupman.store.restores import Restores
from backupman.store.run_logs import RunLogs
from backupman.store.standing import Standing
from backupman.store.statistics import Statistics
from backupman.store.transfer import Copied, copy
from backupman.store.verifiable import Verifiable
from backupman.store.workers import Workers

__all__ = ["AS_TEXT", "KEPT_ALIVE", "Announcement", "Store"]

_ROOM = 2**18
"""Bytes: what a few transactions add."""


class Store:
    """All records; `backups` and `outbox` hold what can be done with them. Thread-safe.

    Args:
        address: a SQLAlchemy URL; SQLite, PostgreSQL (psycopg) or MySQL/MariaDB (PyMySQL), the last with
            `tls=false|true|preferred|skip-verify` in its query.
    """

    def __init__(self, address: str) -> None:
        self._url = make_url(address)
        self._place = self._url.set(query={}).render_as_string(hide_password=True)
        with translated(self._place):
            self._engine = engine(self._url)
        self._sessions = sessions = Sessions(self._engine, self._place)
        self.assignments = Assignments(sessions)
        self.backups = Backups(sessions)
        self.copies = Copies(sessions)
        self.catalogue = Catalogue(sessions)
        self.claims = Claims(sessions)
        self.history = History(sessions)
        self.imports = Imports(sessions)
        self.ingest = Ingest(sessions)
        self.jobs = Jobs(sessions)
        self.listings = Listings(sessions)
        self.outbox = Outbox(sessions)
        self.proofs = Proofs(sessions)
        self.reached = Reached(sessions)
        self.restores = Restores(sessions)
        self.run_logs = RunLogs(sessions)
        self.standing = Standing(sessions)
        self.statistics = Statistics(sessions)
        self.verifiable = Verifiable(sessions)
        self.workers = Workers(sessions)

    @classmethod
    def open(cls, address: str) -> "Store":
        """The store, its tables made or brought up to date first.

        Raises:
            StoreError: the database cannot be reached, written or migrated.
        """
        store = cls(address)
        try:
            with translated(store._place):
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
            with translated(store._place):
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
        return copy(self._sessions, target._sessions, tell)

    @property
    def shared(self) -> bool:
        """Whether processes on several hosts may work with it: they claim what they do, in PostgreSQL."""
        return self._url.get_backend_name() == "postgresql"

    @property
    def place(self) -> str:
        """Where the records are, without a password."""
        return self._place

    @property
    def file(self) -> Path | None:
        """The file of the records; None where they are on a server or in memory."""
        return sqlite_file(self._url)

    def close(self) -> None:
        """Let go of all connections; of what a thread still has in use, when it has ended that."""
        close(self._engine)

    def check(self) -> None:
        """Whether records can be read and written now; raises StoreError.

        A full disk is asked for its room: SQLite meets it only when there is something to add.
        """
        with translated(self._place):
            if self.file:
                _need_room(self.file.parent)
        self.backups.check()


def _need_room(folder: Path) -> None:
    """Raise OSError where the disk is full for us; root may use what is kept for it."""
    disk = os.statvfs(folder)
    free = disk.f_bfree if os.geteuid() == 0 else disk.f_bavail
    if disk.f_blocks and free * disk.f_frsize < _ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _make_private(file: Path) -> None:
    """Make the file that is to become the database, and its folder, for our own account alone.

    One that is there is not opened: closing it again would drop the locks that SQLite holds on it for this process, and
    the next process to close it would take its log away from under us (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if file.is_dir():  # of which SQLite says that it is unable to open the database file
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file)) from None
