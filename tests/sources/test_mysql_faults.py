"""Everything that can go wrong with a MySQL or MariaDB dump ends in one sentence that says what to do."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backupman.errors import DumpError
from backupman.sources.mariadb import Mariadb as MariadbSource
from tests.contracts._children import children
from tests.contracts.source import dumped
from tests.servers import ODD_PASSWORD
from tests.servers.mariadb import Mariadb
from tests.sources._mysql_setup import account, fake_tool, run_sql, source_of

WHOLE = "echo 'INSERT'; echo 'CREATE TABLE t (a INT) ENGINE=InnoDB;'; echo '-- Dump completed on 2026-11-21'"


@pytest.fixture
def shop(mariadb: Mariadb, mariadb_database: str) -> MariadbSource:
    run_sql(mariadb, "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)", database=mariadb_database)
    return source_of(MariadbSource, mariadb, db_name=mariadb_database, lock_timeout=1)


def refusal(source: MariadbSource, folder: Path) -> DumpError:
    with pytest.raises(DumpError, match=f"^{source.label}: ") as refused:
        dumped(source, folder)
    assert children() == []
    assert ODD_PASSWORD not in str(refused.value)
    return refused.value


def test_a_dump_that_is_nothing_but_its_end(shop: MariadbSource, mariadb: Mariadb, tmp_path: Path) -> None:
    path = fake_tool(tmp_path, "echo '-- Dump completed on 2026-11-21'")
    lying = MariadbSource.model_validate(shop.revealed() | {"tool_path": path})
    assert f"too few for the 1 table that {shop.db_name} has" in str(refusal(lying, tmp_path))
    run_sql(mariadb, "CREATE TABLE other (a INT)", database=shop.db_name or "")
    assert f"too few for the 2 tables that {shop.db_name} has" in str(refusal(lying, tmp_path))


def test_a_server_that_ends_every_answer_early(shop: MariadbSource, mariadb: Mariadb, tmp_path: Path) -> None:
    run_sql(mariadb, "INSERT INTO t VALUES (2)", database=shop.db_name or "")
    everything = MariadbSource.model_validate(shop.revealed() | {"db_name": None, "databases": "all"})
    databases = everything.list_databases()
    run_sql(mariadb, "SET GLOBAL sql_select_limit = 1")
    try:
        assert "ends every answer after 1 rows (sql_select_limit)" in str(refusal(shop, tmp_path))
        assert everything.list_databases() == databases
        with pytest.raises(DumpError, match="sql_select_limit"):
            everything.examine()
    finally:
        run_sql(mariadb, "SET GLOBAL sql_select_limit = DEFAULT")


def test_a_dump_without_a_table_has_a_warning(shop: MariadbSource, mariadb: Mariadb, tmp_path: Path) -> None:
    def warnings() -> list[str]:
        return dumped(shop, tmp_path)[0].warnings

    assert warnings() == []
    run_sql(mariadb, "DROP TABLE t", database=shop.db_name or "")
    assert warnings() == [f"{shop.label}: there is no table in the dump of {shop.db_name}"]


@pytest.mark.parametrize("password", ["wrong", ODD_PASSWORD[:-1], ""])
def test_a_wrong_password(shop: MariadbSource, tmp_path: Path, password: str) -> None:
    source = MariadbSource.model_validate(shop.revealed() | {"password": password})
    error = refusal(source, tmp_path)
    assert "the server refuses the account tester: correct user and password" in str(error)
    assert error.permanent
    with pytest.raises(DumpError, match="refuses the account"):
        source.check()


@pytest.mark.parametrize("place", [{"host": "no.such.host.invalid"}, {"port": 1}, {"socket": "/no/such/socket"}])
def test_no_server_there(shop: MariadbSource, tmp_path: Path, place: dict[str, object]) -> None:
    source = MariadbSource.model_validate(shop.revealed() | place)
    error = refusal(source, tmp_path)
    assert f"there is no server at {source.place}: start it" in str(error)
    assert not error.permanent


def test_an_unknown_database(shop: MariadbSource, tmp_path: Path) -> None:
    source = MariadbSource.model_validate(shop.revealed() | {"db_name": "no such one"})
    assert "there is no database no such one" in str(refusal(source, tmp_path))


def test_a_server_that_is_none(shop: MariadbSource, tmp_path: Path) -> None:
    with silent_server() as port:
        source = MariadbSource.model_validate(shop.revealed() | {"port": port})
        error = refusal(source, tmp_path)
    assert "the connection to" in str(error) or "there is no server at" in str(error)


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes a connection and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 0", "the dump is empty although the tool reported success"),
        ("echo 'CREATE TABLE t'", "the dump is cut off"),
        (f"{WHOLE}; seq 2000", "the dump is cut off"),
        (f"{WHOLE}; exit 3", "mariadb-dump failed with exit code 3: it said nothing"),
        ("echo 'INSERT'; kill -9 $$", "mariadb-dump was ended by signal 9"),
        (f"{WHOLE}; echo 'Lost connection to server during query (2013)' >&2; exit 2", "the connection to"),
        ("echo 'mariadb-dump: Error 2020: Got packet bigger' >&2; exit 2", "raise it"),
        (
            "echo 'Got error: 1045: \"Plugin caching_sha2_password could not be loaded: /nowhere\"' >&2; exit 2",
            "the client cannot log in as tester: install",
        ),
        (
            "echo 'Table t is marked as crashed and last repair failed (144)' >&2; exit 2",
            "a table is damaged: repair it",
        ),
        ("echo 'mariadb-dump: Got error: 1412: \"Table definition has changed\"' >&2; exit 2", "back up again"),
    ],
)
def test_a_tool_that_lies_or_fails(shop: MariadbSource, tmp_path: Path, script: str, sentence: str) -> None:
    tool = fake_tool(tmp_path, script)
    assert sentence in str(refusal(shop.model_copy(update={"tool_path": tool}), tmp_path))


def test_a_tool_that_is_whole(shop: MariadbSource, tmp_path: Path) -> None:
    """Or the fakes above might fail for another reason."""
    source = shop.model_copy(update={"tool_path": fake_tool(tmp_path, f"echo 'Warning: odd' >&2; {WHOLE}")})
    dump, data = dumped(source, tmp_path)
    assert data.startswith(b"INSERT\n")
    assert dump.warnings == ["Shop: mariadb-dump said: Warning: odd"]
    assert dump.facts["tool_version"] == "MariaDB 10.11.19"


def test_a_tool_that_cannot_dump_history(mariadb: Mariadb, shop: MariadbSource, tmp_path: Path) -> None:
    """As that of MariaDB 10.6, which ends with an error when it is told to."""
    run_sql(mariadb, "CREATE TABLE versions (a INT) WITH SYSTEM VERSIONING", database=shop.db_name)
    for usage, advice in (("--help", "; take mariadb-dump 10.11 or newer, and add"), ("--dump-history", "; add")):
        tool = fake_tool(tmp_path, "printf '%99s\n-- Dump completed' t", usage=usage)
        dump, _ = dumped(shop.model_copy(update={"tool_path": tool}), tmp_path)
        assert f"versions{advice} --dump-history to options" in dump.warnings[0]


def test_a_tool_that_is_something_else(shop: MariadbSource, tmp_path: Path) -> None:
    source = shop.model_copy(update={"tool_path": fake_tool(tmp_path, WHOLE, version="true (GNU coreutils) 9.1")})
    assert "is no dump program of MySQL or MariaDB" in str(refusal(source, tmp_path))


def test_the_tool_of_mysql_for_a_server_of_mariadb(shop: MariadbSource, tmp_path: Path) -> None:
    version = "mysqldump  Ver 8.0.40 for Linux on x86_64 (MySQL Community Server - GPL)"
    source = shop.model_copy(update={"tool_path": fake_tool(tmp_path, WHOLE, version=version)})
    assert "install MariaDB's own (Debian: mariadb-client) or set tool_path" in str(refusal(source, tmp_path))


def test_a_folder_of_tools(shop: MariadbSource, tmp_path: Path) -> None:
    fake_tool(tmp_path, WHOLE)
    assert dumped(shop.model_copy(update={"tool_path": tmp_path}), tmp_path)[1].startswith(b"INSERT\n")


def test_the_tool_reads_no_settings_but_ours(
    shop: MariadbSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_environment: Path
) -> None:
    (own_environment / ".my.cnf").write_text("[client]\npassword=of-the-user\nport=1\n[mariadb-dump]\nno-data\n")
    for name, value in {"MYSQL_HOST": "no.such.host", "MYSQL_TCP_PORT": "1", "MYSQL_PWD": "wrong"}.items():
        monkeypatch.setenv(name, value)
    assert b"INSERT INTO `t`" in dumped(shop, tmp_path)[1]


@pytest.mark.parametrize(
    "password",
    [
        "'in quotes'",
        '"',
        "\\",
        "a\\nb\\",
        "#hash",
        " spaces ",
        "tab\tline\nend",
        "[mysqld]",
        "!include x",
        "=;=",
        "ß€😀",
    ],
)
def test_every_password_reaches_the_tool(mariadb: Mariadb, shop: MariadbSource, tmp_path: Path, password: str) -> None:
    with account(mariadb, shop.db_name or "", "ALL") as login:
        with mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"SET PASSWORD FOR {login['user']}@'%%' = PASSWORD(%s)", (password,))
        changed = {"user": login["user"], "password": password}
        dumped(MariadbSource.model_validate(shop.revealed() | changed), tmp_path)


def test_a_lock_that_stays(mariadb: Mariadb, shop: MariadbSource, tmp_path: Path) -> None:
    with locked(mariadb, shop):
        began = time.monotonic()
        error = refusal(shop, tmp_path)
        assert time.monotonic() - began < 60
    assert "waited 1 s for a lock of another session" in str(error)
    assert not error.permanent
    assert b"INSERT INTO `t`" in dumped(shop, tmp_path)[1]


def test_a_schema_change_that_waits(mariadb: Mariadb, shop: MariadbSource, tmp_path: Path) -> None:
    """A reader that does not end, an ALTER TABLE behind it, and the dump behind that."""
    with mariadb.connect(shop.db_name, autocommit=False) as reader, mariadb.connect(shop.db_name) as changer:
        reader.cursor().execute("SELECT * FROM t")
        change = threading.Thread(target=changer.cursor().execute, args=("ALTER TABLE t ADD b INT",))
        change.start()
        try:
            waiting = "SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table%'"
            while not run_sql(mariadb, waiting):
                time.sleep(0.01)
            assert "lock" in str(refusal(shop, tmp_path))
        finally:
            reader.rollback()
            change.join()


def test_a_lock_that_goes(mariadb: Mariadb, shop: MariadbSource, tmp_path: Path) -> None:
    patient = MariadbSource.model_validate(shop.revealed() | {"lock_timeout": 30})
    with locked(mariadb, shop) as unlock:
        threading.Timer(1, unlock).start()
        assert b"INSERT INTO `t`" in dumped(patient, tmp_path)[1]


def test_nobody_else_is_ended_for_a_lock(mariadb: Mariadb, shop: MariadbSource, tmp_path: Path) -> None:
    """An application with the same account waits for the same lock, before the dump and during it."""
    seen: list[object] = []

    def ask() -> None:
        seen.extend(run_sql(mariadb, "SELECT a FROM t", database=shop.db_name))

    others = [threading.Thread(target=ask), threading.Timer(0.5, ask)]
    with locked(mariadb, shop):
        for other in others:
            other.start()
        refusal(shop, tmp_path)
    for other in others:
        other.join()
    assert seen == [(1,), (1,)]


@contextmanager
def locked(server: Mariadb, source: MariadbSource) -> Iterator[Callable[[], object]]:
    """A session that has locked the table, and what unlocks it from another thread."""
    with server.connect(source.db_name) as holder:
        holder.cursor().execute("LOCK TABLES t WRITE")
        yield lambda: holder.cursor().execute("UNLOCK TABLES")
