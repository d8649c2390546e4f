"""The tables of a new SQLite store, copied from one that the program has made: a tenth of a second less for each."""

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect

from backupman.store import Store, migrating

_migrate = migrating._upgrade


def seed(state_folder: Path) -> None:
    """Give an installation that has not been started yet its tables, for programs that really start."""
    state_folder.mkdir(mode=0o700)
    file = state_folder / "backupman.db"
    file.touch(mode=0o600)
    file.write_bytes(_migrated())


def copy_tables() -> None:
    """From now on, in this process and in those forked from it."""
    migrating._upgrade = _copy


def _copy(connection: Connection) -> None:
    with connection.begin():
        is_new = connection.dialect.name == "sqlite" and not inspect(connection).get_table_names()
    if is_new:
        with closing(sqlite3.connect(":memory:")) as migrated:
            migrated.deserialize(_migrated())
            migrated.backup(_driver(connection))
    else:
        _migrate(connection)


@cache
def _migrated() -> bytes:
    store = Store("sqlite://")
    try:
        with store._engine.connect() as connection:
            _migrate(connection)
            found: bytes = _driver(connection).serialize()
            return found
    finally:
        store.close()


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
