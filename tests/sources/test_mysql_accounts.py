"""MySQL and MariaDB: the accounts of a server, and what another server must have to take them."""

from pathlib import Path

from backupman.sources import GLOBALS
from backupman.sources.mysql import Mysql as MysqlSource
from tests.contracts.source import dumped
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
