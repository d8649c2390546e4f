"""PostgreSQL in each of its formats: what is dumped comes back whole, by psql and pg_restore alone."""

import io
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import Any, ClassVar, LiteralString

import pytest
from psycopg import sql

from backupman.errors import DumpError, SourceError
from backupman.sources import GLOBALS, Source
from backupman.sources.postgres import Postgres as PostgresSource
from tests.contracts._children import children, kill_child
from tests.contracts.source import ToolContract, dumped
from tests.servers import ODD_PASSWORD
from tests.servers._process import ENVIRONMENT
from tests.servers.postgres import Postgres
from tests.sources._postgres_content import content

AWKWARD = Path(__file__).with_name("awkward_postgres.sql")


def source_of(server: Postgres, **settings: object) -> PostgresSource:
    """A source on the server as its superuser."""
    login = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    return PostgresSource.model_validate({"provider": "postgres", "label": "Shop", **login, **settings})


@pytest.fixture(scope="module")
def awkward(postgres: Postgres) -> Iterator[str]:
    """A database with everything that a dump could lose; nobody changes it."""
    postgres.psql("postgres", "CREATE ROLE bm_reader LOGIN PASSWORD 'old'")
    name = postgres.create_database("awkward")
    postgres.psql(name, AWKWARD)
    yield name
    postgres.drop_database(name)
    postgres.psql("postgres", "DROP ROLE bm_reader")


@contextmanager
def empty_database(server: Postgres) -> Iterator[str]:
    name = server.create_database()
    try:
        yield name
    finally:
        server.drop_database(name)


def pg_restore(server: Postgres, database: str, place: Path, *options: str) -> None:
    argv = [str(server.bin / "pg_restore"), "--exit-on-error", "-h", server.host, "-p", str(server.port)]
    argv += ["-U", server.user, "-d", database, *options, str(place)]
    subprocess.run(argv, env={**ENVIRONMENT, "PGPASSWORD": server.password}, check=True)


class PostgresContract(ToolContract):
    tool = "pg_dump"
    package = "postgresql-client"
    settings: ClassVar[dict[str, object]] = {}

    @pytest.fixture
    def source(self, postgres: Postgres, awkward: str) -> PostgresSource:
        return source_of(postgres, db_name=awkward, **self.settings)

    @pytest.fixture
    def rows(self, postgres: Postgres, awkward: str) -> dict[str, list[str]]:
        with postgres.connect(awkward) as connection:
            return content(connection)

    @pytest.fixture
    def restored_rows(self, postgres: Postgres, tmp_path: Path) -> Iterator[Callable[[bytes], Any]]:
        with empty_database(postgres) as name:

            def restore(data: bytes) -> dict[str, list[str]]:
                self.restore(postgres, name, data, tmp_path)
                with postgres.connect(name) as connection:
                    return content(connection)

            yield restore

    def restore(self, server: Postgres, database: str, data: bytes, place: Path) -> None:
        raise NotImplementedError


class TestPlain(PostgresContract):
    def restore(self, server: Postgres, database: str, data: bytes, place: Path) -> None:
        server.psql(database, data)

    def test_it_can_be_restored_under_another_name(self, source: Source, folder: Path) -> None:
        _, data = dumped(source, folder)
        assert not [line for line in data.splitlines() if line.startswith((b"CREATE DATABASE", b"\\connect"))]
        assert source.suffix_of("awkward") == ".sql"


class TestCustom(PostgresContract):
    settings: ClassVar[dict[str, object]] = {"format": "custom"}

    def restore(self, server: Postgres, database: str, data: bytes, place: Path) -> None:
        archive = place / "archive.dump"
        archive.write_bytes(data)
        pg_restore(server, database, archive)

    def test_it_is_not_compressed(self, source: Source, folder: Path) -> None:
        assert b"it''s" in dumped(source, folder)[1]
        assert source.suffix_of("awkward") == ".dump"


class TestDirectory(PostgresContract):
    settings: ClassVar[dict[str, object]] = {"format": "directory", "jobs": 3}

    def restore(self, server: Postgres, database: str, data: bytes, place: Path) -> None:
        tar = place / "packed.tar"
        tar.write_bytes(data)
        subprocess.run(["tar", "--extract", "--file", tar, "--directory", place], check=True)
        pg_restore(server, database, place / "dump", "--jobs=2")

    def test_a_tool_that_is_killed_has_failed(self, source: Source, database: str, folder: Path) -> None:
        killer = threading.Thread(target=kill_child, args=("pg_dump", b"--format=directory"))
        killer.start()
        with pytest.raises(DumpError, match=r"^Shop: .*signal 9"), source.dump(database, folder):
            pass
        killer.join()
        assert children() == []

    def test_what_is_packed_is_removed(self, source: Source, database: str, folder: Path) -> None:
        with source.dump(database, folder) as dump:
            data = b"".join(iter(lambda: dump.stream.read(100_000), b""))
            assert list((folder / "dump").iterdir()) == []
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            names = tar.getnames()
        assert names.count("dump/toc.dat") == 1
        assert len(names) == len(set(names)) > 1
        assert source.suffix_of("awkward") == ".tar"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def two(postgres: Postgres) -> Iterator[list[str]]:
    """Two databases with names that a shell, a URL or a connection string could trip over."""
    names = ["a b=c'\"\\ %s", "host=/nowhere user=x ß"]
    for name in names:
        postgres.create_database(name)
        with postgres.connect(name) as connection:
            connection.execute("CREATE TABLE t AS SELECT md5(current_database()) AS hash")
    yield names
    for name in names:
        postgres.drop_database(name)


@pytest.mark.parametrize("settings", [{}, {"format": "custom"}, {"format": "directory", "jobs": 2}], ids=str)
def test_all_databases_of_a_server(
    postgres: Postgres, two: list[str], tmp_path: Path, settings: dict[str, object]
) -> None:
    source = source_of(postgres, databases="all", exclude=["awk*", "t_?*"], **settings)
    assert source.many
    assert source.list_databases() == [*sorted([*two, "postgres"]), GLOBALS]
    for number, name in enumerate(two):
        (tmp_path / str(number)).mkdir()
        _, data = dumped(source, tmp_path / str(number), name)
        assert md5(name.encode()).hexdigest().encode() in data  # noqa: S324 - tells two names apart
    dump, data = dumped(source, tmp_path, GLOBALS)
    assert b"CREATE ROLE" in data
    assert dump.facts["tool"] == "pg_dumpall"
    assert source.suffix_of(GLOBALS) == ".sql"


def test_a_list_of_databases(postgres: Postgres) -> None:
    assert source_of(postgres, databases=["z", GLOBALS, "a", "z"]).list_databases() == ["z", "a", GLOBALS]


def test_nothing_is_left_to_dump(postgres: Postgres) -> None:
    with pytest.raises(SourceError, match="exclude leaves none of the databases"):
        source_of(postgres, databases="all", exclude=["*"]).list_databases()


def test_no_database_is_left_out_without_a_word(postgres: Postgres, two: list[str], folder: Path) -> None:
    pattern, closed = two

    def alter(database: str, setting: LiteralString) -> None:
        with postgres.connect() as connection:
            connection.execute(sql.SQL(f"ALTER DATABASE {{}} {setting}").format(sql.Identifier(database)))

    alter(pattern, "IS_TEMPLATE true")
    alter(closed, "ALLOW_CONNECTIONS false")
    try:
        source = source_of(postgres, databases="all")
        assert set(two) < set(source.list_databases())
        assert b"CREATE TABLE public.t" in dumped(source, folder, pattern)[1]
        with pytest.raises(DumpError, match=r"allows no connections, and cannot be dumped: name it in exclude"):
            dumped(source, folder, closed)
    finally:
        alter(pattern, "IS_TEMPLATE false")
        alter(closed, "ALLOW_CONNECTIONS true")


def test_a_database_of_the_name_of_the_roles_part(postgres: Postgres) -> None:
    postgres.create_database(GLOBALS)
    try:
        with pytest.raises(SourceError, match="a database has the name _globals"):
            source_of(postgres, databases="all").list_databases()
    finally:
        postgres.drop_database(GLOBALS)


def test_an_empty_database_is_a_dump_too(postgres: Postgres, postgres_database: str, tmp_path: Path) -> None:
    for number, kind in enumerate(("plain", "custom", "directory")):
        (tmp_path / str(number)).mkdir()
        dumped(source_of(postgres, db_name=postgres_database, format=kind), tmp_path / str(number))


def test_roles_come_back_with_their_passwords(postgres: Postgres, folder: Path) -> None:
    postgres.psql("postgres", "CREATE ROLE globe LOGIN PASSWORD 'right'; CREATE ROLE wide; GRANT wide TO globe")
    postgres.psql("postgres", "ALTER ROLE globe SET work_mem = '7MB'")
    _, data = dumped(source_of(postgres, databases="all"), folder, GLOBALS)
    _, without = dumped(source_of(postgres, databases="all", role_passwords=False), folder, GLOBALS)
    postgres.psql("postgres", "DROP ROLE globe, wide")
    # As a user would restore it: the superuser itself is there already.
    postgres.psql("postgres", b"\\set ON_ERROR_STOP 0\n" + data)
    with postgres.connect(user="globe", password="right") as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)
        connection.execute("SET ROLE wide")
    postgres.psql("postgres", "DROP ROLE globe, wide")
    assert b"SCRAM" in data
    assert b"SCRAM" not in without


def test_over_the_socket(postgres: Postgres, postgres_database: str, folder: Path) -> None:
    source = source_of(postgres, db_name=postgres_database, host="unknown.invalid", socket=postgres.socket_dir)
    dumped(source, folder)
    source.check()


def test_only_some_tables(postgres: Postgres, two: list[str], folder: Path) -> None:
    with postgres.connect(two[0]) as connection:
        connection.execute('CREATE TABLE "Odd Table" (x int); CREATE TABLE other (x int)')
    chosen = source_of(postgres, db_name=two[0], tables=["t", '"Odd Table"'])
    _, data = dumped(chosen, folder)
    assert (b'"Odd Table"' in data, b"public.t " in data, b"other" in data) == (True, True, False)
    _, data = dumped(source_of(postgres, db_name=two[0], exclude_tables=["o*"], options=["--schema-only"]), folder)
    assert (b"public.t " in data, b"other" in data, b"COPY" in data) == (True, False, False)


def test_versions_are_told(postgres: Postgres, postgres_database: str, tmp_path: Path) -> None:
    with postgres.connect() as connection:
        version = str(connection.execute("SHOW server_version").fetchone()[0]).split()[0]  # type: ignore[index]
    for kind in ("plain", "custom", "directory"):
        (tmp_path / kind).mkdir()
        dump, _ = dumped(source_of(postgres, db_name=postgres_database, format=kind), tmp_path / kind)
        assert dump.facts.items() >= {"tool": "pg_dump", "tool_version": version, "server_version": version}.items()


def test_a_password_may_hold_anything(postgres: Postgres, postgres_database: str, folder: Path) -> None:
    for password in (ODD_PASSWORD, ":", "\\", "*:*:*:*:x", "#x", "x" * 2000, " ", "'\"$(id)`%s 中"):
        with postgres.connect() as connection:
            literal = connection.execute("SELECT quote_literal(%s::text)", (password,)).fetchone()
            connection.execute(f"CREATE ROLE odd LOGIN SUPERUSER PASSWORD {literal[0]}".encode())  # type: ignore[index]
        try:
            dumped(source_of(postgres, db_name=postgres_database, user="odd", password=password), folder)
        finally:
            postgres.psql("postgres", "DROP ROLE odd")
