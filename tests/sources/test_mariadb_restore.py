"""MariaDB on its way back: all of a dump in a new database, or nothing of it, and never more than its SQL."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from backupman.errors import PipelineError
from backupman.sources import Origin, Source, Target
from backupman.sources.mariadb import Mariadb as MariadbSource
from backupman.sources.mysql import Mysql as MysqlSource
from tests.contracts.restore import RestoreContract, reader
from tests.servers.mariadb import Mariadb
from tests.servers.mysql import Mysql
from tests.sources._mysql_setup import (
    AWKWARD,
    AWKWARD_MARIADB,
    awkward_database,
    content_of,
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
