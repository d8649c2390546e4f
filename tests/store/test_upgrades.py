"""Records of every earlier version are brought up to date by whoever opens them, and nothing in them is lost."""

import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, insert, make_url, select
from sqlalchemy.types import JSON, Boolean, DateTime, Double, Integer

from backupman.errors import StoreError
from backupman.migrations import HEAD, VERSION_TABLE
from backupman.records import Status
from backupman.store import Store
from backupman.store._engines import engine
from tests.cli.conftest import Inside, inside
from tests.servers.disk import mounted_disk
from tests.store.conftest import server_address, sqlite_address

__all__ = ["inside"]

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC).replace(tzinfo=None)
ID = "0a1b2c3d-0000-4000-8000-000000000001"
SOURCE = {"provider": "sqlite", "label": "shop", "db_path": "shop.sqlite"}
DRIVE = {"provider": "local", "label": "disk", "folder": "drive"}
KNOWN: dict[str, Any] = {
    "id": ID,
    "backup_id": ID,
    "status": "finished",
    "dump_status": "finished",
    "state": "delivered",
    "label": "shop",
    "source": "shop",
    "database": "shop",
    "kind": "backup_report",
    "sha256": "a" * 64,
}
DOCUMENTS: dict[str, Any] = {
    "tags": {"every": "week"},
    "warnings": [],
    "facts": {},
    "checksums": {},
    "payload": {"Label": "shop"},
    "document": {},
    "details": {},
}


def config() -> Config:
    """Alembic's, as the store makes it."""
    made = Config()
    made.set_main_option("script_location", "backupman:migrations")
    made.set_main_option("path_separator", "os")
    return made


OLDER = sorted(script.revision for script in ScriptDirectory.from_config(config()).walk_revisions())[:-1]


def value(table: Table, name: str) -> Any:
    """Something that a column of that name can hold."""
    column = table.columns[name]
    if column.foreign_keys and isinstance(column.type, Integer):
        return 1
    if name in DOCUMENTS:  # MariaDB has no type of its own for them
        return DOCUMENTS[name] if isinstance(column.type, JSON) else json.dumps(DOCUMENTS[name])
    if name in KNOWN and not isinstance(column.type, Integer):
        return "own" if table.name == "backupman_backups" and name == "kind" else KNOWN[name]
    for kind, something in ((Boolean, True), (Integer, 1), (Double, 1.5), (DateTime, AT)):
        if isinstance(column.type, kind):
            return something
    return f"{name} ß"


def fill(connection: Connection, revision: str) -> dict[str, dict[str, Any]]:
    """Make the tables of a revision by the migrations themselves, with a row in each; what is in them."""
    made = config()
    made.attributes["connection"] = connection
    command.upgrade(made, revision)
    tables = MetaData()
    tables.reflect(connection)
    for table in tables.sorted_tables:
        if table.name != VERSION_TABLE:
            connection.execute(insert(table).values({name: value(table, name) for name in table.columns.keys()}))  # noqa: SIM118 - no mapping
    return dict(rows(connection))


def make(file: Path, revision: str) -> dict[str, dict[str, Any]]:
    """Make a SQLite file of a revision; what is in it."""
    file.parent.mkdir(exist_ok=True)
    database = engine(make_url(sqlite_address(file)))
    with database.begin() as connection:
        made = fill(connection, revision)
    database.dispose()
    return made


def rows(connection: Connection) -> Iterator[tuple[str, dict[str, Any]]]:
    """The first row of each table."""
    tables = MetaData()
    tables.reflect(connection)
    for table in tables.sorted_tables:
        found = connection.execute(select(table)).mappings().first()
        if found and table.name != VERSION_TABLE:
            yield table.name, dict(found)


@pytest.mark.parametrize("revision", OLDER)
def test_nothing_is_lost(revision: str, tmp_path: Path) -> None:
    nothing_is_lost(sqlite_address(tmp_path / "records.db"), revision)


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_nothing_is_lost_on_a_server(request: pytest.FixtureRequest, kind: str) -> None:
    nothing_is_lost(server_address(request, kind), OLDER[0])


def nothing_is_lost(address: str, revision: str) -> None:
    """Open records of that revision, and find every value again."""
    database = engine(make_url(address))
    with database.begin() as connection:
        before = fill(connection, revision)
    assert {"backupman_backups", "backupman_drive_files", "backupman_events", "backupman_deliveries"} <= set(before)
    store = Store.open(address)
    backup = store.backups.get(ID)
    assert (backup.label, backup.status, backup.tags) == ("shop", Status.FINISHED, {"every": "week"})
    assert [file.status for file in backup.drive_files] == [Status.FINISHED]
    store.close()
    with database.begin() as connection:
        after = dict(rows(connection))
    database.dispose()
    for table, row in before.items():
        assert {name: after[table][name] for name in row} == row


def test_starting_the_program_upgrades_and_keeps_a_copy(inside: Inside, tmp_path: Path) -> None:
    file = tmp_path / "state/backupman.db"
    make(file, OLDER[0])
    sections = {"data_sources": [SOURCE], "drives": [DRIVE], "state_folder": "state"}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(sections))
    listed = inside("list", "--json")
    assert listed.code == 0, listed.err
    assert [backup["Id"] for backup in json.loads(listed.out)["Results"]] == [ID]
    copy = file.with_name("backupman.db.before-upgrade")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert (version(copy), version(file)) == (OLDER[0], HEAD)
    assert not copy.with_name("backupman.db.part").exists()


def test_a_new_store_has_no_copy(tmp_path: Path) -> None:
    Store.open(sqlite_address(tmp_path / "records.db")).close()
    Store.open(sqlite_address(tmp_path / "records.db")).close()
    assert not (tmp_path / "records.db.before-upgrade").exists()


def test_the_copy_is_the_way_back(tmp_path: Path) -> None:
    file = tmp_path / "records.db"
    before = make(file, OLDER[-1])
    Store.open(sqlite_address(file)).close()
    database = engine(make_url(sqlite_address(tmp_path / "records.db.before-upgrade")))
    with database.begin() as connection:
        assert dict(rows(connection)) == before
    database.dispose()


def test_without_room_for_a_copy_nothing_is_changed(tmp_path: Path) -> None:
    file = tmp_path / "records.db"
    make(file, OLDER[-1])
    (tmp_path / "records.db.before-upgrade").mkdir()
    with pytest.raises(StoreError, match=r"records.db cannot be used: Is a directory"):
        Store.open(sqlite_address(file))
    assert version(file) == OLDER[-1]


def test_a_disk_that_is_full_is_said_and_no_part_of_the_copy_stays(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk", "2m") as disk:
        file = disk / "records.db"
        make(file, OLDER[-1])
        with suppress(OSError), (disk / "fill").open("wb", 0) as fill:
            while fill.write(bytes(4096)):
                pass
        os.truncate(disk / "fill", (disk / "fill").stat().st_size - 100_000)  # for what SQLite keeps beside its file
        with pytest.raises(StoreError, match=r"records.db cannot be used: database or disk is full; make room if"):
            Store.open(sqlite_address(file))
        assert not (disk / "records.db.part").exists()
        (disk / "fill").unlink()
        assert version(file) == OLDER[-1]


def version(file: Path) -> str:
    """The revision of a SQLite file."""
    with closing(sqlite3.connect(file)) as database:
        [[found]] = database.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()
        return str(found)
