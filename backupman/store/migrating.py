"""Brings the tables up to date, under a lock, so that two processes starting at once do not both do it.

Alembic is imported only when there is something to do: most commands find the newest revision and go on.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from backupman.errors import StoreError
from backupman.migrations import HEAD, VERSION_TABLE
from backupman.store._sqlite_planning import plan_by_fixed_figures

BEFORE_UPGRADE = ".before-upgrade"
"""What the copy of a SQLite file's records is called, behind the file's name."""
_SERVER_LOCKS = {
    "postgresql": ("SELECT true FROM pg_advisory_lock(7209316)", "SELECT pg_advisory_unlock(7209316)"),
    "mysql": ("SELECT GET_LOCK('backupman-migrations', 60)", "SELECT RELEASE_LOCK('backupman-migrations')"),
}


def migrate(engine: Engine, sqlite: Path | None) -> None:
    """Make or upgrade the tables. A SQLite file, which nobody else copies, is kept as it was before an upgrade.

    Raises:
        StoreError: the tables were made by a newer version, or another process holds the lock for too long.
    """
    # A new SQLite file is opened under the lock: two that switch it to its journal at once would collide.
    with _file_lock(sqlite and sqlite.with_name(sqlite.name + ".lock")), engine.connect() as connection:
        if _is_current(connection):
            return
        with _server_lock(connection):
            if not _is_current(connection):  # nobody else was first
                if sqlite and _revision(connection):
                    _keep(connection, sqlite)
                _upgrade(connection)


def refuse_older(engine: Engine, place: str) -> None:
    """Raise StoreError when there are tables of an earlier version."""
    with engine.connect() as connection:
        revision = _revision(connection)
    if revision is not None and revision < HEAD:
        raise StoreError(
            f"the tables in {place} are of an earlier version of backupman (revision {revision}, this one makes "
            f"{HEAD}); name an empty database"
        )


def _revision(connection: Connection) -> str | None:
    with connection.begin():
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        revision = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
    return None if revision is None else str(revision)


def _is_current(connection: Connection) -> bool:
    revision = _revision(connection)
    if revision is not None and revision > HEAD:
        raise StoreError(
            f"the store was made by a newer version of backupman (revision {revision}, this one knows {HEAD}); "
            "upgrade backupman"
        )
    return bool(revision == HEAD)


def _keep(connection: Connection, file: Path) -> None:
    """Copy the records beside the file, for a way back to the version that made them; an earlier copy goes."""
    copy = file.with_name(file.name + ".part")
    copy.unlink(missing_ok=True)
    copy.touch(mode=0o600)
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - it is connected
    try:
        driver.execute("VACUUM INTO ?", [str(copy)])
    except sqlite3.Error:
        copy.unlink()  # a part of it would keep a full disk full
        raise
    copy.replace(file.with_name(file.name + BEFORE_UPGRADE))


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "backupman:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    with connection.begin():
        command.upgrade(config, "head")
        if connection.dialect.name == "sqlite":
            plan_by_fixed_figures(connection)


@contextmanager
def _file_lock(lock_file: Path | None) -> Iterator[None]:
    if lock_file is None:
        yield
        return
    fd = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # whoever can open it can keep us waiting
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@contextmanager
def _server_lock(connection: Connection) -> Iterator[None]:
    """A lock of the connection's session on the database server; a file or a memory needs none."""
    dialect = connection.engine.dialect.name
    take, release = _SERVER_LOCKS.get(dialect, ("SELECT 1", "SELECT 1"))
    with connection.begin():
        if dialect == "postgresql":
            connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        if not connection.execute(text(take)).scalar():
            raise StoreError("another process has been migrating the store for a minute; try again")
    try:
        yield
    finally:
        with connection.begin():
            connection.execute(text(release))
