"""Copies all records of one store into another: in batches, in one transaction, compared by counts and hashes.

A copy that is interrupted leaves nothing behind, because the other store commits all of it or nothing.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table, func, insert, select, text
from sqlmodel import Session, SQLModel

from backupman.errors import StoreError
from backupman.records import Claim, Worker
from backupman.store._sessions import Sessions

_BATCH = 200
"""Records held in memory at a time; the log of one backup, or what its dump holds, may be a megabyte."""
_DIGEST = 2**256
_OF_NOW = {Claim.__tablename__, Worker.__tablename__}


@dataclass(frozen=True)
class Sum:
    """How many records a table holds, and the sum of their hashes: the same in whatever order they are read."""

    count: int = 0
    digest: int = 0

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.count + other.count, (self.digest + other.digest) % _DIGEST)


@dataclass(frozen=True)
class Copied:
    """How many records each table holds, by its name; `already` when they were all there before."""

    counts: dict[str, int]
    already: bool = False


def copy(origin: Sessions, target: Sessions, tell: Callable[[str, int], None]) -> Copied:
    """Copy every record; `tell` hears each table's name and how many of its records were copied so far.

    Raises:
        StoreError: there is nothing to copy, the target holds other records, the two differ in the end, or somebody
            has changed the records meanwhile; the target is then as it was.
    """
    present = _sums(target)
    if any(total.count for total in present.values()):
        return _compared(_sums(origin), present)
    with target.writing() as session:
        _take_time(session)
        copied = {table.name: _fill(session, table, origin, tell) for table in _tables()}
        _continue_numbers(session)
        if not any(total.count for total in copied.values()):
            raise StoreError("there are no records to copy")
        there = {table.name: _sum(_read(session, table)) for table in _tables()}
        if differing := _differing(copied, there):
            raise StoreError(f"what was copied is not what was read, in {differing}; nothing was kept")
        if differing := _differing(copied, _sums(origin)):
            raise StoreError(
                f"the records were changed while they were copied, in {differing}; stop every backupman that uses "
                "them, and begin anew: nothing was kept"
            )
    return Copied({name: total.count for name, total in copied.items()})


def _compared(origin: dict[str, Sum], present: dict[str, Sum]) -> Copied:
    """What is there already. Raises StoreError unless it is exactly the same."""
    if differing := _differing(origin, present):
        raise StoreError(f"the database holds other records already, in {differing}; name an empty one")
    return Copied({name: total.count for name, total in present.items()}, already=True)


def _differing(one: dict[str, Sum], other: dict[str, Sum]) -> str:
    return ", ".join(name for name in one if one[name] != other[name])


def _tables() -> Sequence[Table]:
    """What is referred to comes before what refers to it; which processes there are now is nothing to keep."""
    return [table for table in SQLModel.metadata.sorted_tables if table.name not in _OF_NOW]


def _fill(session: Session, table: Table, origin: Sessions, tell: Callable[[str, int], None]) -> Sum:
    total = Sum()
    with closing(_stored(origin, table)) as batches:  # its transaction ends with us, whatever happens
        for batch in batches:
            session.connection().execute(insert(table), batch)
            total = total + _sum([batch])
            tell(table.name, total.count)
    return total


def _sums(sessions: Sessions) -> dict[str, Sum]:
    return {table.name: _sum(_stored(sessions, table)) for table in _tables()}


def _stored(sessions: Sessions, table: Table) -> Generator[list[dict[str, Any]]]:
    with sessions.reading() as session:
        _take_time(session)
        yield from _read(session, table)


def _read(session: Session, table: Table) -> Iterator[list[dict[str, Any]]]:
    """All records in batches, by a cursor of the server where there is one."""
    with session.connection().execute(select(table).execution_options(yield_per=_BATCH)) as found:
        for rows in found.mappings().partitions():
            yield [dict(row) for row in rows]


def _sum(batches: Iterable[list[dict[str, Any]]]) -> Sum:
    total = Sum()
    for batch in batches:
        for row in batch:
            document = json.dumps(row, sort_keys=True, default=_as_text)
            total = total + Sum(1, int.from_bytes(hashlib.sha256(document.encode()).digest()))
    return total


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"no record holds a {type(value).__name__}")


def _take_time(session: Session) -> None:
    """Let the server not take us for frozen while we wait for the other database."""
    if session.connection().dialect.name == "postgresql":
        session.connection().execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def _continue_numbers(session: Session) -> None:
    """Let PostgreSQL number what comes next from the highest number on; the other databases do so by themselves."""
    if session.connection().dialect.name != "postgresql":
        return
    for table in _tables():
        column = table.autoincrement_column
        if column is None:
            continue
        highest = session.connection().execute(select(func.max(column))).scalar()
        if highest is not None:
            named = {"table": table.name, "column": column.name, "highest": highest}
            session.connection().execute(
                text("SELECT setval(pg_get_serial_sequence(:table, :column), :highest)"), named
            )
