"""What an account may not read fails the dump, and the sentence holds the GRANT that mends it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backupman.errors import DumpError
from backupman.sources import Source
from backupman.sources._mysql_grants import Grants, scope
from backupman.sources.mariadb import Mariadb as MariadbSource
from tests.contracts.source import dumped
from tests.servers.mariadb import Mariadb
from tests.sources._mysql_setup import account, content_of, restoring, run_sql, source_of

EVERYTHING = (
    "CREATE TABLE t (a INT)",
    "INSERT INTO t VALUES (1)",
    "CREATE VIEW v AS SELECT a FROM t",
    "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 2",
    "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1",
    "CREATE PROCEDURE p() SELECT 1",
)
ENOUGH = ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT")
PROC = "GRANT SELECT ON mysql.proc TO {user}@'%'"


@pytest.fixture
def everything(mariadb: Mariadb, mariadb_database: str) -> str:
    """A database, whose name is a pattern too, with one of everything."""
    run_sql(mariadb, *EVERYTHING, database=mariadb_database)
    return mariadb_database


@pytest.fixture
def restored(mariadb: Mariadb) -> Iterator[Callable[[bytes], dict[str, Any]]]:
    yield from restoring(mariadb)


def refusal(source: Source, folder: Path) -> str:
    [database] = source.list_databases()
    with pytest.raises(DumpError, match=f"^{source.label}: ") as refused, source.dump(database, folder):
        pass
    assert refused.value.permanent
    return str(refused.value)


def obey(server: Mariadb, sentence: str) -> None:
    """Run the statements that a sentence asks for."""
    statements = [part.strip() for part in sentence.partition("run: ")[2].split(";") if part.strip()]
    assert statements
    run_sql(server, *statements)


@pytest.mark.parametrize(
    ("privileges", "lacking"),
    [
        (("SELECT", "SHOW VIEW", "EVENT"), "triggers"),
        (("SELECT", "SHOW VIEW", "TRIGGER"), "events"),
        (("SELECT", "TRIGGER", "EVENT"), "views"),
        (("SHOW VIEW", "TRIGGER", "EVENT"), "tables"),
        (ENOUGH, "routines"),
        ((*ENOUGH, "EXECUTE"), "routines (f, p)"),
        (("SELECT", "EXECUTE"), "triggers and views and events and routines (f, p)"),
    ],
)
def test_a_gap_is_found_and_the_grant_closes_it(
    mariadb: Mariadb,
    everything: str,
    restored: Callable[[bytes], dict[str, Any]],
    tmp_path: Path,
    privileges: tuple[str, ...],
    lacking: str,
) -> None:
    with account(mariadb, everything, *privileges) as login:
        if "routines" not in lacking:
            run_sql(mariadb, PROC.format(**login))
        source = source_of(MariadbSource, mariadb, db_name=everything, **login)
        sentence = refusal(source, tmp_path)
        assert f"would lack its {lacking}," in sentence
        obey(mariadb, sentence)
        dump, data = dumped(source, tmp_path)
        assert dump.warnings == []
        assert restored(data) == content_of(mariadb, everything)


def test_without_any_privilege_there_is_no_database(mariadb: Mariadb, everything: str, tmp_path: Path) -> None:
    with account(mariadb, everything) as login:
        source = source_of(MariadbSource, mariadb, db_name=everything, **login)
        assert "or the account may not see it" in refusal(source, tmp_path)


def test_a_view_that_calls_a_function(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    called = "CREATE FUNCTION one() RETURNS INT RETURN 1", "CREATE VIEW v AS SELECT one() AS a"
    run_sql(mariadb, *called, database=mariadb_database)
    with account(mariadb, mariadb_database, *ENOUGH) as login:
        run_sql(mariadb, PROC.format(**login))
        source = source_of(MariadbSource, mariadb, db_name=mariadb_database, **login)
        assert re.search(r"a view calls a routine .* GRANT EXECUTE .*`?one`?", refusal(source, tmp_path))
        run_sql(mariadb, f"GRANT EXECUTE ON FUNCTION {mariadb_database}.one TO {login['user']}@'%'")
        assert dumped(source, tmp_path)[0].warnings == [f"Shop: there is no table in the dump of {mariadb_database}"]


def test_a_grant_that_is_missing_takes_no_other_away(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    """The account has its own for the name as a pattern, of which the server forgets all once there is a closer one."""
    called = "CREATE FUNCTION one() RETURNS INT RETURN 1", "CREATE VIEW v AS SELECT one() AS a"
    run_sql(mariadb, *called, database=mariadb_database)
    with account(mariadb, mariadb_database, "SELECT", "SHOW VIEW", "TRIGGER", "EXECUTE") as login:
        source = source_of(MariadbSource, mariadb, db_name=mariadb_database, **login)
        obey(mariadb, refusal(source, tmp_path))
        assert b"FUNCTION `one`" in dumped(source, tmp_path)[1]


def test_privileges_by_a_role(mariadb: Mariadb, everything: str, tmp_path: Path) -> None:
    with account(mariadb, everything) as login:
        user, role = login["user"], f"r_{everything}"
        source = source_of(MariadbSource, mariadb, db_name=everything, **login)
        run_sql(mariadb, f"CREATE ROLE {role}", f"GRANT ALL ON {everything}.* TO {role}", f"GRANT {role} TO {user}@'%'")
        try:
            run_sql(mariadb, f"GRANT SELECT ON mysql.proc TO {role}")
            assert "or the account may not see it" in refusal(source, tmp_path)  # the role is not active
            run_sql(mariadb, f"SET DEFAULT ROLE {role} FOR {user}@'%'")
            dumped(source, tmp_path)
        finally:
            run_sql(mariadb, f"DROP ROLE {role}")


def test_an_owner_of_its_routines_needs_no_more(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    with account(mariadb, mariadb_database, "ALL") as login:
        own = login | {"password": login["password"].encode()}
        with mariadb.connect(mariadb_database, **own) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE PROCEDURE mine() SELECT 1")
        source = source_of(MariadbSource, mariadb, db_name=mariadb_database, **login)
        assert b"PROCEDURE `mine`" in dumped(source, tmp_path)[1]


def test_what_is_left_out_on_purpose_needs_no_privilege(mariadb: Mariadb, everything: str, tmp_path: Path) -> None:
    options = ["--skip-triggers", "--skip_events", "--routines=0"]
    with account(mariadb, everything, "SELECT", "SHOW VIEW") as login:
        source = source_of(MariadbSource, mariadb, db_name=everything, options=options, **login)
        dump, data = dumped(source, tmp_path)
        assert dump.warnings == []
        assert b"TRIGGER" not in data


def test_single_tables_need_no_more_than_themselves(mariadb: Mariadb, everything: str, tmp_path: Path) -> None:
    with account(mariadb, everything) as login:
        run_sql(mariadb, f"GRANT SELECT ON {everything}.t TO {login['user']}@'%'")
        source = source_of(MariadbSource, mariadb, db_name=everything, tables=["t"], **login)
        assert "would lack its triggers," in refusal(source, tmp_path)
        run_sql(mariadb, f"GRANT TRIGGER ON {everything}.t TO {login['user']}@'%'")
        assert b"TRIGGER tr BEFORE" in dumped(source, tmp_path)[1]


def test_accounts_need_the_system_tables(mariadb: Mariadb, everything: str, tmp_path: Path) -> None:
    with account(mariadb, everything, "ALL") as login:
        source = source_of(MariadbSource, mariadb, databases=["_globals"], **login)
        with pytest.raises(DumpError, match=r"^Shop: .*may not read all of it.*mysql"):
            dumped(source, tmp_path)


@pytest.mark.parametrize(
    ("lines", "held"),
    [
        ((r"GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*D821809F681A40A6E379B50D0463EFAE20BDD122'",), False),
        ((r"GRANT ALL PRIVILEGES ON *.* TO `u`@`%` WITH GRANT OPTION",), True),
        ((r"GRANT SELECT, EVENT ON *.* TO 'u'@'localhost'",), True),
        ((r"GRANT INSERT, SHOW VIEW ON *.* TO `u`@`%`",), False),
        ((r"GRANT SELECT (`a`, `b`), INSERT ON `my_db`.* TO `u`@`%`",), False),
        ((r"GRANT INSERT (`a`), SELECT ON `my_db`.* TO `u`@`%`",), True),
        ((r"GRANT SELECT ON `my\_db`.* TO `u`@`%`",), True),
        ((r"GRANT SELECT ON `my%`.* TO `u`@`%`",), True),
        ((r"GRANT SELECT ON `my\%`.* TO `u`@`%`",), False),
        ((r"GRANT SELECT ON `my-db`.* TO `u`@`%`",), False),
        ((r"GRANT SELECT ON `my_db`.`t` TO `u`@`%`",), False),
        ((r"GRANT EXECUTE ON PROCEDURE `my_db`.`p` TO `u`@`%`",), False),
        ((r"GRANT `SELECT ON *.*` TO `u`@`%`",), False),
        ((r"GRANT PROXY ON ``@`%` TO `u`@`localhost` WITH GRANT OPTION",), False),
        # The server obeys the closest pattern alone, but of each account and role its own.
        ((r"GRANT SELECT ON `my%`.* TO `u`@`%`", r"GRANT INSERT ON `my\_db`.* TO `u`@`%`"), False),
        ((r"GRANT SELECT ON `my%`.* TO `u`@`%`", r"GRANT INSERT ON `my\_db`.* TO `role`"), True),
        # MySQL's partial revokes.
        ((r"GRANT SELECT ON *.* TO `u`@`%`", r"REVOKE SELECT ON `my_db`.* FROM `u`@`%`"), False),
        ((r"GRANT SELECT ON *.* TO `u`@`%`", r"REVOKE SELECT ON `other`.* FROM `u`@`%`"), True),
    ],
)
def test_grants_are_read_as_the_server_obeys_them(lines: tuple[str, ...], held: bool) -> None:
    assert Grants(lines).has("SELECT", "my_db") is held


def test_a_grant_for_one_table() -> None:
    grants = Grants([r"GRANT SELECT, TRIGGER ON `my_db`.`odd ``t``` TO `u`@`%`"])
    assert grants.has("TRIGGER", "my_db", "odd `t`")
    assert not grants.has("TRIGGER", "my_db", "other")
    assert not grants.has("TRIGGER", "my_db")


def test_the_name_of_a_database_is_no_pattern_in_our_grants() -> None:
    assert scope("a_b%c\\d`e") == r"`a\_b\%c\\d``e`.*"


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        ((), r"`my\_db`.*"),
        ((r"GRANT SELECT ON `my_db`.* TO `u`@`%`",), "`my_db`.*"),
        ((r"GRANT SELECT ON `my_db`.* TO 'u'@'%'",), "`my_db`.*"),
        ((r"GRANT SELECT ON `my%`.* TO `u`@`%`", r"GRANT SELECT ON `my\_d%`.* TO `u`@`%`"), r"`my\_d%`.*"),
        ((r"GRANT SELECT ON `my_db`.* TO `role`", r"GRANT SELECT ON `other`.* TO `u`@`%`"), r"`my\_db`.*"),
        ((r"GRANT SELECT ON *.* TO `u`@`%`", r"GRANT SELECT ON `my_db`.`t` TO `u`@`%`"), r"`my\_db`.*"),
    ],
)
def test_the_grant_that_more_is_added_to(lines: tuple[str, ...], where: str) -> None:
    assert Grants(lines).scope("`u`@`%`", "my_db") == where


def test_a_server_that_quotes_no_names(mariadb: Mariadb, everything: str, tmp_path: Path) -> None:
    run_sql(mariadb, "SET GLOBAL sql_quote_show_create = OFF")
    try:
        assert dumped(source_of(MariadbSource, mariadb, db_name=everything), tmp_path)[0].manifest
    finally:
        run_sql(mariadb, "SET GLOBAL sql_quote_show_create = ON")
