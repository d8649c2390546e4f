"""A MariaDB dump on its way back: what it may do, what is said when it fails, and that nothing of it is left then."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

import pytest

from backupman.errors import PipelineError, RestoreError
from backupman.sources import GLOBALS, Origin, Target
from backupman.sources.mariadb import Mariadb as MariadbSource
from tests.contracts._children import children, kill_child
from tests.contracts.restore import Reader, reader
from tests.contracts.source import dumped
from tests.servers.mariadb import Mariadb
from tests.sources._mysql_setup import account, run_sql, source_of

ORIGIN = Origin("shop", ".sql")
END = b"\n-- Dump completed\n"


@pytest.fixture
def source(mariadb: Mariadb) -> MariadbSource:
    return source_of(MariadbSource, mariadb, databases="all")


@pytest.fixture
def target(mariadb: Mariadb) -> Iterator[str]:
    name = f"back_{uuid4().hex[:8]}"
    yield name
    mariadb.drop_database(name)


def restore(source: MariadbSource, script: bytes, target: str, folder: Path, origin: Origin = ORIGIN) -> list[str]:
    return source.restore(reader(script + END), origin, Target(target), folder)


def refused(source: MariadbSource, script: bytes, target: str, folder: Path, origin: Origin = ORIGIN) -> str:
    """What a restore says that leaves nothing."""
    with pytest.raises(RestoreError, match=r"^Shop: ") as raised:
        restore(source, script, target, folder, origin)
    assert not source.exists(target)
    assert children() == []
    return str(raised.value)


def test_a_client_that_ends_well_before_the_dump_does_has_restored_nothing(
    mariadb: Mariadb, target: str, folder: Path, tmp_path: Path
) -> None:
    program = tmp_path / "mariadb"
    program.write_text(f"""#!/bin/sh
case "$*" in *--binary-mode*) exit 0 ;; esac
exec {shutil.which("mariadb")} "$@"
""")
    program.chmod(0o755)
    source = source_of(MariadbSource, mariadb, databases="all", tool_path=tmp_path)
    said = refused(source, b"SELECT 1;\n" * 300_000, target, folder)
    assert said == "Shop: mariadb ended before the dump did"


@pytest.mark.parametrize(
    "trick",
    [
        b"\\! touch {}\n",
        b"system touch {}\n",
        b"\\! touch {};\n",
        b"SELECT 1\n\\! touch {}\n;\n",
        b"SELECT 1; \\! touch {}\n",
        b"\\. {}\n",
        b"source {}\n",
        b"\\T {}\nSELECT 1;\n",
        b"tee {}\nSELECT 1;\n",
        b"\\P touch {}\nSELECT 1;\n",
        b"pager touch {}\nSELECT 1;\n",
        b"delimiter \\!\ntouch {} \\!\n",
        b"delimiter //\n\\! touch {}\n//\n",
        b"/*M!999999\\- off */\n/*!99999 */\\! touch {}\n;\n",
        b"edit {}\n",
        b"LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE t;\n",
        b"/*!40000 LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE t */;\n",
    ],
)
def test_a_dump_runs_no_command_and_reads_no_file(
    source: MariadbSource, target: str, folder: Path, trick: bytes
) -> None:
    pwned = folder / "pwned"
    refused(source, b"CREATE TABLE t (a TEXT);\n" + trick.replace(b"{}", bytes(pwned)), target, folder)
    assert list(folder.iterdir()) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "restore"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    "statement",
    [
        b"USE mysql;",
        b"CREATE DATABASE /*!32312 IF NOT EXISTS*/ `other`;",
        b"/*!40000 DROP DATABASE IF EXISTS `other`*/;",
        b"GRANT ALL ON *.* TO somebody;",
        b"SET @@GLOBAL.event_scheduler = ON;",
        b"SELECT ';'; DROP SCHEMA other;",
    ],
)
def test_a_dump_does_not_leave_its_database(source: MariadbSource, target: str, folder: Path, statement: bytes) -> None:
    said = refused(source, b"CREATE TABLE t (a TEXT);\n" + statement, target, folder)
    assert f"a statement that leaves the database {target}, at line 2: " in said


def test_the_first_error_is_told_with_its_statement(source: MariadbSource, target: str, folder: Path) -> None:
    script = b"CREATE TABLE t (a INT);\n" + b"SET @a = 1;\n" * 30000
    script += b"INSERT INTO nowhere VALUES ('hidden');\nINSERT INTO elsewhere VALUES (2);\n"
    said = refused(source, script + b"SET @a = 1;\n" * 30000, target, folder)
    assert "nowhere' doesn't exist (1146) at line 30002 in: INSERT INTO nowhere" in said
    assert "hidden" not in said
    assert "elsewhere" not in said


@pytest.mark.parametrize("read", [b"a FROM elsewhere.t", b"elsewhere.f()"])
def test_a_view_of_another_database_says_what_to_restore_first(
    source: MariadbSource, target: str, folder: Path, read: bytes
) -> None:
    said = refused(source, b"CREATE VIEW v AS SELECT " + read + b";\n", target, folder)
    assert "if that is in another database, restore that one first, and for a drill name a server that has it" in said


def test_a_table_whose_folder_holds_the_files_of_the_one_that_was_dumped(
    mariadb: Mariadb, mariadb_database: str, target: str, folder: Path
) -> None:
    elsewhere = mariadb.folder("shared")
    table = f"CREATE TABLE placed (a INT) ENGINE = Aria DATA DIRECTORY = '{elsewhere}'"
    run_sql(mariadb, table, database=mariadb_database)
    shop = source_of(MariadbSource, mariadb, db_name=mariadb_database)
    with pytest.raises(RestoreError, match=r"\(DATA DIRECTORY\).*into another server.*placed"):
        shop.restore(reader(dumped(shop, folder)[1]), Origin(mariadb_database, ".sql"), Target(target), folder)


def test_a_row_that_breaks_a_rule_of_its_table(
    mariadb: Mariadb, mariadb_database: str, target: str, folder: Path
) -> None:
    unlooked = ("SET check_constraint_checks = 0", "INSERT INTO t VALUES (-1)")
    run_sql(mariadb, "CREATE TABLE t (a INT CHECK (a > 0))", *unlooked, database=mariadb_database)
    shop = source_of(MariadbSource, mariadb, db_name=mariadb_database)
    with pytest.raises(RestoreError, match=r"breaks a rule of its table \(CHECK\).*check_constraint_checks"):
        shop.restore(reader(dumped(shop, folder)[1]), Origin(mariadb_database, ".sql"), Target(target), folder)


def test_what_a_script_selects_is_in_nobodys_way(source: MariadbSource, target: str, folder: Path) -> None:
    assert restore(source, b"SELECT REPEAT('x', 1000000);\n" * 8, target, folder) == []


def test_the_letters_of_the_database_come_back(
    mariadb: Mariadb, mariadb_database: str, source: MariadbSource, target: str, folder: Path
) -> None:
    run_sql(mariadb, f"ALTER DATABASE {mariadb_database} CHARACTER SET latin1 COLLATE latin1_german2_ci")
    run_sql(
        mariadb,
        "CREATE TABLE t (a TEXT)",
        "CREATE TRIGGER before_it BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 'é'",
        f"ALTER DATABASE {mariadb_database} CHARACTER SET utf8mb4",
        database=mariadb_database,
    )
    dump, data = dumped(source_of(MariadbSource, mariadb, db_name=mariadb_database), folder)
    assert f"ALTER DATABASE `{mariadb_database}`".encode() in data, "or this shows nothing"
    run_sql(mariadb, f"ALTER DATABASE {mariadb_database} CHARACTER SET cp850")
    origin = Origin(mariadb_database, ".sql", dump.facts)
    assert source.restore(reader(data), origin, Target(target), folder) == []
    letters = "SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = "
    assert run_sql(mariadb, f"{letters}'{target}'") == [("utf8mb4",)]
    assert run_sql(mariadb, f"{letters}'{mariadb_database}'") == [("cp850",)], "the dump has changed where it came from"


def test_a_dump_of_another_server_is_told(source: MariadbSource, target: str, folder: Path) -> None:
    for facts, word in (
        ({"server": "MySQL", "server_version": "8.0.36"}, "is of MySQL 8.0.36, and the server is MariaDB"),
        ({"server": "MariaDB", "server_version": "99.1.2-MariaDB"}, "is of a newer MariaDB 99.1.2"),
    ):
        [warning] = restore(source, b"SELECT 1;", target, folder, Origin("shop", ".sql", facts))
        assert word in warning
        source.remove(target)
    strange = b"CREATE TABLE t (a TEXT COLLATE utf8mb4_from_the_future);"
    assert "restore into a server of the same make and version" in refused(source, strange, target, folder)


def test_an_account_that_may_not(mariadb: Mariadb, source: MariadbSource, target: str, folder: Path) -> None:
    theirs = b"CREATE DEFINER=`root`@`localhost` VIEW v AS SELECT 1;"
    with account(mariadb, target, "ALL") as login:
        small = source_of(MariadbSource, mariadb, databases="all", **login)
        said = refused(small, theirs, target, folder)
        assert "belong to other accounts (DEFINER)" in said
        assert "restore with an administrator's account" in said
        with pytest.raises(RestoreError, match=r"^Shop: .*may not"):
            restore(small, theirs, "somewhere_else", folder)


def test_events_that_run_from_now_on_are_told(
    mariadb: Mariadb, source: MariadbSource, target: str, folder: Path
) -> None:
    script = b"CREATE EVENT tidy ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01' DO SELECT 1;"
    run_sql(mariadb, "SET GLOBAL event_scheduler = ON")
    try:
        [warning] = restore(source, script, target, folder)
    finally:
        run_sql(mariadb, "SET GLOBAL event_scheduler = OFF")
    assert f"runs the events of {target} from now on: tidy" in warning


def test_accounts_that_are_there_are_kept(mariadb: Mariadb, source: MariadbSource, folder: Path) -> None:
    old, new, role = (f"bm_{uuid4().hex[:8]}" for _ in range(3))
    gone = [f"DROP USER IF EXISTS {old}, {new}", f"DROP ROLE IF EXISTS {role}"]
    origin = Origin(GLOBALS, ".sql", {"server": "MariaDB"})
    script = f"CREATE USER IF NOT EXISTS `{old}`@`%`;\nCREATE USER IF NOT EXISTS `{new}`@`%`;\n"
    script += f"CREATE ROLE `{role}`;\nGRANT `{role}` TO `{new}`@`%`;\n"
    run_sql(mariadb, f"CREATE USER {old} IDENTIFIED BY 'kept'", f"CREATE ROLE {role}")
    try:
        [warning] = restore(source, script.encode(), GLOBALS, folder, origin)
        assert f"keep their passwords; grants of the dump were added: {', '.join(sorted([old, role]))}" in warning
        assert "PASSWORD" in str(run_sql(mariadb, f"SHOW GRANTS FOR {old}"))
        assert role in str(run_sql(mariadb, f"SHOW GRANTS FOR {new}"))
        with pytest.raises(RestoreError, match="nowhere"):
            restore(source, b"INSERT INTO nowhere.t VALUES (1);", GLOBALS, folder, origin)
    finally:
        run_sql(mariadb, *gone)


def test_what_cannot_be_is_said(source: MariadbSource, target: str, folder: Path) -> None:
    with pytest.raises(RestoreError, match="restored whole"):
        source.restore(reader(END), ORIGIN, Target(target, tables=["t"]), folder)
    for origin, place in ((Origin("x", ".dump"), target), (ORIGIN, GLOBALS), (Origin(GLOBALS, ".sql"), target)):
        with pytest.raises(RestoreError, match=r"^Shop: "):
            source.restore(reader(END), origin, Target(place), folder)
    assert not source.exists(target)
    with pytest.raises(RestoreError, match="is cut off"):
        source.restore(reader(b"CREATE TABLE t (a INT);\n"), ORIGIN, Target(target), folder)
    assert not source.exists(target)


def test_a_client_that_is_killed(source: MariadbSource, target: str, folder: Path) -> None:
    class Killing(Reader):
        def read(self, size: int | None = -1) -> bytes:
            chunk = super().read(size)
            if not self.ended:
                kill_child("mariadb")
            return chunk

    stream = Killing(b"CREATE TABLE t (a INT);\n" * 100 + END)
    with pytest.raises(RestoreError, match="was ended by signal 9"):
        source.restore(cast(BinaryIO, stream), ORIGIN, Target(target), folder)
    assert not source.exists(target)


def test_nothing_is_dropped_for_a_dump_that_may_not_fit(mariadb: Mariadb, mariadb_database: str, folder: Path) -> None:
    run_sql(mariadb, "CREATE TABLE kept (a INT)", database=mariadb_database)
    target = Target(mariadb_database, overwrite=True)
    with account(mariadb, mariadb_database, "ALL") as login:
        for facts, word in (
            ({"server": "MySQL", "server_version": "8.0.36"}, "is of MySQL 8.0.36"),
            ({"server": "MariaDB", "server_version": "99.1.2"}, "is of a newer MariaDB"),
            ({"definers": '["root@localhost"]'}, r"belong to other accounts \(root@localhost\)"),
        ):
            small = source_of(MariadbSource, mariadb, databases="all", **login)
            with pytest.raises(RestoreError, match=f"^Shop: .*{word}.*under another name first"):
                small.restore(reader(END), Origin("shop", ".sql", facts), target, folder)
            assert run_sql(mariadb, "SHOW TABLES", database=mariadb_database) == [("kept",)]
        own = {"definers": f'["{login["user"]}@%"]'}
        assert small.restore(reader(END), Origin("shop", ".sql", own), target, folder) == []
    assert run_sql(mariadb, "SHOW TABLES", database=mariadb_database) == []
    source = source_of(MariadbSource, mariadb, databases="all")
    with pytest.raises(RestoreError, match="had been dropped by then"):
        source.restore(reader(b"SELEKT;" + END), ORIGIN, target, folder)
    assert not source.exists(mariadb_database)


def test_half_of_a_script_makes_no_account(mariadb: Mariadb, source: MariadbSource, folder: Path) -> None:
    name = f"bm_{uuid4().hex[:8]}"
    script = f"CREATE USER {name};\n".encode()
    for stream, error in ((reader(script, PipelineError("damaged")), PipelineError), (reader(script), RestoreError)):
        with pytest.raises(error):
            source.restore(stream, Origin(GLOBALS, ".sql"), Target(GLOBALS), folder)
    assert run_sql(mariadb, f"SELECT 1 FROM mysql.user WHERE User = '{name}'") == []
