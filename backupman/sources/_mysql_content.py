"""What stands in a MySQL database: its tables, their rows, and the answer to a question that only reads."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pymysql

from backupman.errors import RestoreError
from backupman.manifest import Counting, TableRows
from backupman.sources._mysql_errors import LOCKED, TOO_LONG, WRITES, number_of, text_of
from backupman.sources._mysql_grants import quoted
from backupman.sources._mysql_restore import as_restore_error
from backupman.sources._mysql_server import MysqlServer, Session

_TABLES = """
SELECT TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES
WHERE TABLE_SCHEMA = %s AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME
"""
_DEFINERS = (
    "SELECT DISTINCT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s",
    "SELECT DISTINCT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s",
    "SELECT DISTINCT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s",
)
_COMMENT = "SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s"
_QUESTIONS = re.compile(
    r"(?:\s|--\s[^\n]*\n|#[^\n]*\n|/\*(?!M?!).*?\*/|\()*(SELECT|WITH|VALUES|TABLE|SHOW)\b", re.I | re.S
)
_INTO = re.compile(r"\bINTO\s+(?:OUTFILE|DUMPFILE|@)", re.IGNORECASE)


def _any(_name: str) -> bool:
    return True


def rows_of(
    session: Session,
    database: str,
    counting: Counting,
    seconds: float | None,
    wanted: Callable[[str], bool] = _any,
) -> list[TableRows]:
    """The tables by name; what cannot be counted in `seconds` altogether is what the server estimates.

    Raises:
        pymysql.Error: the server has refused or ended it.
    """
    until = None if seconds is None else time.monotonic() + seconds
    tables = []
    for name, estimate in session.rows(_TABLES, database):
        if not wanted(name):
            continue
        rows: int | None = None if counting == "none" or estimate is None else int(estimate)
        exact = False
        if counting == "exact" and (until is None or until > time.monotonic()):
            counted = _count(session, database, name, None if until is None else until - time.monotonic())
            rows, exact = (rows, False) if counted is None else (counted, True)
        tables.append(TableRows(name=name, rows=rows, exact=exact))
    return tables


def _count(session: Session, database: str, table: str, seconds: float | None) -> int | None:
    """The rows of a table, or None when it took too long."""
    try:
        limit(session, seconds)
        session.rows("SAVEPOINT counting")
        [[rows]] = session.rows(f"SELECT COUNT(*) FROM {quoted(database)}.{quoted(table)}")  # noqa: S608 - a quoted name
        session.rows("ROLLBACK TO SAVEPOINT counting")  # or who alters the table would wait for the last one's count
    except pymysql.Error as error:
        if seconds is not None and number_of(error) in (*TOO_LONG, *LOCKED):
            return None
        raise
    return int(rows)


def facts_of(session: Session, database: str) -> dict[str, str]:
    """What a database is made anew with, and the accounts that its views and routines belong to."""
    found = session.rows(
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA "
        "WHERE SCHEMA_NAME = %s",
        database,
    )
    definers = {name for query in _DEFINERS for name in session.column(query, database)}
    letters = {"character_set": str(found[0][0]), "collation": str(found[0][1])} if found else {}
    if session.comments_databases and any(comment := session.column(_COMMENT, database)):
        letters["comment"] = comment[0]
    return letters | {"definers": json.dumps(sorted(definers))}


def count_rows(source: MysqlServer, database: str) -> list[TableRows]:
    """Every table with its rows counted."""
    with as_restore_error(), source.session(database) as session:
        session.rows("START TRANSACTION READ ONLY")
        return rows_of(session, database, "exact", None)


def scalar(source: MysqlServer, database: str, sql: str, seconds: float) -> str | None:
    """The first value of what one query answers, in a transaction that may only read."""
    if not _QUESTIONS.match(sql) or _INTO.search(sql):
        raise RestoreError(f"{source.label}: {sql!r} is no question: write a SELECT that only reads", permanent=True)
    with as_restore_error(), source.session(database) as session, _said(source, seconds):
        session.connection.select_db(database)
        session.rows("START TRANSACTION READ ONLY")
        limit(session, seconds)
        began = time.monotonic()
        with session.connection.cursor() as cursor:
            cursor.execute(sql.rstrip("; \t\r\n"))
            row = cursor.fetchone()
        if time.monotonic() - began > seconds:  # SLEEP, for one, ends early and says nothing in MySQL
            raise _too_long(source, seconds)
    value = row[0] if row else None
    return value.decode(errors="replace") if isinstance(value, bytes) else None if value is None else str(value)


def limit(session: Session, seconds: float | None) -> None:
    """Have the server end each query that takes longer; None is for ever."""
    if session.flavour == "MariaDB":
        session.rows("SET SESSION max_statement_time = %s", max(0.001, seconds) if seconds is not None else 0)
    else:
        session.rows("SET SESSION max_execution_time = %s", max(1, int(seconds * 1000)) if seconds is not None else 0)


@contextmanager
def _said(source: MysqlServer, seconds: float) -> Iterator[None]:
    try:
        yield
    except pymysql.Error as error:
        number = number_of(error)
        if number in TOO_LONG:
            raise _too_long(source, seconds) from error
        why = "it may only read" if number in WRITES else "the server refuses it"
        sentence = source.redact(f"{source.label}: the query failed, {why}: {text_of(error)}")
        raise RestoreError(sentence, permanent=True) from error


def _too_long(source: MysqlServer, seconds: float) -> RestoreError:
    return RestoreError(f"{source.label}: the query took longer than {seconds:g} s, and was ended", permanent=True)
