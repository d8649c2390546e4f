"""Brings the tables up to date, under a lock, so that two processes starting at once do not both do it.

Alembic is imported only when there is something to do: most commands find the newest revision and go on.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from backupman.errors import StoreError
from backupman.migrations import HEAD, VERSION_TABLE

_LOCK_ID = 7209316
_LOCK_NAME = "backupman-migrations"


def migrate(engine: Engine, lock_file: Path | None) -> None:
    """Make or upgrade the tables.

    Raises:
        StoreError: the tables were made by a newer version.
    """
    if _revision(engine) == HEAD:
        return
    with _locked(engine, lock_file):
        if _revision(engine) != HEAD:
            _upgrade(engine)


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "backupman:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StoreError(
                f"the store was made by a newer version of backupman ({error}); upgrade backupman"
            ) from error


@contextmanager
def _locked(engine: Engine, lock_file: Path | None) -> Iterator[None]:
    if lock_file:
        with lock_file.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as connection:
        _server_lock(connection, take=True)
        try:
            yield
        finally:
            _server_lock(connection, take=False)


def _server_lock(connection: Connection, *, take: bool) -> None:
    statements = {
        "postgresql": (f"SELECT pg_advisory_lock({_LOCK_ID})", f"SELECT pg_advisory_unlock({_LOCK_ID})"),
        "mysql": (f"SELECT GET_LOCK('{_LOCK_NAME}', 60)", f"SELECT RELEASE_LOCK('{_LOCK_NAME}')"),
    }
    if statement := statements.get(connection.engine.dialect.name):
        connection.execute(text(statement[0 if take else 1]))
