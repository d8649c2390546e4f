"""What a doctor finds in a source without dumping it: what a dump would lack, and what is worth a word."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from backupman.errors import DumpError
from backupman.sources.mariadb import Mariadb as MariadbSource
from backupman.sources.postgres import Postgres as PostgresSource
from backupman.sources.sqlite import Sqlite
from tests.contracts.source import dumped
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres
from tests.sources._mysql_setup import account, run_sql, source_of


@pytest.fixture
def clerk(postgres: Postgres, postgres_database: str) -> Iterator[PostgresSource]:
    """A source of a role that may log in, and nothing else."""
    postgres.psql("postgres", "CREATE ROLE examined LOGIN PASSWORD 'secret word'")
    postgres.psql(postgres_database, "CREATE TABLE orders (id int)")
    yield PostgresSource.model_validate(
        {
            "provider": "postgres",
            "label": "Shop",
            "host": postgres.host,
            "port": postgres.port,
            "databases": [postgres_database],
            "user": "examined",
            "password": "secret word",
        }
    )
    postgres.psql(postgres_database, "DROP OWNED BY examined")
    postgres.psql("postgres", "DROP ROLE examined")


def test_postgres_names_tables_that_the_role_may_not_read(
    clerk: PostgresSource, postgres: Postgres, postgres_database: str
) -> None:
    with pytest.raises(DumpError, match=r"^Shop: .*public\.orders"):
        clerk.examine()
    postgres.psql(postgres_database, "GRANT SELECT ON orders TO examined")
    assert clerk.examine() == []


def test_postgres_leaves_to_pg_dump_which_tables_it_takes(
    clerk: PostgresSource, postgres: Postgres, postgres_database: str
) -> None:
    made = "CREATE SCHEMA private; CREATE TABLE private.orders (id int); GRANT SELECT ON orders TO examined"
    postgres.psql(postgres_database, made)
    with pytest.raises(DumpError, match=r"private\.orders"):
        clerk.examine()
    without = clerk.model_copy(update={"options": ["--exclude-schema=private"]})
    assert without.examine() == []
    without.model_copy(update={"db_name": postgres_database, "databases": None}).check()


def test_postgres_names_tables_whose_rows_policies_hide(
    clerk: PostgresSource, postgres: Postgres, postgres_database: str, tmp_path: Path
) -> None:
    postgres.psql(
        postgres_database,
        "GRANT SELECT ON orders TO examined; ALTER TABLE orders ENABLE ROW LEVEL SECURITY;"
        "CREATE TABLE parts (id int) PARTITION BY LIST (id); ALTER TABLE parts ENABLE ROW LEVEL SECURITY;"
        "GRANT SELECT ON parts TO examined",
    )
    with pytest.raises(DumpError, match=r"hide rows of public\.orders from examined: ALTER ROLE examined BYPASSRLS"):
        clerk.examine()
    with pytest.raises(DumpError, match="BYPASSRLS"):
        dumped(clerk, tmp_path)
    assert clerk.model_copy(update={"options": ["--schema-only"]}).examine() == []
    postgres.psql(postgres_database, "ALTER ROLE examined BYPASSRLS")
    assert clerk.examine() == []


def test_postgres_names_a_large_object_that_the_role_may_not_read(
    clerk: PostgresSource, postgres: Postgres, postgres_database: str, tmp_path: Path
) -> None:
    postgres.psql(postgres_database, "GRANT SELECT ON orders TO examined; SELECT lo_from_bytea(4711, 'x')")
    for refused in (clerk.examine, lambda: dumped(clerk, tmp_path)):
        with pytest.raises(DumpError, match="may not read the large object 4711"):
            refused()
    assert clerk.model_copy(update={"options": ["--no-blobs"]}).examine() == []
    for granted in ("PUBLIC", "examined"):
        postgres.psql(postgres_database, f"GRANT SELECT ON LARGE OBJECT 4711 TO {granted}")
        assert clerk.examine() == []
        postgres.psql(postgres_database, f"REVOKE SELECT ON LARGE OBJECT 4711 FROM {granted}")
    assert source_of_all(postgres, postgres_database).examine() == []


def test_postgres_may_give_all_large_objects_to_a_role_that_reads_everything(
    clerk: PostgresSource, postgres: Postgres, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect() as connection:
        version = connection.info.server_version
    if version >= 140000:
        postgres.psql("postgres", "GRANT pg_read_all_data TO examined")
    postgres.psql(postgres_database, "GRANT SELECT ON orders TO examined; SELECT lo_from_bytea(4711, 'x')")
    for asked in (clerk.examine, lambda: dumped(clerk, tmp_path)):
        with (
            nullcontext() if version >= 190000 else pytest.raises(DumpError, match="may not read the large object 4711")
        ):
            asked()


def source_of_all(postgres: Postgres, database: str) -> PostgresSource:
    """A source of the superuser."""
    login = {"user": postgres.user, "password": postgres.password, "host": postgres.host, "port": postgres.port}
    return PostgresSource.model_validate({"provider": "postgres", "label": "Shop", "db_name": database, **login})


def test_postgres_names_roles_whose_passwords_may_not_be_read(clerk: PostgresSource) -> None:
    everywhere = clerk.model_copy(update={"databases": ["_globals"]})
    with pytest.raises(DumpError, match="role_passwords"):
        everywhere.examine()
    assert everywhere.model_copy(update={"role_passwords": False}).examine() == []


def test_what_stands_beside_it_on_its_server(
    clerk: PostgresSource, postgres: Postgres, postgres_database: str, mariadb: Mariadb, mariadb_database: str
) -> None:
    """The clerk may connect to none of the others, and sees them all the same; an account of MariaDB sees its own."""
    postgres.psql("postgres", "CREATE DATABASE beside_it")
    try:
        assert "beside_it" in clerk.others([])
        assert {postgres_database, "postgres", "template1"}.isdisjoint(clerk.others([postgres_database]))
    finally:
        postgres.psql("postgres", "DROP DATABASE beside_it")
    whole = source_of(MariadbSource, mariadb, db_name=mariadb_database)
    assert mariadb_database in whole.others([]) and mariadb_database not in whole.others([mariadb_database])
    assert {"mysql", "information_schema"}.isdisjoint(whole.others([]))
    with account(mariadb, mariadb_database, "SELECT") as login:
        assert source_of(MariadbSource, mariadb, db_name=mariadb_database, **login).others([mariadb_database]) == []


@pytest.mark.parametrize(
    ("host", "socket", "server"),
    [
        ("127.0.0.1", None, "postgres://localhost:5432"),
        ("db7", None, "postgres://db7:5432"),
        ("db7", "/run/postgresql", "postgres://localhost:5432"),
    ],
)
def test_one_server_by_whatever_way_it_is_reached(host: str, socket: str | None, server: str) -> None:
    source = {"provider": "postgres", "label": "Shop", "host": host, "socket": socket, "db_name": "shop"}
    assert PostgresSource.model_validate(source).server == server


def test_mariadb_names_what_the_dump_would_lack_and_what_is_worth_a_word(
    mariadb: Mariadb, mariadb_database: str
) -> None:
    run_sql(mariadb, "CREATE TABLE t (a INT) ENGINE=MyISAM", database=mariadb_database)
    whole = source_of(MariadbSource, mariadb, db_name=mariadb_database)
    [remark] = whole.examine()
    assert "know no transactions" in remark and "t (MyISAM)" in remark
    with account(mariadb, mariadb_database, "SELECT") as login:
        poor = source_of(MariadbSource, mariadb, db_name=mariadb_database, **login)
        with pytest.raises(DumpError, match="would lack its triggers"):
            poor.examine()


def test_sqlite_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    source = Sqlite(provider="sqlite", label="App", db_path=tmp_path / "gone.db")
    with pytest.raises(DumpError, match="does not exist"):
        source.examine()
