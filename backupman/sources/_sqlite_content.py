"""What stands in a SQLite file: whether it is whole, the rows of its tables, the answer to a question; read only."""

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote

from backupman.manifest import Counting, TableRows

T = TypeVar("T")

Check = Literal["quick_check", "integrity_check"]

_TABLES = """
SELECT name, sql LIKE 'CREATE VIRTUAL TABLE%' FROM sqlite_master
WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name
"""
_NOT_COUNTABLE = ("SQLITE_ERROR", "SQLITE_AUTH")
"""A name that is no text; anything else is trouble with the file."""

WRITES = ("SQLITE_AUTH", "SQLITE_READONLY")
"""How the name of the error begins with which SQLite refuses what would do more than read."""

_NO_COLLATION = re.compile(r"no such collation sequence: (.+)", re.DOTALL)
_NO_FUNCTION = "unknown function: "
"""What is said of an index that is made with what only the database's own program knows."""

_LOOK_AGAIN = 0.05

_LOOKS = ("table_info", "table_xinfo", "index_list", "index_info", "foreign_key_list")
"""The PRAGMAs with an argument that change nothing."""

_NEEDS = {
    "3.37.0": "SELECT 1 FROM pragma_table_list WHERE strict",
    "3.31.0": "SELECT 1 FROM sqlite_master t, pragma_table_xinfo(t.name) c WHERE t.type = 'table' "
    "AND t.sql NOT LIKE 'CREATE VIRTUAL TABLE%' AND c.hidden IN (2, 3)",
    "3.8.2": "SELECT 1 FROM pragma_table_list WHERE wr",
}
"""The version that brought what a query finds (https://www.sqlite.org/changes.html), the newest first."""

_MAPPED = 2**31
"""Bytes that are read where they lie: a tenth less time. A disk that fails then ends our process, which is told."""

_ALWAYS_NEEDED = "3.7.0"


@contextmanager
def opened(path: Path, *, alone: bool = False, busy_seconds: float = 5) -> Iterator[sqlite3.Connection]:
    """The file, for reading; `alone` is for a copy of our own.

    In WAL mode even a reader makes files beside it, and leaves them. So where there are none, and nobody can have it
    open in that mode, it is read as what it is: a file.
    """
    resting = _is_wal(path) and not os.path.lexists(f"{path}-wal")
    how = "immutable=1" if alone or resting else "mode=ro"
    address = f"file:{quote(os.fsencode(path.absolute()))}?{how}"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=busy_seconds, check_same_thread=False)
    connection.text_factory = _text
    with closing(connection) as database:
        yield database


def _is_wal(path: Path) -> bool:
    """By bytes 18 and 19 of the header: https://www.sqlite.org/fileformat2.html."""
    try:
        with path.open("rb") as file:
            return file.read(20)[18:] == b"\x02\x02"
    except OSError:  # which SQLite will say in its own words
        return False


@contextmanager
def beside(database: sqlite3.Connection, ask: Callable[[], T]) -> Iterator["Future[T]"]:
    """What `ask` finds, in a thread of its own while the `with` lasts; a query that is still under way is ended then.

    So a signal and a time limit end a query, which SQLite's own wait would not let them.
    """
    with ThreadPoolExecutor(1, "sqlite") as pool:
        asked = pool.submit(ask)
        try:
            yield asked
        finally:
            while not asked.done():  # the query may not have begun yet, and would not be ended then
                database.interrupt()
                wait([asked], _LOOK_AGAIN)


def within(database: sqlite3.Connection, seconds: float | None, ask: Callable[[], T]) -> T:
    """What `ask` finds in so many seconds.

    Raises:
        TimeoutError: it took longer than `seconds`.
    """
    with beside(database, ask) as asked:
        return asked.result(seconds)


def fault_in(path: Path, check: Check) -> str:
    """What is wrong with a copy of our own, or nothing.

    Raises:
        sqlite3.Error: it is no database, or so damaged that it cannot be checked.
    """
    with opened(path, alone=True) as database:
        return within(database, None, lambda: fault_of(database, path, check))


def fault_of(database: sqlite3.Connection, path: Path, check: Check) -> str:
    """The same of a copy that is opened already; nobody can end it but `beside` and `within`."""
    [[pages, size]] = database.execute("SELECT * FROM pragma_page_count, pragma_page_size").fetchall()
    if not pages:
        return "it is empty"
    if pages * size != (found := path.stat().st_size):
        return f"it has {found} of {pages * size} bytes"
    mapped(database)
    try:
        [[said]] = database.execute(f"PRAGMA {check}(1)").fetchall()
    except sqlite3.OperationalError as error:
        if not _stood_in(database, error) and (check == "quick_check" or _NO_FUNCTION not in str(error)):
            raise
        return fault_of(database, path, "quick_check")  # which looks at no index's order
    return "" if said == "ok" else str(said)


def _stood_in(database: sqlite3.Connection, error: sqlite3.Error | ValueError) -> bool:
    """Whether it lacked an order of text that only its own program knows; any other stands in for that now."""
    if lacking := _NO_COLLATION.fullmatch(str(error)):
        database.create_collation(lacking[1], lambda one, other: (one > other) - (one < other))
    return lacking is not None


def mapped(database: sqlite3.Connection) -> None:
    """From now on read the file where it lies in memory."""
    database.execute(f"PRAGMA mmap_size = {_MAPPED}").fetchall()


def rows_of(database: sqlite3.Connection, counting: Counting, seconds: float | None) -> list[TableRows]:
    """The tables by name; what cannot be counted in `seconds` altogether is what ANALYZE has noted of it.

    Virtual tables are not counted: their rows stand in tables of their own, or in no table at all.
    """
    until = None if seconds is None else time.monotonic() + seconds
    noted: dict[str, int] | None = None
    tables = []
    for name, virtual in database.execute(_TABLES).fetchall():
        left = None if until is None else until - time.monotonic()
        if counting == "none" or virtual:
            tables.append(TableRows(name=name, rows=None, exact=False))
            continue
        if counting == "exact" and (left is None or left > 0):
            try:
                tables.append(TableRows(name=name, rows=_count(database, name, left)))
                continue
            except TimeoutError:
                pass
        noted = _noted(database) if noted is None else noted
        tables.append(TableRows(name=name, rows=noted.get(name), exact=False))
    return tables


def _count(database: sqlite3.Connection, name: str, seconds: float | None) -> int | None:
    quoted = '"' + name.replace('"', '""') + '"'
    try:
        found = within(database, seconds, database.execute(f"SELECT count(*) FROM {quoted}").fetchone)  # noqa: S608
    except (sqlite3.Error, ValueError) as error:
        if _stood_in(database, error):
            return _count(database, name, seconds)
        if getattr(error, "sqlite_errorname", "SQLITE_ERROR") not in _NOT_COUNTABLE:
            raise
        return None
    return int(found[0])


def _noted(database: sqlite3.Connection) -> dict[str, int]:
    """The rows that ANALYZE has noted: https://www.sqlite.org/fileformat2.html#stat1tab."""
    try:
        found = database.execute("SELECT tbl, max(CAST(stat AS INTEGER)) FROM sqlite_stat1 GROUP BY tbl").fetchall()
    except sqlite3.OperationalError:
        return {}
    return {str(name): int(rows) for name, rows in found if rows is not None}


def oldest_reader(database: sqlite3.Connection) -> str:
    """The oldest SQLite that can read all tables."""
    for version, query in _NEEDS.items():
        with suppress(sqlite3.OperationalError):  # this SQLite is older than that
            if database.execute(query).fetchone():
                return version
    return _ALWAYS_NEEDED


def answer(database: sqlite3.Connection, sql: str, seconds: float) -> str | None:
    """The first value of a query that may do nothing but read, as text.

    Raises:
        TimeoutError: it takes longer than `seconds`.
        sqlite3.Error, ValueError: it is no query, or would do more than read (WRITES).
    """
    database.execute("PRAGMA query_only = on")
    database.set_authorizer(_reads_only)
    return within(database, seconds, lambda: _first(database, sql))


def _first(database: sqlite3.Connection, sql: str) -> str | None:
    with closing(database.execute(sql)) as cursor:
        if cursor.description is None:
            raise ValueError("it is no query")
        row = cursor.fetchone()
    value = row[0] if row else None
    return _text(value) if isinstance(value, bytes) else None if value is None else str(value)


def _reads_only(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Keeps a query from other files and from its own limits; that it writes nothing is seen to by `query_only`.

    Not by this, for full text search and R-trees prepare statements that write before they read.
    """
    elsewhere = action == sqlite3.SQLITE_ATTACH
    settles = action == sqlite3.SQLITE_PRAGMA and second is not None and (first or "").lower() not in _LOOKS
    return sqlite3.SQLITE_DENY if elsewhere or settles else sqlite3.SQLITE_OK


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
