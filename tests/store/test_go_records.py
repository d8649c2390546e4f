"""The original Go program's records are read from every database it knew, in UTC, and nothing is ever written there."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backupman.errors import StoreError
from backupman.store.go_records import GoRecords
from tests.store.conftest import server_address, sqlite_address
from tests.store.go_program import GoProgram

DISK = ("local", "Disk", "tmp/drive/20250702100001.sql")
TEN = datetime(2025, 7, 2, 10, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GoProgram]:
    """A Go program with empty tables, on each kind of database."""
    kind = request.param
    made = GoProgram(sqlite_address(tmp_path / "go.db") if kind == "sqlite" else server_address(request, kind))
    yield made
    made.close()


def test_a_backup_comes_with_its_files_as_they_are_recorded(program: GoProgram) -> None:
    name = program.add("Größe 1", DISK, ("s3", "Bucket", "backups/20250702100003.sql"))
    failed = program.add("Shop", at="2025-07-03 04:00:00", status="failed")
    before = program.rows()
    with closing(GoRecords(program.address)) as records:
        assert records.count() == 2
        found = {backup.id: backup for backup in records.backups()}
        assert list(records.lost()) == []
        assert records.not_understood == []
    assert (found[name].label, found[name].status, found[name].dump_path) == ("Größe 1", "finished", "")
    assert found[name].created_at == TEN
    assert {(file.provider, file.label, file.path, file.created_at) for file in found[name].files} == {
        (*DISK, TEN),
        ("s3", "Bucket", "backups/20250702100003.sql", TEN),
    }
    assert (found[failed].status, list(found[failed].files), found[failed].updated_at) == ("failed", [], None)
    assert program.rows() == before


def test_it_cannot_write(program: GoProgram) -> None:
    program.add("Shop")
    with closing(GoRecords(program.address)) as records, records._engine.connect() as connection:
        with pytest.raises(DBAPIError):
            connection.execute(text("delete from backups"))
        connection.rollback()
    assert len(program.rows()) == 1


def test_local_times_of_a_server_are_read_as_utc(program: GoProgram) -> None:
    kind = program._engine.dialect.name
    if kind == "postgresql":
        program.execute(f"alter database \"{program._engine.url.database}\" set timezone to 'Europe/Berlin'")
        program.add("Shop", DISK, at="2025-07-02 12:00:00")
    elif kind == "mysql":
        program.execute(
            "set time_zone = '+02:00'", "insert into backups (id, status, label) values ('x', 'failed', 'y')"
        )
        program.execute(
            "set time_zone = '+02:00'",
            "update backups set created_at = '2025-07-02 12:00:00'",
        )
    else:
        program.add("Shop", DISK, at="2025-07-02T12:00:00+02:00")
    with closing(GoRecords(program.address)) as records:
        [backup] = records.backups()
    assert backup.created_at == TEN
    assert [file.created_at for file in backup.files] == [TEN] * len(backup.files)


def test_names_that_several_dumps_share_go_to_the_last_of_them(program: GoProgram) -> None:
    first = program.add("A")
    program.add_file(first, *DISK, at="2025-07-02 10:00:00")
    last = program.add_file(first, *DISK, at="2025-07-02 10:00:01")
    for _ in range(2):
        program.add_file(first, "local", "Disk", "tmp/drive/20250702110000.sql", at="2025-07-02 11:00:00")
    program.add_file(first, "local", "Other", DISK[2])
    program.add_file(first, *DISK, at="2025-07-02 10:00:02", status="failed")
    with closing(GoRecords(program.address)) as records:
        assert records.shared() == {(DISK[1], DISK[2]): last, ("Disk", "tmp/drive/20250702110000.sql"): None}


def test_many_are_given_one_by_one(program: GoProgram) -> None:
    rows = [{"id": f"{number:08x}-0000-4000-8000-000000000000"} for number in range(2500)]
    insert = text("insert into backups (id, status, label) values (:id, 'failed', 'Shop')")
    with program._engine.begin() as connection:
        connection.execute(insert, rows)
    with closing(GoRecords(program.address)) as records:
        assert [backup.id for backup in records.backups()] == [row["id"] for row in rows]


def test_a_file_whose_backup_is_gone_is_told(tmp_path: Path) -> None:
    program = GoProgram(sqlite_address(tmp_path / "go.db"))
    program.close()
    with closing(sqlite3.connect(tmp_path / "go.db")) as database, database:  # which checks no foreign keys
        database.execute(
            "insert into backup_drive_files values ('f', 'b', 'local', 'Disk', 'x', 'finished', '2025', null)"
        )
    with closing(GoRecords(program.address)) as records:
        assert list(records.lost()) == [("f", "b")]


def test_what_is_no_time_is_none_and_a_column_that_nobody_knows_is_named(tmp_path: Path) -> None:
    program = GoProgram(sqlite_address(tmp_path / "go.db"))
    program.execute(
        "alter table backups add column size integer", "alter table backup_drive_files rename column path to Path"
    )
    program.add("A", DISK, at="0001-01-01 00:00:00")
    program.add("B", at="soon")
    program.close()
    with closing(GoRecords(program.address)) as records:
        assert [backup.created_at for backup in records.backups()] == [None, None]
        assert [file.path for backup in records.backups() for file in backup.files] == [DISK[2]]
        assert records.not_understood == ["backups.size"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "there is no"),
        (lambda path: path.write_bytes(b"no database at all" * 100), "cannot be read"),
        (lambda path: sqlite3.connect(path).execute("create table x (a)").connection.close(), "no table 'backups'"),
        (
            lambda path: sqlite3.connect(path).execute("create table backups (id)").connection.close(),
            "no column status",
        ),
    ],
)
def test_what_is_not_the_go_programs_database_is_said(tmp_path: Path, make: object, said: str) -> None:
    path = tmp_path / "a ?%20#.db"
    make(path)  # type: ignore[operator]  # one of the functions above
    with pytest.raises(StoreError, match=said):
        GoRecords(sqlite_address(path))


def test_a_path_may_hold_what_means_something_in_a_uri(tmp_path: Path) -> None:
    program = GoProgram(sqlite_address(tmp_path / "a ?%20#.db"))
    program.add("A")
    program.close()
    with closing(GoRecords(program.address)) as records:
        assert records.count() == 1


def test_a_server_that_is_away_is_told_without_the_password() -> None:
    with pytest.raises(StoreError, match="cannot be read") as error:
        GoRecords("postgresql+psycopg://keeper:s3cret-word@127.0.0.1:1/records")
    assert "s3cret-word" not in error.value.sentence
