"""The reader of a dump's statements changes nothing, however the dump is cut, and finds what leaves the database."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupman.errors import RestoreError
from backupman.sources._mysql_statements import Statements

DUMP = b"""/*M!999999\\- enable the sandbox mode */
-- MariaDB dump; USE other; it's `no` "statement"
/*!40101 SET NAMES utf8mb4 */;
CREATE TABLE `it;s` (a TEXT DEFAULT '; USE x;' COMMENT 'it''s \\\\'); # USE other;
INSERT INTO `it;s` VALUES ('; USE x;'),("; DROP DATABASE x;"),('\\';USE x;'),(-1 - -2),('a--b');
/* USE
other; */
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`%`*/ /*!50003 PROCEDURE p()
BEGIN SELECT ';; USE x'; SELECT 1 FROM t USE INDEX (a); END */;;
DELIMITER ;
SET sql_mode = 'NO_BACKSLASH_ESCAPES' ;
INSERT INTO t VALUES ('C:\\'),('; USE x;');
SET sql_mode = @saved_sql_mode ;
SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '';
INSERT INTO t VALUES ('\\'; USE x;');
-- Dump completed
"""

LEAVING = [
    b"USE other;",
    b"use\tother;",
    b"SELECT 1; USE other;",
    b"/*!40000 DROP DATABASE IF EXISTS x*/;",
    b"CREATE DATABASE /*!32312 IF NOT EXISTS*/ `x`;",
    b"CREATE OR REPLACE SCHEMA x;",
    b"/*!99999 nothing */ USE other;",
    b"/*M!100100 USE other */;",
    b"-- c\n#c\n/* c */ GRANT ALL ON *.* TO x;",
    b"DELIMITER ;;\nUSE x ;;\n",
    b"delimiter $$\nSELECT ';'$$ USE x $$\n",
    b"INSERT INTO t VALUES ('a\\\\'); USE o;",
    b"INSERT INTO t VALUES ('''');USE o;",
    b"INSERT INTO t VALUES (1 /* ' */);USE o;",
    b"INSERT INTO t VALUES (1 -- '\n);USE o;",
    b"SET sql_mode='NO_BACKSLASH_ESCAPES'; INSERT INTO t VALUES('\\'); USE o;",
    b"LOAD DATA INFILE '/etc/passwd' INTO TABLE t;",
    b"SET GLOBAL event_scheduler = ON;",
    b"SET @@PERSIST.event_scheduler = ON;",
    b"ALTER USER root IDENTIFIED BY 'x';",
    b"CHANGE MASTER TO MASTER_HOST='x';",
]


def passed(script: bytes, cuts: list[int], database: str = "shop", origin: str = "") -> bytes:
    """What comes through of a script that is cut into pieces."""
    statements = Statements("Shop", database, origin=origin)
    places = sorted({0, len(script), *(cut for cut in cuts if cut < len(script))})
    pieces = [script[begin:end] for begin, end in pairwise(places)]
    return b"".join([*map(statements.pass_on, pieces), statements.pass_on(b"", last=True)])


CUTS = st.lists(st.integers(1, len(DUMP) * 3), max_size=40)


@settings(deadline=None, max_examples=60)
@given(CUTS)
def test_a_dump_comes_through_as_it_is(cuts: list[int]) -> None:
    assert passed(DUMP * 3, cuts) == DUMP * 3


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300), CUTS)
def test_what_is_no_sql_comes_through_as_it_is(data: bytes, cuts: list[int]) -> None:
    try:
        assert passed(data, cuts) == data
    except RestoreError as error:
        assert "leaves the database" in error.sentence


@pytest.mark.parametrize("script", LEAVING)
@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 64, 10**6])
def test_what_leaves_the_database_is_found(script: bytes, step: int) -> None:
    whole = DUMP + script + DUMP
    with pytest.raises(RestoreError, match="a statement that leaves the database shop, at line "):
        passed(whole, list(range(0, len(whole), step)))


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 64, 10**6])
def test_a_database_that_is_altered_is_the_new_one(step: int) -> None:
    altered = (
        b"ALTER DATABASE `o``ld` CHARACTER SET utf8;\nALTER DATABASE CHARACTER SET utf8;\nALTER SCHEMA old COLLATE x;"
    )
    new = altered.replace(b"`o``ld`", b"`n``ew`").replace(b"old", b"`n``ew`")
    whole = DUMP + altered + DUMP
    assert passed(whole, list(range(0, len(whole), step)), "n`ew") == DUMP + new + DUMP


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 64, 10**6])
def test_sequences_are_those_of_the_new_database(step: int) -> None:
    table = b"CREATE TABLE t (a INT DEFAULT (nextval(`o``ld`.`s`) * 2), b TEXT COMMENT 'it''s; (');\nDO 0;\n"
    view = b"/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50001 VIEW `v` AS select lastval(`o``ld`.`s`) AS `n` */;\n"
    row = b"INSERT INTO t VALUES (2,'nextval(`o``ld`.`s`)');\n"
    script = b"CREATE SEQUENCE `s`;\n" + table + view + row
    new = script.removesuffix(row).replace(b"`o``ld`", b"`n``ew`") + row
    whole = script.replace(b"DO 0;", b"LOCK TABLES `t` WRITE;") + DUMP
    assert passed(whole, list(range(0, len(whole), step)), "n`ew", "o`ld") == new + DUMP
    assert b"LOCK TABLES" in passed(whole.replace(b"SEQUENCE", b"TABLE"), [], "n`ew", "o`ld")


def test_a_row_of_any_size_is_passed_on_as_it_comes() -> None:
    statements = Statements("Shop", "shop")
    piece = b"a\\'" * 10000
    assert len(statements.pass_on(b"INSERT INTO t VALUES ('")) == 0
    out = sum(len(statements.pass_on(piece)) for _ in range(100))
    assert out > 99 * len(piece)


def test_statements_are_found_by_their_line_without_what_they_hold() -> None:
    statements = Statements("Shop", "", whole_server=True)
    script = (
        b"SELECT 1;\n\nINSERT INTO t\n VALUES ('secret');\nCREATE USER IF NOT EXISTS `me`@`%` IDENTIFIED BY 'secret';\n"
    )
    statements.pass_on(script, last=True)
    assert [statements.at(line) for line in (1, 3, 4, 5)] == [
        "SELECT 1",
        "INSERT INTO t",
        "INSERT INTO t",
        "CREATE USER IF NOT EXISTS `me`@`%`",
    ]
    assert statements.accounts == {"me"}
