"""MySQL: provider `mysql` on a server of MariaDB as many have it, and on one of MySQL's own where there is one."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backupman.errors import DumpError
from backupman.sources import GLOBALS
from backupman.sources._mysql_client import Client, dump_arguments, login, system_arguments
from backupman.sources.mysql import Mysql as MysqlSource
from tests.contracts._children import children
from tests.contracts.source import ToolContract, dumped
from tests.servers import ODD_PASSWORD
from tests.servers.mariadb import Mariadb
from tests.servers.mysql import Mysql
from tests.sources._mysql_setup import (
    AWKWARD,
    account,
    awkward_database,
    content_of,
    fake_tool,
    restoring,
    run_sql,
    source_of,
)

BASE = {"provider": "mysql", "label": "Shop", "user": "bm", "password": ODD_PASSWORD}


@pytest.fixture(scope="module")
def on_mariadb(mariadb: Mariadb) -> Iterator[str]:
    yield from awkward_database(mariadb, AWKWARD)


@pytest.fixture(scope="module")
def on_mysql(mysql: Mysql) -> Iterator[str]:
    yield from awkward_database(mysql, AWKWARD)


class TestMysqlOnMariadb(ToolContract):
    tool = "mariadb-dump"
    package = "mariadb-client"

    @pytest.fixture
    def source(self, mariadb: Mariadb, on_mariadb: str) -> MysqlSource:
        return source_of(MysqlSource, mariadb, db_name=on_mariadb, socket=mariadb.socket_path)

    @pytest.fixture
    def rows(self, mariadb: Mariadb, on_mariadb: str) -> dict[str, Any]:
        return content_of(mariadb, on_mariadb)

    @pytest.fixture
    def restored_rows(self, mariadb: Mariadb) -> Iterator[Callable[[bytes], Any]]:
        yield from restoring(mariadb)


class TestMysql(ToolContract):
    tool = "mysqldump"
    package = "mysql-client"

    @pytest.fixture
    def source(self, mysql: Mysql, on_mysql: str) -> MysqlSource:
        return source_of(MysqlSource, mysql, db_name=on_mysql, tool_path=mysql.programs)

    @pytest.fixture
    def rows(self, mysql: Mysql, on_mysql: str) -> dict[str, Any]:
        return content_of(mysql, on_mysql)

    @pytest.fixture
    def restored_rows(self, mysql: Mysql) -> Iterator[Callable[[bytes], Any]]:
        yield from restoring(mysql)


@pytest.fixture
def shop(mysql: Mysql) -> Iterator[MysqlSource]:
    """A small database of a MySQL server, with one of everything that an account can be kept from."""
    name = mysql.create_database()
    made = ["CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)", "CREATE VIEW v AS SELECT a FROM t"]
    made += ["CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 2", "CREATE PROCEDURE p() SELECT 1"]
    run_sql(mysql, *made, "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", database=name)
    yield source_of(MysqlSource, mysql, db_name=name, tool_path=mysql.programs, lock_timeout=1)
    mysql.drop_database(name)


def test_a_gap_is_found_on_mysql_and_the_grants_close_it(mysql: Mysql, shop: MysqlSource, tmp_path: Path) -> None:
    with account(mysql, shop.db_name or "", "SELECT") as login:
        source = MysqlSource.model_validate(shop.revealed() | login)
        with pytest.raises(DumpError, match="lack its triggers and views and events and routines,") as refused:
            dumped(source, tmp_path)
        run_sql(mysql, *str(refused.value).partition("run: ")[2].strip("; ").split("; "))
        dump, data = dumped(source, tmp_path)
        assert dump.warnings == []
        assert all(name in data for name in (b"TRIGGER `tr`", b"VIEW `v`", b"EVENT `e`", b"PROCEDURE `p`"))


def test_a_lock_on_mysql_that_stays(mysql: Mysql, shop: MysqlSource, tmp_path: Path) -> None:
    with mysql.connect(shop.db_name) as holder:
        holder.cursor().execute("LOCK TABLES t WRITE")
        with pytest.raises(DumpError, match="waited 1 s for a lock of another session"):
            dumped(shop, tmp_path)
        assert children() == []
        waiting = "SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table%'"
        assert run_sql(mysql, waiting) == []


def test_generated_columns_need_mysqls_own_tool(mysql: Mysql, shop: MysqlSource, tmp_path: Path) -> None:
    """For MySQL refuses what MariaDB's tool writes of them."""
    other = shop.model_copy(update={"tool_path": fake_tool(tmp_path, "printf '%99s\n-- Dump completed' t")})
    dump, _ = dumped(other, tmp_path)
    assert "install MySQL's own mysqldump" in dump.warnings[0]
    run_sql(mysql, "CREATE TABLE g (a INT, b INT AS (a * 2))", database=shop.db_name)
    with pytest.raises(DumpError, match="generated columns, as in g: install MySQL's own mysqldump"):
        dumped(other, tmp_path)


NEW_USAGE = "--no-tablespaces\n--set-gtid-purged\n--column-statistics\nuse --skip-masking-policies to disable"
NEW = Client(Path("mysqldump"), "MySQL", "9.7.4", NEW_USAGE)
NEW_LOGIN = Client(Path("mysqldump"), "MySQL", "9.7.4", "--get-server-public-key --ssl-mode")
OLD = Client(Path("mysqldump"), "MySQL", "5.7.44", "--no-tablespaces\n--set-gtid-purged\n--column-statistics-x\n")
MARIADB = Client(Path("mariadb-dump"), "MariaDB", "10.11.19", "--no-tablespaces\n")


@pytest.mark.parametrize(
    ("client", "own"),
    [
        (NEW, ["--no-tablespaces", "--set-gtid-purged=OFF", "--column-statistics=0", "--skip-masking-policies"]),
        (OLD, ["--no-tablespaces", "--set-gtid-purged=OFF"]),
        (MARIADB, ["--no-tablespaces"]),
    ],
)
def test_each_client_is_told_what_it_knows(client: Client, own: list[str]) -> None:
    arguments = dump_arguments(client, "shop", [], ["secret"], ["--where=a > 1"])
    safe = ["--single-transaction", "--quick", "--routines", "--events", "--triggers", "--hex-blob", "--tz-utc"]
    assert arguments[: len(safe)] == safe
    assert arguments[-(len(own) + 4) :] == [*own, "--ignore-table=shop.secret", "--where=a > 1", "--", "shop"]


@pytest.mark.parametrize(
    ("tls", "mysql", "mariadb"),
    [
        ({}, "ssl-mode=PREFERRED", "ssl skip-ssl-verify-server-cert"),
        ({"tls": False}, "ssl-mode=DISABLED get-server-public-key", "skip-ssl"),
        ({"tls": "false"}, "ssl-mode=DISABLED get-server-public-key", "skip-ssl"),
        ({"tls": "preferred"}, "ssl-mode=PREFERRED", "ssl skip-ssl-verify-server-cert"),
        ({"tls": "skip-verify"}, "ssl-mode=REQUIRED", "ssl skip-ssl-verify-server-cert"),
        ({"tls_ca": "/ca"}, "ssl-mode=VERIFY_IDENTITY ssl-ca=/ca", "ssl ssl-verify-server-cert ssl-ca=/ca"),
        (
            {"tls": True, "tls_ca": "/ca"},
            "ssl-mode=VERIFY_IDENTITY ssl-ca=/ca",
            "ssl ssl-verify-server-cert ssl-ca=/ca",
        ),
        (
            {"tls": "custom", "tls_ca": "/ca", "tls_cert": "/cert", "tls_key": "/key"},
            "ssl-mode=VERIFY_IDENTITY ssl-ca=/ca ssl-cert=/cert ssl-key=/key",
            "ssl ssl-verify-server-cert ssl-ca=/ca ssl-cert=/cert ssl-key=/key",
        ),
        ({"socket": "/s", "tls": True}, "ssl-mode=DISABLED get-server-public-key", "skip-ssl"),
    ],
)
def test_tls_in_the_words_of_each_client(tls: dict[str, object], mysql: str, mariadb: str) -> None:
    source = MysqlSource.model_validate({**BASE, "db_name": "shop", **tls})
    for client, expected in ((NEW_LOGIN, mysql), (MARIADB, mariadb)):
        lines = login(source, client).splitlines()
        after = lines[next(number for number, line in enumerate(lines) if line.startswith("password")) + 1 :]
        assert " ".join(after).replace('"', "") == expected


def test_a_client_that_cannot_dump_accounts_is_too_old() -> None:
    source = MysqlSource.model_validate({**BASE, "databases": "all"})
    with pytest.raises(DumpError, match="install a newer mariadb-client, or add _globals to exclude"):
        system_arguments(source, MARIADB)


def test_the_package_that_is_missing_is_named() -> None:
    script = "import sys; sys.modules['pymysql'] = None; import backupman.sources.mysql"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ConfigError: MySQL and MariaDB need the package pymysql: pip install 'backupman[mysql]'" in done.stderr


def test_tls_verified_needs_authorities() -> None:
    source = MysqlSource.model_validate({**BASE, "db_name": "shop", "tls": True})
    assert "ssl-ca=" in login(source, MARIADB)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({}, "give either db_name or databases"),
        ({"db_name": "a", "databases": "all"}, "give either db_name or databases"),
        ({"databases": []}, "at least 1 item"),
        ({"databases": "some"}, "all"),
        ({"db_name": "a", "exclude": ["b"]}, "exclude goes with databases: all"),
        ({"databases": ["a"], "exclude": ["b"]}, "exclude goes with databases: all"),
        ({"databases": "all", "tables": ["t"]}, "tables goes with db_name"),
        ({"db_name": "a", "tls": "on"}, "tls"),
        ({"db_name": "a", "tls": "custom"}, "custom needs tls_ca"),
        ({"db_name": "a", "tls": False, "tls_ca": "/ca"}, "tls_ca verifies nothing"),
        ({"db_name": "a", "tls_cert": "/c"}, "tls_cert and tls_key go together"),
        ({"db_name": "a", "port": 0}, "port"),
        ({"db_name": "a", "lock_timeout": "soon"}, "not a duration"),
    ],
)
def test_settings_that_do_not_fit_together(settings: dict[str, object], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule) as refused:
        MysqlSource.model_validate({**BASE, **settings})
    assert ODD_PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    "option",
    [
        *("--skip-comments", "--comments=0", "--disable-comments", "--skip_comments", "--skip-comm", "--compact"),
        *("--result-file=/tmp/x", "--result", "--tab=/tmp", "--xml", "--force", "--log-error=/tmp/x", "--help"),
        *("--all-databases", "--databases", "--user=x", "--password=hunter2", "--pass=hunter2", "--host=h", "--ssl"),
        *("--defaults-file=/tmp/x", "--login-path=x", "--skip-single-transaction", "--single-transaction=0"),
        *(
            "--loose-skip-comments",
            "--flush-logs",
            "--ignore-error=1356",
            "-phunter2",
            "-r/tmp/x",
            "-f",
            "-v",
            "--",
            "t",
        ),
    ],
)
def test_options_that_break_the_dump_the_gate_or_the_secrecy(option: str) -> None:
    with pytest.raises(ValidationError, match="options") as refused:
        MysqlSource.model_validate({**BASE, "db_name": "a", "options": [option]})
    assert "hunter2" not in "".join(error["msg"] for error in refused.value.errors())


@pytest.mark.parametrize(
    "option",
    [
        *("--skip-dump-date", "--where=id > 1", "--net-buffer-length=64K", "--skip-extended-insert", "--no-data"),
        *(
            "--compress",
            "--complete-insert",
            "--skip-triggers",
            "--skip-set-charset",
            "--compatible=ansi",
            "--master-data=2",
        ),
    ],
)
def test_harmless_options(option: str) -> None:
    assert MysqlSource.model_validate({**BASE, "db_name": "a", "options": [option]}).options == [option]


def test_a_list_keeps_its_order_and_names_nothing_twice() -> None:
    source = MysqlSource.model_validate({**BASE, "databases": ["b", GLOBALS, "a", "b"]})
    assert source.list_databases() == ["b", "a", GLOBALS]
    assert (source.suffix_of("a"), source.many) == (".sql", True)
    assert not MysqlSource.model_validate({**BASE, "db_name": "b"}).many
