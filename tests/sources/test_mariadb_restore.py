"""MariaDB on its way back: all of a dump in a new database, or nothing of it, and never more than its SQL."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from backupman.errors import PipelineError, RestoreError
from backupman.sources import Origin, Source, Target
from backupman.sources.mariadb import Mariadb as MariadbSource
from backupman.sources.mysql import Mysql as MysqlSource
from tests.contracts.restore import RestoreContract, reader
from tests.contracts.source import dumped
from tests.servers.mariadb import Mariadb
from tests.servers.mysql import Mysql
from tests.sources._mysql_setup import (
    AWKWARD,
    AWKWARD_MARIADB,
    awkward_database,
    content_of,
    run_sql,
    source_of,
)


class TestRestore(RestoreContract):
    writes = "INSERT INTO log VALUES (1)"
    endless = "SELECT SLEEP(100)"

    @pytest.fixture(scope="class")
    @classmethod
    def awkward(cls, mariadb: Mariadb) -> Iterator[str]:
        yield from awkward_database(mariadb, AWKWARD, AWKWARD_MARIADB)

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, mariadb: Mariadb, awkward: str) -> MariadbSource:
        return source_of(MariadbSource, mariadb, db_name=awkward)

    @pytest.fixture
    def content(self, mariadb: Mariadb) -> Callable[[str], Any]:
        return lambda database: content_of(mariadb, database)

    @pytest.fixture
    def target(self, mariadb: Mariadb) -> Iterator[str]:
        name = f"it's `{uuid4().hex[:8]}`%"
        yield name
        mariadb.drop_database(name)

    def test_overwriting_keeps_the_old_one_until_the_new_one_is_whole(
        self, source: Source, data: bytes, origin: Origin, target: str, folder: Path, content: Callable[[str], Any]
    ) -> None:
        """Not so here: a server cannot swap two databases. Whoever overwrites has read the whole dump before."""
        source.restore(reader(data), origin, Target(target), folder)
        before = content(target)
        source.restore(reader(data), origin, Target(target, overwrite=True), folder)
        assert content(target) == before
        with pytest.raises(PipelineError):
            source.restore(reader(data, PipelineError("damaged")), origin, Target(target, overwrite=True), folder)
        self.nothing_is_left(source, target)


def test_a_row_as_large_as_the_server_takes_comes_back(mariadb: Mariadb, tmp_path: Path) -> None:
    """The dump program stops at 24 MiB unless it is told otherwise."""
    database, target = mariadb.create_database(), f"back_{uuid4().hex[:8]}"
    measured = "SELECT LENGTH(words), MD5(words) FROM `{}`.novel"
    [[usual]] = run_sql(mariadb, "SELECT @@GLOBAL.max_allowed_packet")
    run_sql(mariadb, "SET GLOBAL max_allowed_packet = 64 * 1024 * 1024")
    try:
        words = "INSERT INTO novel SELECT REPEAT('word ', 6 * 1024 * 1024)"
        run_sql(mariadb, "CREATE TABLE novel (words LONGTEXT)", words, database=database)
        source = source_of(MariadbSource, mariadb, db_name=database)
        _, data = dumped(source, tmp_path)
        assert source.restore(reader(data), Origin(database, ".sql"), Target(target), tmp_path) == []
        before, after = (run_sql(mariadb, measured.format(name)) for name in (database, target))
        assert after == before and before[0][0] == 30 * 2**20
    finally:
        run_sql(mariadb, f"SET GLOBAL max_allowed_packet = {usual}")
        mariadb.drop_database(database)
        mariadb.drop_database(target)


@pytest.mark.parametrize("options", [[], ["--add-locks"]], ids=str)
def test_a_table_that_takes_its_numbers_from_a_sequence(mariadb: Mariadb, tmp_path: Path, options: list[str]) -> None:
    """The dump names the sequence with its database, and cannot be reached by a table that is locked."""
    database, target = mariadb.create_database(), f"back `{uuid4().hex[:8]}"
    table = ("CREATE SEQUENCE s", "CREATE TABLE t (a INT DEFAULT NEXTVAL(s), b TEXT)", "INSERT INTO t (b) VALUES ('x')")
    view = "CREATE VIEW v AS SELECT LASTVAL(s)"
    try:
        run_sql(mariadb, *table, view, database=database)
        source = source_of(MariadbSource, mariadb, db_name=database, options=options)
        dump, data = dumped(source, tmp_path)
        assert (b"LOCK TABLES" in data) == bool(options)
        origin = Origin(database, ".sql", dump.facts)
        mariadb.drop_database(database)
        assert source.restore(reader(data), origin, Target(target), tmp_path) == []
        run_sql(mariadb, "INSERT INTO t (b) VALUES ('y')", database=target)
        assert len(run_sql(mariadb, "SELECT DISTINCT a FROM t", database=target)) == 2
        assert run_sql(mariadb, "SELECT COUNT(*) FROM v", database=target) == [(1,)]
    finally:
        mariadb.drop_database(database)
        mariadb.drop_database(target)


def test_the_comment_of_a_database(mariadb: Mariadb, tmp_path: Path) -> None:
    database, target = mariadb.create_database(), f"back_%_{uuid4().hex[:8]}"
    said = '100 % of it\'s \\ the "shop" für alle'
    commented = "SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s"
    try:
        with mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {database} COMMENT %s", (said,))
            dump, data = dumped(source_of(MariadbSource, mariadb, db_name=database), tmp_path)
            source = source_of(MariadbSource, mariadb, db_name=database)
            source.restore(reader(data), Origin(database, ".sql", dump.facts), Target(target), tmp_path)
            cursor.execute(commented, (target,))
            assert cursor.fetchall() == ((said,),)
    finally:
        mariadb.drop_database(database)
        mariadb.drop_database(target)


class TestRestoreOfMysql(TestRestore):
    """The same on a server of MySQL's own, where there is one."""

    @pytest.fixture(scope="class")
    @classmethod
    def awkward(cls, mysql: Mysql) -> Iterator[str]:
        yield from awkward_database(mysql, AWKWARD)

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, mysql: Mysql, awkward: str) -> MysqlSource:
        return source_of(MysqlSource, mysql, db_name=awkward, tool_path=mysql.programs)

    @pytest.fixture
    def content(self, mysql: Mysql) -> Callable[[str], Any]:
        return lambda database: content_of(mysql, database)

    @pytest.fixture
    def target(self, mysql: Mysql) -> Iterator[str]:
        name = f"it's `{uuid4().hex[:8]}`%"
        yield name
        mysql.drop_database(name)


def test_a_view_over_a_database_that_is_not_there(mysql: Mysql, mysql_database: str, tmp_path: Path) -> None:
    """Of which MySQL says something else than MariaDB."""
    other, target = mysql.create_database(), f"back_{uuid4().hex[:8]}"
    run_sql(
        mysql, f"CREATE TABLE {other}.t (a INT)", f"CREATE VIEW v AS SELECT a FROM {other}.t", database=mysql_database
    )
    source = source_of(MysqlSource, mysql, db_name=mysql_database, tool_path=mysql.programs)
    _, data = dumped(source, tmp_path)
    mysql.drop_database(other)
    with pytest.raises(RestoreError, match="it reads what is not in it: if that is in another database, restore that"):
        source.restore(reader(data), Origin(mysql_database, ".sql"), Target(target), tmp_path)


@pytest.mark.parametrize(
    ("gone", "advice"),
    [
        ("DROP USER bm_viewer@localhost", r"is not on the server: make it, .*1449"),
        ("SELECT 1", r"GRANT SELECT on the new database to that account.*1356"),
    ],
)
def test_a_view_over_one_whose_owner_may_not(mariadb: Mariadb, tmp_path: Path, gone: str, advice: str) -> None:
    database, target = mariadb.create_database(), f"back_{uuid4().hex[:8]}"
    rights = ("CREATE USER bm_viewer@localhost", f"GRANT SELECT ON `{database}`.* TO bm_viewer@localhost")
    below = "CREATE DEFINER = bm_viewer@localhost SQL SECURITY DEFINER VIEW below AS SELECT a FROM t"
    above = "CREATE SQL SECURITY INVOKER VIEW upon AS SELECT a FROM below"
    try:
        run_sql(mariadb, *rights, "CREATE TABLE t (a INT)", below, above, database=database)
        source = source_of(MariadbSource, mariadb, db_name=database)
        _, data = dumped(source, tmp_path)
        run_sql(mariadb, gone)
        with pytest.raises(RestoreError, match=advice):
            source.restore(reader(data), Origin(database, ".sql"), Target(target), tmp_path)
    finally:
        run_sql(mariadb, "DROP USER IF EXISTS bm_viewer@localhost")
        mariadb.drop_database(database)
