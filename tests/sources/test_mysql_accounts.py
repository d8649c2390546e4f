"""MySQL and MariaDB: the accounts of a server, and what another server must have to take them."""

from pathlib import Path

import pytest

from backupman.errors import RestoreError
from backupman.sources import GLOBALS, Origin, Target
from backupman.sources._mysql import MysqlSource as AnySource
from backupman.sources.mariadb import Mariadb as MariadbSource
from backupman.sources.mysql import Mysql as MysqlSource
from tests.contracts.restore import reader
from tests.contracts.source import dumped
from tests.servers.mariadb import Mariadb
from tests.servers.mysql import Mysql
from tests.sources._mysql_setup import run_sql, source_of


def test_the_accounts_of_mysql_come_back(mysql: Mysql, mysql_database: str, tmp_path: Path) -> None:
    odd = '`it\'s "odd"`@`10.0.%`'
    everybody = ["reader@`%`", odd, "auditor@`%`", "chief@`%`"]
    gone = f"DROP USER IF EXISTS {', '.join(everybody)}"
    made = [
        f"CREATE TABLE `{mysql_database}`.t (a INT)",
        "CREATE ROLE chief, auditor",
        f"GRANT SELECT, TRIGGER ON `{mysql_database}`.* TO auditor",
        "GRANT auditor TO chief",
        "CREATE USER reader@`%` IDENTIFIED BY 'it''s \\\\ secret'",
        "GRANT chief, auditor TO reader@`%`",
        "SET DEFAULT ROLE chief, auditor TO reader@`%`",
        f"CREATE USER {odd} IDENTIFIED BY 'x' REQUIRE SSL COMMENT 'it''s'",
        f"GRANT SELECT (a), UPDATE (a) ON `{mysql_database}`.t TO {odd} WITH GRANT OPTION",
        f"GRANT BACKUP_ADMIN ON *.* TO {odd}",
    ]
    try:
        run_sql(mysql, gone, *made)
        before = accounts_of(mysql, everybody)
        dump, data = dumped(source_of(MysqlSource, mysql, databases="all"), tmp_path, GLOBALS)
        assert (dump.warnings, dump.facts["server"]) == ([], "MySQL")
        assert b"mysql.sys" not in data
        run_sql(mysql, gone)
        for _ in range(2):  # again, over what is there
            mysql.client("mysql", data)
            assert accounts_of(mysql, everybody) == before
        with mysql.connect(user="reader", password=b"it's \\ secret"):
            pass
    finally:
        run_sql(mysql, gone)


def accounts_of(server: Mysql, names: list[str]) -> dict[str, object]:
    hexadecimal = "SET SESSION print_identified_with_as_hex = ON"
    return {
        name: [run_sql(server, hexadecimal, f"SHOW {what} {name}") for what in ("CREATE USER", "GRANTS FOR")]
        for name in names
    }


def drilled(source: AnySource, origin: Origin, data: bytes, folder: Path, asked: str) -> list[tuple[object, ...]]:
    """What a throwaway server answers once it has the accounts."""
    with source.scratch(folder, origin) as server:
        server.restore(reader(data), origin, Target(GLOBALS), folder)
        with server.session() as session:
            return session.rows(asked)


def test_a_drill_of_accounts_that_log_in_by_a_plugin(mariadb: Mariadb, tmp_path: Path) -> None:
    source = source_of(MariadbSource, mariadb, databases=[GLOBALS])
    made = "CREATE USER bm_signs@`%` IDENTIFIED VIA ed25519 USING PASSWORD('it''s')"
    run_sql(mariadb, "INSTALL SONAME 'auth_ed25519'")
    try:
        shown = run_sql(mariadb, made, "SHOW CREATE USER bm_signs@`%`")
        dump, data = dumped(source, tmp_path, GLOBALS)
    finally:
        run_sql(mariadb, "DROP USER IF EXISTS bm_signs@`%`", "UNINSTALL SONAME 'auth_ed25519'")
    origin = Origin(GLOBALS, ".sql", dump.facts)
    assert drilled(source, origin, data, tmp_path, "SHOW CREATE USER bm_signs@`%`") == shown
    with pytest.raises(
        RestoreError, match="lacks a plugin that an account of the dump logs in by: INSTALL PLUGIN it there, or"
    ):
        source.restore(reader(data), origin, Target(GLOBALS), tmp_path)


def test_accounts_of_mysql_that_need_something_of_the_server(mysql: Mysql, tmp_path: Path) -> None:
    source = source_of(MysqlSource, mysql, databases=[GLOBALS], tool_path=mysql.programs)
    gone = "DROP USER IF EXISTS bm_socket@localhost, bm_part@`%`"
    made = ["CREATE USER bm_socket@localhost IDENTIFIED WITH auth_socket", "CREATE USER bm_part@`%`"]
    made += ["GRANT SELECT, INSERT ON *.* TO bm_part@`%`", "REVOKE INSERT ON mysql.* FROM bm_part@`%`"]
    run_sql(mysql, "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'", "SET GLOBAL partial_revokes = ON")
    try:
        granted = run_sql(mysql, *made, "SHOW GRANTS FOR bm_part@`%`")
        dump, data = dumped(source, tmp_path, GLOBALS)
    finally:
        run_sql(mysql, gone, "SET GLOBAL partial_revokes = OFF", "UNINSTALL PLUGIN auth_socket")
    origin = Origin(GLOBALS, ".sql", dump.facts)
    assert drilled(source, origin, data, tmp_path, "SHOW GRANTS FOR bm_part@`%`") == granted
    with pytest.raises(RestoreError, match="would get more rights on this one: run SET GLOBAL partial_revokes = ON"):
        source.restore(reader(data), origin, Target(GLOBALS), tmp_path)
    assert run_sql(mysql, "SELECT User FROM mysql.user WHERE User LIKE 'bm\\_%'") == []
