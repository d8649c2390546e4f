"""Where a PostgreSQL dump goes: single tables, several jobs, a database in use that stays like it was."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from backupman.errors import RestoreError
from backupman.sources import Origin, Target
from backupman.sources.postgres import Postgres as PostgresSource
from tests.contracts._children import children
from tests.contracts.restore import reader
from tests.contracts.source import dumped
from tests.servers.postgres import Postgres
from tests.sources.test_postgres import source_of

Names = Callable[[], list[str]]


@pytest.fixture
def source(postgres: Postgres, postgres_database: str) -> PostgresSource:
    with postgres.connect(postgres_database) as connection:
        connection.execute('CREATE TABLE t AS SELECT generate_series(1, 10) AS x; CREATE SCHEMA "a.b"')
        connection.execute('CREATE TABLE "a.b"."it""s" (x int PRIMARY KEY); CREATE TABLE "a.b".u (x int)')
        connection.execute('INSERT INTO "a.b"."it""s" VALUES (1), (2)')
    return source_of(postgres, db_name=postgres_database, format="custom")


@pytest.fixture
def dump(source: PostgresSource, tmp_path: Path) -> tuple[bytes, Origin]:
    dump, data = dumped(source, tmp_path)
    return data, Origin(source.db_name or "", ".dump", dump.facts)


@pytest.fixture
def target(postgres: Postgres) -> Iterator[str]:
    yield "brought_back"
    postgres.drop_database("brought_back")


def rows(source: PostgresSource, database: str) -> dict[str, int | None]:
    return {table.name: table.rows for table in source.count_rows(database)}


@pytest.mark.parametrize(
    ("tables", "there"),
    [
        (["t"], {"public.t": 10}),
        (['"a.b"."it""s"'], {'"a.b"."it""s"': 2}),
        (['"a.b"."it""s"', '"a.b".u'], {'"a.b"."it""s"': 2, '"a.b".u': 0}),
    ],
    ids=str,
)
def test_single_tables(
    source: PostgresSource,
    dump: tuple[bytes, Origin],
    target: str,
    tmp_path: Path,
    tables: list[str],
    there: dict[str, int],
) -> None:
    data, origin = dump
    [warning] = source.restore(reader(data), origin, Target(target, tables=tables), tmp_path)
    assert "no index, key, trigger or right" in warning
    assert rows(source, target) == there


def test_a_dump_that_drops_before_it_makes_comes_back_where_nothing_is(
    source: PostgresSource, target: str, tmp_path: Path
) -> None:
    cleaning = PostgresSource.model_validate(source.revealed() | {"format": "plain", "options": ["-Oc"]})
    dump, data = dumped(cleaning, tmp_path)
    assert b"DROP TABLE" in data
    cleaning.restore(reader(data), Origin(source.db_name or "", ".sql", dump.facts), Target(target), tmp_path)
    assert rows(source, target) == rows(source, source.db_name or "")


def test_a_partitioned_table_has_its_rows_in_its_partitions(
    postgres: Postgres, source: PostgresSource, target: str, tmp_path: Path
) -> None:
    postgres.psql(
        source.db_name or "",
        "CREATE TABLE p (x int) PARTITION BY LIST (x);"
        "CREATE TABLE p1 PARTITION OF p DEFAULT; INSERT INTO p1 VALUES (1)",
    )
    dump, data = dumped(source, tmp_path)
    origin, wanted = Origin(source.db_name or "", ".dump", dump.facts), Target(target, tables=["p", "p1"])
    [_, warning] = source.restore(reader(data), origin, wanted, tmp_path)
    assert rows(source, target) == {"public.p": None, "public.p1": 1}
    assert warning.startswith("Shop: public.p came without rows, which are in the partitions")


@pytest.mark.parametrize(
    ("tables", "suffix", "said"),
    [
        (["gone"], ".dump", 'table "gone" not found'),
        (["public.t", '"a.b".u'], ".dump", "give the tables of one schema at a time"),
        (["a.b.c"], ".dump", "write tables as schema.table or table"),
        (["t"], ".sql", "no single table can be picked out of plain SQL"),
    ],
)
def test_tables_that_cannot_be_picked_out(
    source: PostgresSource,
    dump: tuple[bytes, Origin],
    target: str,
    tmp_path: Path,
    tables: list[str],
    suffix: str,
    said: str,
) -> None:
    data, origin = dump
    with pytest.raises(RestoreError, match=f"^Shop: .*{said}"):
        source.restore(reader(data), Origin("shop", suffix, origin.facts), Target(target, tables=tables), tmp_path)
    assert not source.exists(target)


def test_several_jobs_on_one_archive(
    source: PostgresSource, dump: tuple[bytes, Origin], target: str, tmp_path: Path
) -> None:
    data, origin = dump
    with pytest.raises(RestoreError, match="cut off"):
        source.restore(reader(data[:-9]), origin, Target(target, jobs=2), tmp_path)
    assert not source.exists(target)
    assert source.restore(reader(data), origin, Target(target, jobs=2), tmp_path) == []
    assert rows(source, target) == rows(source, origin.database)
    assert children() == []


@pytest.mark.parametrize(
    ("format", "asked", "option"),
    [
        ("directory", None, "--jobs=3"),
        ("directory", 2, "--jobs=2"),
        ("directory", 1, "--single-transaction"),
        ("custom", None, "--single-transaction"),
    ],
)
def test_a_directory_comes_back_by_as_many_jobs_as_it_is_dumped_by(
    postgres: Postgres, source: PostgresSource, target: str, tmp_path: Path, format: str, asked: int | None, option: str
) -> None:
    dump, data = dumped(source.model_copy(update={"format": format}), tmp_path)
    origin = Origin(source.db_name or "", {"directory": ".tar", "custom": ".dump"}[format], dump.facts)
    tools, said = tmp_path / "tools", tmp_path / "said"
    tools.mkdir()
    (tools / "psql").symlink_to(postgres.bin / "psql")
    (tools / "pg_restore").write_text(f'#!/bin/sh\necho "$@" >> {said}\nexec {postgres.bin}/pg_restore "$@"\n')
    (tools / "pg_restore").chmod(0o755)
    there = source.model_copy(update={"format": "directory", "jobs": 3, "tool_path": tools})
    assert there.restore(reader(data), origin, Target(target, jobs=asked), tmp_path) == []
    assert rows(source, target) == rows(source, origin.database)
    assert option in said.read_text()


def test_a_database_in_use_is_replaced_and_stays_like_it_was(
    source: PostgresSource, postgres: Postgres, dump: tuple[bytes, Origin], target: str, tmp_path: Path
) -> None:
    data, origin = dump
    space = postgres.socket_dir / "bm_large"
    space.mkdir()
    shutil.chown(space, postgres.socket_dir.owner())
    postgres.psql("postgres", f"CREATE TABLESPACE bm_large LOCATION '{space}'")
    postgres.psql(
        "postgres",
        "CREATE ROLE keeper LOGIN PASSWORD 'k'; CREATE ROLE guest LOGIN PASSWORD 'g';"
        f"CREATE DATABASE {target} OWNER keeper TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' TABLESPACE bm_large",
    )
    postgres.psql(
        "postgres",
        f"""REVOKE CONNECT ON DATABASE {target} FROM PUBLIC; GRANT CONNECT ON DATABASE {target} TO guest;
        ALTER DATABASE {target} SET search_path = side, "a.b", public; ALTER DATABASE {target} SET app.tenant = 'it''s';
        ALTER DATABASE {target} SET default_transaction_read_only = on; ALTER DATABASE {target} CONNECTION LIMIT 7;
        ALTER ROLE guest IN DATABASE {target} SET search_path = '';
        ALTER ROLE guest IN DATABASE {target} SET work_mem = '7MB'; COMMENT ON DATABASE {target} IS 'ours\';""",
    )
    dressed = f"""SELECT ARRAY(SELECT unnest(datacl)::text ORDER BY 1), datconnlimit,
        (SELECT spcname FROM pg_tablespace t WHERE t.oid = dattablespace),
        shobj_description(d.oid, 'pg_database'),
        (SELECT array_agg((setrole::regrole, setconfig) ORDER BY setrole)
            FROM pg_db_role_setting WHERE setdatabase = d.oid)
        FROM pg_database d WHERE datname = '{target}'"""
    before = postgres.psql("postgres", dressed)
    try:
        with postgres.connect(target, application_name="in use") as connection:
            connection.execute("SET transaction_read_only = off; CREATE TABLE old (x int)")
            assert source.restore(reader(data), Origin("shop", ".dump"), Target(target, overwrite=True), tmp_path) == []
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        assert rows(source, target) == rows(source, origin.database)
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        assert source.scalar(target, owner, 10) == "keeper"
        assert source.scalar(target, "SHOW server_encoding", 10) == "LATIN1"
        assert postgres.psql("postgres", dressed) == before
    finally:
        postgres.drop_database(target)
        postgres.psql("postgres", "DROP ROLE keeper, guest; DROP TABLESPACE bm_large")


def test_a_new_database_is_like_the_one_that_was_dumped_and_is_still_there(
    source: PostgresSource, postgres: Postgres, dump: tuple[bytes, Origin], target: str, tmp_path: Path
) -> None:
    """It takes its name when it has been looked at, and whoever could use the old one can use it then."""
    data, origin = dump
    shop = origin.database
    dressed = """SELECT ARRAY(SELECT unnest(datacl)::text ORDER BY 1), datconnlimit, datdba::regrole,
        shobj_description(d.oid, 'pg_database'), (SELECT array_agg(setconfig) FROM pg_db_role_setting
            WHERE setdatabase = d.oid) FROM pg_database d WHERE datname = '{}'"""
    postgres.psql("postgres", "CREATE ROLE keeper; CREATE ROLE restorer LOGIN CREATEDB PASSWORD 'r'")
    try:
        postgres.psql(
            "postgres",
            f"""ALTER DATABASE {shop} OWNER TO keeper; REVOKE CONNECT ON DATABASE {shop} FROM PUBLIC;
            ALTER DATABASE {shop} SET search_path = side, public; COMMENT ON DATABASE {shop} IS 'ours'""",
        )
        assert source.restore(reader(data), origin, Target(target), tmp_path) == []
        assert postgres.psql("postgres", dressed.format(target)) == postgres.psql("postgres", dressed.format(shop))
        postgres.drop_database(target)
        [warning] = source.restore(reader(data), origin, Target(target, tables=["t"]), tmp_path)
        assert "no index" in warning and "keeper" not in postgres.psql("postgres", dressed.format(target))
        postgres.drop_database(target)
        assert source.restore(reader(data), origin, Target(target, drill=True), tmp_path) == []
        assert "keeper" not in postgres.psql("postgres", dressed.format(target)), "a drill asks as whoever restores"
        postgres.drop_database(target)
        nobodys = source.model_copy(update={"format": "plain", "options": ["--no-owner"]})
        _, data = dumped(nobodys, tmp_path)
        poor = PostgresSource.model_validate(nobodys.revealed() | {"user": "restorer", "password": "r"})
        [warning] = poor.restore(reader(data), Origin(shop, ".sql"), Target(target), tmp_path)
        assert warning.startswith(f"Shop: the owner, rights and settings of {shop} itself have to be given again: ")
        assert "keeper" in warning and source.exists(target)
    finally:
        postgres.drop_database(target)
        postgres.psql("postgres", f"ALTER DATABASE {shop} OWNER TO {postgres.user}; DROP ROLE keeper, restorer")


def test_an_account_that_may_not_make_databases(
    source: PostgresSource, postgres: Postgres, dump: tuple[bytes, Origin], target: str, tmp_path: Path
) -> None:
    data, origin = dump
    postgres.psql("postgres", "CREATE ROLE small LOGIN PASSWORD 's'")
    try:
        small = source_of(postgres, db_name="postgres", user="small", password="s")
        with pytest.raises(RestoreError, match=r"small may not create databases at .*: ALTER ROLE small CREATEDB"):
            small.restore(reader(data), origin, Target(target), tmp_path)
    finally:
        postgres.psql("postgres", "DROP ROLE small")


def test_a_name_of_which_the_server_would_keep_a_part(
    source: PostgresSource, postgres: Postgres, tmp_path: Path
) -> None:
    longer = "é" * 32
    with pytest.raises(RestoreError, match=f"keeps 63 bytes of a name, and {longer} is longer: shorten it"):
        source.restore(reader(b""), Origin("shop", ".sql"), Target(longer), tmp_path)
    assert "é" not in postgres.psql("postgres", "SELECT datname FROM pg_database")


def test_a_login_that_fails_is_said_in_the_usual_words(source: PostgresSource, tmp_path: Path) -> None:
    wrong = PostgresSource.model_validate(source.revealed() | {"password": "wr0ng"})
    for ask in (
        lambda: wrong.exists("x"),
        lambda: wrong.remove("x"),
        lambda: wrong.count_rows("x"),
        lambda: wrong.scalar("x", "SELECT 1", 1),
        lambda: wrong.restore(reader(b""), Origin("x", ".sql"), Target("x"), tmp_path),
    ):
        with pytest.raises(RestoreError, match=r"^Shop: .* refuses the password of tester"):
            ask()
