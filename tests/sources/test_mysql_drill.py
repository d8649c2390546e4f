"""MariaDB: what is noted of a dump, the throwaway server of a drill, and what may be asked of a database."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from backupman.errors import BackupmanError, RestoreError, SourceError
from backupman.manifest import TableRows
from backupman.sources import GLOBALS, Origin, Target
from backupman.sources.mariadb import Mariadb as MariadbSource
from backupman.sources.mysql import Mysql as MysqlSource
from tests.contracts.restore import processes_of, reader
from tests.contracts.source import dumped
from tests.e2e.world import wait_for
from tests.servers._process import Account
from tests.servers.mariadb import Mariadb
from tests.sources._mysql_setup import NOTHING_MISSING, account, run_sql, source_of


@pytest.fixture
def shop(mariadb: Mariadb, mariadb_database: str) -> MariadbSource:
    """A database whose view belongs to an account that only its own server knows."""
    run_sql(mariadb, f"CREATE USER IF NOT EXISTS {OWNER}", f"GRANT ALL ON {mariadb_database}.* TO {OWNER}")
    run_sql(
        mariadb,
        "CREATE TABLE t (a INT)",
        "INSERT INTO t VALUES (1), (2)",
        f"CREATE DEFINER = {OWNER} SQL SECURITY DEFINER VIEW v AS SELECT SUM(a) AS total FROM t",
        "CREATE EVENT often ON SCHEDULE EVERY 1 SECOND DO INSERT INTO t VALUES (3)",
        database=mariadb_database,
    )
    return source_of(MariadbSource, mariadb, db_name=mariadb_database)


OWNER = "bm_owner@`10.%`"
END = "-- Dump completed\n"


def test_a_server_that_is_killed_says_nothing_of_the_copy(shop: MariadbSource, tmp_path: Path) -> None:
    [database] = shop.list_databases()
    killed = pytest.raises(BackupmanError, match="of the throwaway server was killed, perhaps as the memory did not")
    with killed as told, shop.scratch(tmp_path, Origin(database, ".sql")) as server:
        [pid] = [int(process.split("=")[1]) for process in _servers()]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        server.count_rows(database)
    assert not isinstance(told.value, RestoreError | SourceError)


def test_a_drill_runs_no_events_and_knows_whom_views_belong_to(shop: MariadbSource, tmp_path: Path) -> None:
    for name in ("dump", "scratch", "restore"):
        (tmp_path / name).mkdir()
    [database] = shop.list_databases()
    dump, data = dumped(shop, tmp_path / "dump")
    origin = Origin(database, ".sql", dump.facts)
    with shop.scratch(tmp_path / "scratch", origin) as server:
        assert isinstance(server, MariadbSource)
        assert server.restore(reader(data), origin, Target("drilled"), tmp_path / "restore") == []
        assert server.scalar("drilled", "SELECT total FROM v", 30) == "3"
        assert server.scalar("drilled", "SELECT @@event_scheduler", 30) == "OFF"
        assert server.scalar("drilled", "SELECT @@skip_networking", 30) == "1"
        assert server.scalar("drilled", "SELECT LOAD_FILE('/etc/hostname')", 30) is None
        assert server.count_rows("drilled") == [TableRows(name="t", rows=2)]
        if os.geteuid() == 0:
            [pid] = [int(process.split("=")[1]) for process in _servers()]
            assert Path(f"/proc/{pid}").stat().st_uid != 0
    assert _servers() == []


def test_a_drill_takes_the_accounts_of_its_own_host(shop: MariadbSource, tmp_path: Path) -> None:
    script = (
        f"CREATE USER IF NOT EXISTS root@`{os.uname().nodename}`;\nGRANT ALL ON *.* TO root@`{os.uname().nodename}`;\n"
    )
    origin = Origin(GLOBALS, ".sql", {"server": "MariaDB"})
    with shop.scratch(tmp_path, origin) as server:
        assert server.restore(reader(f"{script}{END}".encode()), origin, Target(GLOBALS), tmp_path) == [
            "Shop: these accounts were there and keep their passwords; grants of the dump were added: root"
        ]


def test_roles_that_nobody_may_grant_and_what_everybody_is_granted(
    mariadb: Mariadb, mariadb_database: str, tmp_path: Path
) -> None:
    """mariadb-dump leaves them out, and says nothing."""
    database, made = mariadb_database, ["auditor", "chief", "reader"]
    run_sql(mariadb, "CREATE USER IF NOT EXISTS bm_left@`%`", *(f"CREATE ROLE {role}" for role in made))
    run_sql(mariadb, f"GRANT SELECT ON `{database}`.* TO auditor", f"GRANT UPDATE ON `{database}`.* TO chief")
    run_sql(mariadb, "GRANT reader TO chief", "GRANT chief TO bm_left@`%`", f"GRANT INSERT ON `{database}`.* TO PUBLIC")
    for role in ("auditor", "chief"):
        run_sql(mariadb, f"REVOKE ADMIN OPTION FOR {role} FROM {mariadb.user}@`%`")
    everybody = [*made, "PUBLIC", "bm_left@`%`"]
    try:
        before = {name: sorted(run_sql(mariadb, f"SHOW GRANTS FOR {name}")) for name in everybody}
        source = source_of(MariadbSource, mariadb, databases=[GLOBALS])
        dump, data = dumped(source, tmp_path, GLOBALS)
        assert data.startswith(b"/*M!999999") and data.count(b"\n/*M!999999") == 0
        with source.scratch(tmp_path, Origin(GLOBALS, ".sql", dump.facts)) as server:
            server.restore(reader(data), Origin(GLOBALS, ".sql", dump.facts), Target(GLOBALS), tmp_path)
            assert isinstance(server, MariadbSource)
            with server.session() as session:
                assert {name: sorted(session.rows(f"SHOW GRANTS FOR {name}")) for name in everybody} == before
    finally:
        run_sql(mariadb, "DROP USER bm_left@`%`", *(f"DROP ROLE {role}" for role in made))
        run_sql(mariadb, f"REVOKE INSERT ON `{database}`.* FROM PUBLIC")


def test_a_drill_keeps_tables_with_a_folder_of_their_own_in_its_own(
    mariadb: Mariadb, mariadb_database: str, shop: MariadbSource, tmp_path: Path
) -> None:
    elsewhere = mariadb.folder("elsewhere")
    placed = f"DATA DIRECTORY = '{elsewhere}'"
    engines = [f"CREATE TABLE {engine} (a INT) ENGINE = {engine} {placed}" for engine in ("innodb", "aria", "myisam")]
    parts = f"CREATE TABLE parts (a INT) PARTITION BY HASH (a) (PARTITION one {placed})"
    run_sql(mariadb, *engines, parts, database=mariadb_database)
    dump, data = dumped(shop, tmp_path)
    assert data.count(b"DATA DIRECTORY") == 4
    origin = Origin(mariadb_database, ".sql", dump.facts)
    with shop.scratch(tmp_path, origin) as server:
        server.restore(reader(data), origin, Target("drilled"), tmp_path)
        assert [table.name for table in server.count_rows("drilled")] == ["aria", "innodb", "myisam", "parts", "t"]


def test_a_server_of_mysql_that_has_no_x_protocol(tmp_path: Path) -> None:
    """As that of 5.7, which does not start with an option that it does not know."""
    script = """case "$*" in
    *--version*) echo "mysqld  Ver 5.7.44 for Linux on x86_64";;
    *--initialize-insecure*) ;;
    *" --mysqlx"*) echo "unknown variable 'mysqlx=OFF'" >&2; exit 7;;
    *) echo "all is known" >&2; exit 7;;
    esac"""
    with Account("mysql").folder() as folder:
        path = folder / "mysqld"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        source = MysqlSource(provider="mysql", label="Shop", user="backup", db_name="shop", tool_path=folder)
        origin = Origin("shop", ".sql", {"server": "MySQL"})
        with pytest.raises(BackupmanError, match="all is known"), source.scratch(tmp_path, origin):
            pass


def _servers() -> list[str]:
    """The servers that this very process has started, but for those of the fixtures, which listen on a port."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            argv = (place / "cmdline").read_bytes()
            parent = (place / "stat").read_text().rpartition(")")[2].split()[1]
            if b"--skip-networking" in argv and parent == str(os.getpid()):
                found.append(f"pid={place.name}")
    return found


DRILLER = """
import sys
from pathlib import Path
from backupman.sources import Origin
from backupman.sources.mariadb import Mariadb
source = Mariadb(provider="mariadb", label="Shop", user="nobody", databases="all")
with source.scratch(Path(sys.argv[1]), Origin("x", ".sql")) as server:
    print(server.socket, flush=True)
    sys.stdin.read()
"""


def test_a_drill_that_is_killed_leaves_no_server(mariadb: Mariadb, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", DRILLER, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driller:
        assert driller.stdout is not None
        home = Path(driller.stdout.readline().strip()).parent
        assert processes_of(home)
        driller.kill()
    wait_for(lambda: processes_of(home) == [])


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE written (a INT)",
        "INSERT INTO t VALUES (9)",
        "SELECT * FROM t INTO OUTFILE '/tmp/backupman-must-not-be'",
        "SELECT 1 INTO @a",
        "WITH x AS (SELECT 1) DELETE FROM t",
        "CALL tidy()",
        "SELECT sneaky()",
        "SET GLOBAL max_connections = 5",
        "COMMIT",
        "SELECT a FROM t FOR nothing",
    ],
)
def test_a_question_can_do_nothing_but_read(
    mariadb: Mariadb, mariadb_database: str, shop: MariadbSource, sql: str
) -> None:
    sneaky = "CREATE FUNCTION sneaky() RETURNS INT BEGIN INSERT INTO t VALUES (9); RETURN 1; END"
    run_sql(mariadb, sneaky, "CREATE PROCEDURE tidy() DELETE FROM t", database=mariadb_database)
    with pytest.raises(RestoreError, match=r"^Shop: "):
        shop.scalar(mariadb_database, sql, 30)
    assert shop.count_rows(mariadb_database) == [TableRows(name="t", rows=2)]


def test_answers_are_text(shop: MariadbSource, mariadb_database: str) -> None:
    asked = {
        "SELECT 1.50": "1.50",
        " (SELECT 'ß€😀');": "ß€😀",
        "-- how many\nSELECT COUNT(*) FROM t": "2",
        "SELECT TIMESTAMP '2026-01-02 03:04:05'": "2026-01-02 03:04:05",
        "WITH x AS (SELECT 7 AS n) SELECT n FROM x": "7",
    }
    assert {sql: shop.scalar(mariadb_database, sql, 30) for sql in asked} == asked


def test_the_manifest_of_what_is_dumped(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    tables = [f"CREATE TABLE {name} AS SELECT 1 AS a" for name in ("kept", "left_out", "ignored")]
    run_sql(mariadb, *tables, database=mariadb_database)

    def rows(**settings: object) -> list[tuple[str, int | None, bool]]:
        dump, _ = dumped(source_of(MariadbSource, mariadb, db_name=mariadb_database, **settings), tmp_path)
        assert dump.manifest is not None
        assert not dump.manifest.same_snapshot
        assert dump.manifest.facts == dump.facts
        assert dump.warnings == []
        return [(table.name, table.rows, table.exact) for table in dump.manifest.tables]

    ignore = f"--ignore-table={mariadb_database}.ignored"
    assert rows(exclude_tables=["left_out"], options=[ignore]) == [("kept", 1, True)]
    assert rows(tables=["kept"]) == [("kept", 1, True)]
    assert rows(tables=["kept"], options=["--where=a > 5"]) == [("kept", None, False)]
    assert rows(tables=["kept"], manifest={"rows": "none"}) == [("kept", None, False)]
    [(name, _, exact)] = rows(tables=["kept"], manifest={"rows": "estimate"})
    assert (name, exact) == ("kept", False)
    [(name, _, exact)] = rows(tables=["kept"], manifest={"timeout": 0})
    assert (name, exact) == ("kept", False)


@pytest.mark.parametrize(("limit", "warned"), [(2, True), (3, False)])
def test_an_account_with_too_few_connections_for_a_manifest(
    mariadb: Mariadb, mariadb_database: str, tmp_path: Path, limit: int, warned: bool
) -> None:
    run_sql(mariadb, "CREATE TABLE t (a INT)", database=mariadb_database)
    with account(mariadb, mariadb_database, *NOTHING_MISSING) as login:
        run_sql(mariadb, f"GRANT USAGE ON *.* TO {login['user']}@'%' WITH MAX_USER_CONNECTIONS {limit}")
        run_sql(mariadb, f"GRANT SELECT ON mysql.proc TO {login['user']}@'%'")
        dump, _ = dumped(source_of(MariadbSource, mariadb, db_name=mariadb_database, **login), tmp_path)
    assert dump.manifest is not None
    assert bool(dump.manifest.tables) != warned
    assert ["were not counted for the manifest" in warning for warning in dump.warnings] == [True] * warned
