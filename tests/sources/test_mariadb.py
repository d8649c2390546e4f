"""MariaDB: what is dumped comes back whole, by the plain client alone."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backupman.errors import DumpError, SourceError
from backupman.sources import GLOBALS
from backupman.sources.mariadb import Mariadb as MariadbSource
from tests.contracts.source import ToolContract, dumped
from tests.servers import ODD_PASSWORD
from tests.servers.mariadb import Mariadb
from tests.sources._mysql_setup import (
    AWKWARD,
    AWKWARD_MARIADB,
    account,
    awkward_database,
    content_of,
    restoring,
    run_sql,
    source_of,
)


@pytest.fixture(scope="module")
def awkward(mariadb: Mariadb) -> Iterator[str]:
    yield from awkward_database(mariadb, AWKWARD, AWKWARD_MARIADB)


@pytest.fixture
def restored(mariadb: Mariadb) -> Iterator[Callable[[bytes], dict[str, Any]]]:
    yield from restoring(mariadb)


class TestMariadb(ToolContract):
    tool = "mariadb-dump"
    package = "mariadb-client"

    @pytest.fixture
    def source(self, mariadb: Mariadb, awkward: str) -> MariadbSource:
        return source_of(MariadbSource, mariadb, db_name=awkward)

    @pytest.fixture
    def rows(self, mariadb: Mariadb, awkward: str) -> dict[str, Any]:
        return content_of(mariadb, awkward)

    @pytest.fixture
    def restored_rows(self, restored: Callable[[bytes], dict[str, Any]]) -> Callable[[bytes], dict[str, Any]]:
        return restored


def test_the_awkward_database_has_what_it_should(mariadb: Mariadb, awkward: str) -> None:
    """Or the round trip would prove less than it says."""
    found = content_of(mariadb, awkward)
    [everything] = [row for row in found["rows of types"] if row[1] == -128]
    assert bytes(range(256)) in everything
    assert "C:\\new\\tmp\\" in everything
    assert "0000-00-00 00:00:00.000000" in everything
    kinds = ("BASE TABLE", "VIEW", "SEQUENCE", "TRIGGER", "EVENT", "FUNCTION", "PROCEDURE", "PACKAGE", "PACKAGE BODY")
    assert {kind for kind in kinds for name in found if name.startswith(f"{kind} ")} == set(kinds)
    assert not [name for name in found if name.startswith("rows of ") and not found[name] and "empty" not in name]


def test_a_server_in_another_time_zone(
    mariadb: Mariadb, awkward: str, restored: Callable[[bytes], dict[str, Any]], tmp_path: Path
) -> None:
    before = content_of(mariadb, awkward)
    run_sql(mariadb, "SET GLOBAL time_zone = '+05:30'")
    try:
        _, data = dumped(source_of(MariadbSource, mariadb, db_name=awkward), tmp_path)
        run_sql(mariadb, "SET GLOBAL time_zone = '-09:00'")
        assert restored(data) == before
    finally:
        run_sql(mariadb, "SET GLOBAL time_zone = 'SYSTEM'")


def test_over_the_socket(mariadb: Mariadb, awkward: str, tmp_path: Path) -> None:
    source = source_of(MariadbSource, mariadb, db_name=awkward, host="no.such.host", socket=mariadb.socket_path)
    source.check()
    dump, _ = dumped(source, tmp_path)
    assert dump.facts["server"] == "MariaDB"
    assert dump.facts["tool_version"].startswith("MariaDB ")


def test_the_dump_names_no_database(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    run_sql(mariadb, "CREATE TABLE t (a INT)", database=mariadb_database)
    _, data = dumped(source_of(MariadbSource, mariadb, db_name=mariadb_database), tmp_path)
    assert b"CREATE DATABASE" not in data
    assert b"\nUSE " not in data


def test_some_tables_only(
    mariadb: Mariadb, awkward: str, restored: Callable[[bytes], dict[str, Any]], tmp_path: Path
) -> None:
    whole = content_of(mariadb, awkward)
    odd = next(name for name in whole if name.startswith("BASE TABLE it's")).removeprefix("BASE TABLE ")
    tables = ["order", "log", "--result-file", odd, "z_view"]
    _, data = dumped(source_of(MariadbSource, mariadb, db_name=awkward, tables=tables), tmp_path)
    found = restored(data)
    assert {name.removeprefix("rows of ") for name in found if name.startswith("rows of ")} == set(tables)
    assert {name for name in found if name.startswith("TRIGGER ")} == {n for n in whole if n.startswith("TRIGGER ")}
    assert not [name for name in found if name.startswith(("EVENT", "FUNCTION", "PROCEDURE", "PACKAGE"))]


def test_without_some_tables(
    mariadb: Mariadb, awkward: str, restored: Callable[[bytes], dict[str, Any]], tmp_path: Path
) -> None:
    whole = content_of(mariadb, awkward)
    odd = next(name for name in whole if name.startswith("BASE TABLE it's")).removeprefix("BASE TABLE ")
    _, data = dumped(source_of(MariadbSource, mariadb, db_name=awkward, exclude_tables=["filler", odd]), tmp_path)
    found = restored(data)
    assert {name for name in whole if name not in found} == {
        "BASE TABLE filler",
        "rows of filler",
        f"BASE TABLE {odd}",
        f"rows of {odd}",
    }


def test_a_table_that_is_not_there(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    source = source_of(MariadbSource, mariadb, db_name=mariadb_database, tables=["ordres"])
    with pytest.raises(DumpError, match=r"^Shop: .*has no table ordres"), source.dump(mariadb_database, tmp_path):
        pass


def test_one_backup_for_each_database(mariadb: Mariadb, tmp_path: Path) -> None:
    made = [mariadb.create_database(f"all {name}") for name in ("b`'\"", "a", "Z%_\\", "test_1", "test_2")]
    try:
        source = source_of(MariadbSource, mariadb, databases="all", exclude=["test_?", "t_*"])
        assert source.many
        names = source.list_databases()
        assert [name for name in names if name.startswith("all ")] == sorted(made)
        assert names[-1] == GLOBALS
        assert not {"mysql", "sys", "information_schema", "performance_schema"} & set(names)
        for name in made:
            run_sql(mariadb, "CREATE TABLE t (a INT)", database=name)
            assert b"CREATE TABLE `t`" in dumped(source, tmp_path, name)[1]
        without = source_of(MariadbSource, mariadb, databases="all", exclude=["all test*", GLOBALS])
        assert [name for name in without.list_databases() if name.startswith("all ")] == sorted(made)[:3]
        assert GLOBALS not in without.list_databases()
        nothing = source_of(MariadbSource, mariadb, databases="all", exclude=["*"])
        with pytest.raises(SourceError, match=r"^Shop: exclude leaves none"):
            nothing.list_databases()
    finally:
        for name in made:
            mariadb.drop_database(name)


def test_all_databases_need_an_account_that_sees_all(mariadb: Mariadb, mariadb_database: str) -> None:
    with account(mariadb, mariadb_database, "ALL") as login:
        source = source_of(MariadbSource, mariadb, databases="all", **login)
        with pytest.raises(SourceError, match=r"GRANT SHOW DATABASES ON \*\.\* TO") as refused:
            source.list_databases()
        run_sql(mariadb, str(refused.value).partition("run: ")[2].partition(";")[0])
        assert mariadb_database in source.list_databases()


def test_a_listed_database_that_is_not_there_fails(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    source = source_of(MariadbSource, mariadb, databases=[mariadb_database, "no such one"])
    assert source.list_databases() == [mariadb_database, "no such one"]
    with (
        pytest.raises(DumpError, match=r"^Shop: there is no database no such one"),
        source.dump("no such one", tmp_path),
    ):
        pass


@pytest.fixture
def all_accounts(mariadb: Mariadb) -> MariadbSource:
    """A source of all databases of a server whose accounts can all be dumped."""
    for user, host in run_sql(
        mariadb, "SELECT User, Host FROM mysql.user WHERE Host RLIKE '[a-z]' AND Host <> 'localhost'"
    ):
        run_sql(mariadb, f"DROP USER {user}@`{host}`")
    return source_of(MariadbSource, mariadb, databases="all")


def test_an_account_that_the_server_ignores(mariadb: Mariadb, all_accounts: MariadbSource, tmp_path: Path) -> None:
    run_sql(mariadb, "CREATE USER unseen@host.example", "FLUSH PRIVILEGES")
    try:
        with pytest.raises(DumpError, match=r"^Shop: .*drop that account.*unseen"):
            dumped(all_accounts, tmp_path, GLOBALS)
        with pytest.raises(DumpError, match=r"^Shop: .*drop that account.*unseen"):
            source_of(MariadbSource, mariadb, databases=[GLOBALS]).examine()
    finally:
        run_sql(mariadb, "DROP USER unseen@host.example")
    assert source_of(MariadbSource, mariadb, databases=[GLOBALS]).examine() == []


def test_the_accounts_come_back(
    mariadb: Mariadb, mariadb_database: str, all_accounts: MariadbSource, tmp_path: Path
) -> None:
    odd = '`it\'s "odd"`@`10.0.%`'
    people = [odd, "reader@`%`"]
    made = [f"CREATE USER {odd} IDENTIFIED BY {mariadb_quoted(ODD_PASSWORD)} REQUIRE SSL", "CREATE USER reader@`%`"]
    granted = [
        "CREATE ROLE auditor",
        "CREATE ROLE chief",
        f"GRANT SELECT, TRIGGER ON `{mariadb_database}`.* TO auditor",
        "GRANT auditor TO chief",
        "GRANT chief TO reader@`%`",
        "SET DEFAULT ROLE chief FOR reader@`%`",
        f"GRANT SELECT (a), UPDATE (a) ON `{mariadb_database}`.t TO {odd} WITH GRANT OPTION",
    ]
    everybody = [*people, "auditor", "chief"]
    gone = ["DROP USER IF EXISTS " + ", ".join(people), "DROP ROLE IF EXISTS auditor, chief"]
    run_sql(mariadb, "CREATE TABLE t (a INT)", database=mariadb_database)
    try:
        run_sql(mariadb, *made, *granted)
        before = {name: sorted(run_sql(mariadb, f"SHOW GRANTS FOR {name}")) for name in everybody}
        dump, data = dumped(all_accounts, tmp_path, GLOBALS)
        assert dump.warnings == []
        run_sql(mariadb, *gone)
        # Only an account that may be anybody may give that right on, and root has it.
        root = replace(mariadb, user="root", password="")
        root.client("mysql", data)
        assert {name: sorted(run_sql(mariadb, f"SHOW GRANTS FOR {name}")) for name in everybody} == before
    finally:
        run_sql(mariadb, *gone)


def mariadb_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def test_tables_without_transactions_are_named(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    engines = {"old": "MyISAM", "fast": "MEMORY", "crash": "Aria", "good": "InnoDB", "outside": "MyISAM"}
    for name, engine in engines.items():
        run_sql(mariadb, f"CREATE TABLE {name} (a INT) ENGINE = {engine}", database=mariadb_database)
    source = source_of(MariadbSource, mariadb, db_name=mariadb_database, exclude_tables=["outside"])
    [warning] = dumped(source, tmp_path)[0].warnings
    assert "crash (Aria), fast (MEMORY), old (MyISAM);" in warning
    assert warning.startswith("Shop: ")


def test_the_history_of_system_versioned_tables(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    table = "CREATE TABLE versions (a INT) WITH SYSTEM VERSIONING"
    run_sql(mariadb, table, "INSERT INTO versions VALUES (7001)", "DELETE FROM versions", database=mariadb_database)
    dump, data = dumped(source_of(MariadbSource, mariadb, db_name=mariadb_database), tmp_path)
    assert "versions; add --dump-history" in dump.warnings[0]
    assert b"7001" not in data
    with_history = source_of(MariadbSource, mariadb, db_name=mariadb_database, options=["--dump-history"])
    dump, data = dumped(with_history, tmp_path)
    assert dump.warnings == []
    assert b"7001" in data


def test_a_server_that_shows_the_rows_of_another_day(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    source = source_of(MariadbSource, mariadb, db_name=mariadb_database)
    run_sql(mariadb, "CREATE TABLE versions (a INT) WITH SYSTEM VERSIONING", database=mariadb_database)
    run_sql(mariadb, "INSERT INTO versions VALUES (7001)", database=mariadb_database)
    run_sql(mariadb, "SET GLOBAL system_versioning_asof = '2020-01-01 00:00:00'")
    try:
        with pytest.raises(DumpError, match=r"rows of 2020-01-01 00:00:00.* of the present") as refused:
            dumped(source, tmp_path)
        assert refused.value.permanent
        with pytest.raises(DumpError, match="system_versioning_asof"):
            source.examine()
        with_history = source_of(MariadbSource, mariadb, db_name=mariadb_database, options=["--dump-history"])
        assert b"7001" in dumped(with_history, tmp_path)[1]
    finally:
        run_sql(mariadb, "SET GLOBAL system_versioning_asof = DEFAULT")
    assert b"7001" in dumped(source, tmp_path)[1]


def test_broken_views_are_named(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    run_sql(
        mariadb,
        "CREATE TABLE t (a INT)",
        "CREATE VIEW good AS SELECT a FROM t",
        "CREATE TABLE gone (a INT)",
        "CREATE VIEW bad AS SELECT a FROM gone",
        "DROP TABLE gone",
        database=mariadb_database,
    )
    source = source_of(MariadbSource, mariadb, db_name=mariadb_database)
    with pytest.raises(DumpError, match="repair or drop bad, or") as refused, source.dump(mariadb_database, tmp_path):
        pass
    assert refused.value.permanent
    dumped(source_of(MariadbSource, mariadb, db_name=mariadb_database, exclude_tables=["bad"]), tmp_path)


def test_a_view_whose_definer_is_gone_is_dumped_all_the_same(
    mariadb: Mariadb, mariadb_database: str, tmp_path: Path
) -> None:
    view = "CREATE DEFINER = nobody@nowhere VIEW orphan AS SELECT a FROM t"
    run_sql(mariadb, "CREATE TABLE t (a INT)", view, database=mariadb_database)
    with account(mariadb, mariadb_database, "ALL") as login:
        _, data = dumped(source_of(MariadbSource, mariadb, db_name=mariadb_database, **login), tmp_path)
    mariadb.client(mariadb_database, b"DROP VIEW orphan")
    mariadb.client(mariadb_database, data)
    assert "DEFINER=`nobody`@`nowhere`" in str(run_sql(mariadb, "SHOW CREATE VIEW orphan", database=mariadb_database))
