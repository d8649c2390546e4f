"""A store on every database that can hold the records, and what tests put into it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, event
from sqlmodel import SQLModel

from backupman.records import Backup, DriveFile, Status, new_id
from backupman.store import Store

START = datetime(2025, 7, 2, 10, 0, 0, 123456, tzinfo=UTC)


def sqlite_address(file: Path) -> str:
    """The address of a SQLite file."""
    return URL.create("sqlite", database=str(file)).render_as_string()


def server_address(request: pytest.FixtureRequest, kind: str, database: str = "") -> str:
    """The address of a database on a real server; unless one is named, of an empty one that goes after the test."""
    server = request.getfixturevalue(kind)
    return URL.create(
        {"postgres": "postgresql+psycopg", "mariadb": "mysql+pymysql"}[kind],
        username=server.user,
        password=server.password,
        host=server.host,
        port=server.port,
        database=database or request.getfixturevalue(f"{kind}_database"),
    ).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def shared_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind that several processes can open."""
    if request.param == "sqlite":
        return sqlite_address(tmp_path / "state" / "records.db")
    return server_address(request, request.param)


@pytest.fixture(scope="session")
def migrated() -> dict[str, str]:
    """The names of the databases on servers that have their tables already: making these takes a second each time."""
    return {}


@pytest.fixture(params=["sqlite", "memory", "postgres", "mariadb"])
def store(request: pytest.FixtureRequest, tmp_path: Path, migrated: dict[str, str]) -> Iterator[Store]:
    """An open store of each kind, with nothing in it."""
    kind: str = request.param
    if kind == "sqlite":
        address = sqlite_address(tmp_path / "state" / "records.db")
    elif kind == "memory":
        address = "sqlite://"
    else:
        if kind not in migrated:
            migrated[kind] = request.getfixturevalue(kind).create_database()
        address = server_address(request, kind, migrated[kind])
    opened = Store.open(address)
    yield opened
    with opened._engine.begin() as connection:
        for table in reversed(SQLModel.metadata.sorted_tables):
            connection.execute(table.delete())
    opened.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An open store in a SQLite file, for what no database does differently."""
    opened = Store.open(sqlite_address(tmp_path / "records.db"))
    yield opened
    opened.close()


def a_backup(*drives: str, **fields: Any) -> Backup:
    """A backup of `shop` that was just begun, with a pending file on each drive."""
    known: dict[str, Any] = {
        "id": new_id(),
        "label": "shop",
        "job": "nightly",
        "source": "shop",
        "database": "shop",
        "source_provider": "sqlite",
        "instance": "host1",
        "object_name": "shop/backup.sqlite.gz",
    } | fields
    files = [
        DriveFile(
            backup_id=known["id"], position=position, provider="local", label=drive, path=f"/{drive}/{known['id']}"
        )
        for position, drive in enumerate(drives or ("disk",))
    ]
    return Backup(drive_files=files, **known)


def finish(backup: Backup) -> None:
    """Enter that everything went well."""
    backup.dump_status = Status.FINISHED
    for file in backup.drive_files:
        file.status = Status.FINISHED


@contextmanager
def statements(store: Store) -> Iterator[list[tuple[str, Any]]]:
    """Every statement that the store executes meanwhile, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def see(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        seen.append((statement, parameters))

    event.listen(store._engine, "before_cursor_execute", see)
    yield seen
    event.remove(store._engine, "before_cursor_execute", see)


def ids(backups: Sequence[Backup]) -> list[str]:
    """The ids of some backups."""
    return [backup.id for backup in backups]
