"""PostgreSQL brought back: each format by the contract, and what goes wrong on the way."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from backupman.sources.postgres import Postgres as PostgresSource
from tests.contracts.restore import RestoreContract
from tests.servers.postgres import Postgres
from tests.sources._postgres_content import content as content_of
from tests.sources.test_postgres import AWKWARD, source_of


@pytest.fixture(scope="module")
def awkward(postgres: Postgres) -> Iterator[str]:
    """A database with everything that a dump could lose, the bulk of it left out; nobody changes it."""
    postgres.psql("postgres", "CREATE ROLE bm_reader LOGIN PASSWORD 'old'")
    name = postgres.create_database("awkward")
    postgres.psql(name, AWKWARD)
    postgres.psql(name, "DROP TABLE filler, filler_2; CREATE TABLE filler AS SELECT generate_series(1, 20000) AS id")
    yield name
    postgres.drop_database(name)
    postgres.psql("postgres", "DROP ROLE bm_reader")


class PostgresRestoreContract(RestoreContract):
    settings: ClassVar[dict[str, object]] = {}
    endless = "SELECT pg_sleep(600)"

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, postgres: Postgres, awkward: str) -> PostgresSource:
        return source_of(postgres, db_name=awkward, **cls.settings)

    @pytest.fixture
    def content(self, postgres: Postgres) -> Callable[[str], Any]:
        def read(database: str) -> Any:
            with postgres.connect(database) as connection:
                return content_of(connection)

        return read

    @pytest.fixture
    def target(self, postgres: Postgres) -> Iterator[str]:
        name = "back \"up' \\%s"
        yield name
        postgres.drop_database(name)
        with postgres.connect() as connection:
            left = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'backupman%'").fetchall()
        assert left == []


class TestPlain(PostgresRestoreContract):
    pass


class TestCustom(PostgresRestoreContract):
    settings: ClassVar[dict[str, object]] = {"format": "custom"}


class TestDirectory(PostgresRestoreContract):
    settings: ClassVar[dict[str, object]] = {"format": "directory", "jobs": 2}
