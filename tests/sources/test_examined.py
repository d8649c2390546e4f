"""What a doctor finds in a source without dumping it: what a dump would lack, and what is worth a word."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backupman.errors import DumpError
from backupman.sources.mariadb import Mariadb as MariadbSource
from backupman.sources.postgres import Postgres as PostgresSource
from backupman.sources.sqlite import Sqlite
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


def test_postgres_names_roles_whose_passwords_may_not_be_read(clerk: PostgresSource) -> None:
    everywhere = clerk.model_copy(update={"databases": ["_globals"]})
    with pytest.raises(DumpError, match="role_passwords"):
        everywhere.examine()
    assert everywhere.model_copy(update={"role_passwords": False}).examine() == []


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
