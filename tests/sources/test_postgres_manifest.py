"""The manifest of a PostgreSQL dump: counted in the dump's own snapshot, and never in the dump's way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backupman.manifest import Manifest, TableRows
from backupman.sources import GLOBALS, Dump, Origin, Target
from backupman.sources.postgres import Postgres as PostgresSource
from tests.contracts._children import children, kill_child
from tests.contracts.restore import reader
from tests.contracts.source import dumped, read
from tests.servers.postgres import Postgres
from tests.sources.test_postgres import source_of

Make = Callable[..., PostgresSource]


@pytest.fixture
def make(postgres: Postgres, postgres_database: str) -> Make:
    with postgres.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE t AS SELECT g AS x FROM generate_series(1, 1000) g; ANALYZE t")
        connection.execute('CREATE TABLE "Odd; one" (x int); CREATE SCHEMA side; CREATE TABLE side.u (x int)')
        connection.execute("INSERT INTO side.u VALUES (1), (2)")
    return lambda **settings: source_of(postgres, db_name=postgres_database, **settings)


def rows(dump: Dump) -> dict[str, int | None]:
    assert dump.manifest is not None
    return {table.name: table.rows for table in dump.manifest.tables}


@pytest.mark.parametrize("settings", [{}, {"format": "custom"}, {"format": "directory", "jobs": 3}], ids=str)
def test_rows_are_those_of_the_dump_whatever_comes_after_it_began(
    make: Make, postgres: Postgres, postgres_database: str, tmp_path: Path, settings: dict[str, Any]
) -> None:
    source = make(**settings)
    with source.dump(postgres_database, tmp_path) as dump:
        with postgres.connect(postgres_database) as connection:
            connection.execute("INSERT INTO side.u SELECT generate_series(1, 50); CREATE TABLE tardy (x int)")
        data = read(dump)
    assert rows(dump) == {"public.t": 1000, 'public."Odd; one"': 0, "side.u": 2}
    assert dump.manifest is not None
    assert dump.manifest.same_snapshot
    assert dump.warnings == []
    assert b"tardy" not in data


def test_a_dump_without_a_table_has_a_warning(
    make: Make, postgres: Postgres, postgres_database: str, tmp_path: Path
) -> None:
    def warned(**settings: object) -> bool:
        dump = dumped(make(**settings), tmp_path)[0]
        return any("there is no table in the dump of" in warning for warning in dump.warnings)

    assert not warned()
    assert not warned(manifest={"rows": "none"})
    assert warned(exclude_tables=["*", "side.*"])
    with postgres.connect(postgres_database) as connection:
        connection.execute('DROP TABLE t, "Odd; one", side.u')
    assert warned()


def test_what_else_is_known(make: Make, postgres_database: str, tmp_path: Path) -> None:
    source = make()
    dump, _ = dumped(source, tmp_path)
    manifest = dump.manifest
    assert manifest is not None
    assert manifest.provider == "postgres"
    assert manifest.facts == dump.facts
    assert list(manifest.extensions) == ["plpgsql"]
    assert manifest.restorable_by == dump.facts["tool_version"].partition(".")[0]
    assert (dump.facts["encoding"], dump.facts["collate"], dump.facts["ctype"]) == ("UTF8", "C.UTF-8", "C.UTF-8")
    assert dump.facts["roles"] == '["tester"]'
    assert manifest.differences(source.count_rows(postgres_database)) == []


def test_names_are_written_alike_whatever_the_server_quotes(
    make: Make, postgres: Postgres, postgres_database: str, tmp_path: Path
) -> None:
    postgres.psql("postgres", f"ALTER DATABASE {postgres_database} SET quote_all_identifiers = on")
    source = make()
    dump, _ = dumped(source, tmp_path)
    assert rows(dump) == {"public.t": 1000, 'public."Odd; one"': 0, "side.u": 2}
    assert dump.manifest is not None
    assert source.count_rows(postgres_database) == dump.manifest.tables


@pytest.mark.parametrize("option", ["--data-only", "--data", "-Oa"])
def test_a_dump_of_rows_alone_makes_no_database(make: Make, tmp_path: Path, option: str) -> None:
    source = make(options=[option])
    [warning] = dumped(source, tmp_path)[0].warnings
    assert "holds rows and no tables (--data-only)" in warning
    assert source.examine() == [warning]


def test_names_in_a_database_without_an_encoding(postgres: Postgres, tmp_path: Path) -> None:
    postgres.psql("postgres", "CREATE DATABASE old_names TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    source = source_of(postgres, db_name="old_names")
    try:
        made = "SET client_encoding = SQL_ASCII; CREATE TABLE \"m\xfcller\" AS SELECT '\xfc'::text AS name"
        postgres.psql("old_names", made.encode("latin-1"))
        dump, data = dumped(source, tmp_path)
        assert (dump.warnings, rows(dump)) == ([], {'public."m\ufffdller"': 1})
        source.restore(reader(data), Origin("old_names", ".sql", dump.facts), Target("brought_back"), tmp_path)
        assert dump.manifest is not None
        assert source.count_rows("brought_back") == dump.manifest.tables
    finally:
        postgres.drop_database("old_names")
        postgres.drop_database("brought_back")


def test_counting_less(make: Make, tmp_path: Path) -> None:
    none, _ = dumped(make(manifest={"rows": "none"}), tmp_path)
    assert rows(none) == {}
    estimated, _ = dumped(make(manifest={"rows": "estimate"}), tmp_path)
    late, _ = dumped(make(manifest={"timeout": "0s"}), tmp_path)
    for dump in (estimated, late):
        assert rows(dump) == {"public.t": 1000, 'public."Odd; one"': None, "side.u": None}
        assert dump.manifest is not None
        assert not any(table.exact for table in dump.manifest.tables)
        assert dump.warnings == []


def test_a_table_that_is_not_dumped_is_not_waited_for(
    make: Make, postgres: Postgres, postgres_database: str, tmp_path: Path
) -> None:
    source = make(exclude_tables=["side.*"])
    with postgres.connect(postgres_database, autocommit=False) as connection:
        connection.execute("LOCK TABLE side.u IN ACCESS EXCLUSIVE MODE")
        dump, _ = dumped(source, tmp_path)
    assert rows(dump) == {"public.t": 1000, 'public."Odd; one"': 0}
    assert children() == []


def test_only_what_is_in_the_dump_is_in_the_manifest(make: Make, tmp_path: Path) -> None:
    for settings in ({"tables": ["public.*"]}, {"exclude_tables": ["side.*"]}, {"options": ["-Nside"]}):
        dump, data = dumped(make(**settings), tmp_path)
        assert list(rows(dump)) == ['public."Odd; one"', "public.t"]
        assert b"side.u" not in data
        assert list(tmp_path.iterdir()) == []
    for option in ("--exclude-table-data=t", "--no-unlogged-table-data", "--schema-only", "-Os"):
        dump, _ = dumped(make(options=[option]), tmp_path)
        assert rows(dump) == {'public."Odd; one"': None, "public.t": None, "side.u": None}


def test_without_a_snapshot_rows_are_counted_beside_the_dump(make: Make, tmp_path: Path) -> None:
    dump, _ = dumped(make(options=["--serializable-deferrable"]), tmp_path)
    assert rows(dump) == {"public.t": 1000, 'public."Odd; one"': 0, "side.u": 2}
    assert dump.manifest is not None
    assert not dump.manifest.same_snapshot


def test_a_counter_that_dies_fails_no_dump(make: Make, postgres_database: str, tmp_path: Path) -> None:
    with make().dump(postgres_database, tmp_path) as dump:
        assert dump.stream.read(1)  # pg_dump has taken over the snapshot
        kill_child("psql")
        read(dump)
    assert dump.manifest is not None
    assert all(warning.startswith("Shop: the rows were not counted: ") for warning in dump.warnings)
    assert children() == []


def test_roles_and_tablespaces_have_no_tables(make: Make, tmp_path: Path) -> None:
    dump, _ = dumped(make(), tmp_path, GLOBALS)
    assert dump.manifest is None


def test_estimates_are_no_reason_for_an_alarm() -> None:
    dumped_then = [TableRows(name="public.t", rows=1000, exact=False)]
    manifest = Manifest(provider="postgres", facts={}, tables=dumped_then)
    assert manifest.differences([TableRows(name="public.t", rows=900)]) == []
