"""What SQLite is told of how backups are spread, so that it follows the right index from the first record to the last.

Without figures SQLite takes every index for equally good: for the backups of one source it may go through all of our
own. Figures of its own (ANALYZE) would be those of the moment when it was run. So it gets fixed ones, of a store that
has grown large, as https://sqlite.org/lang_analyze.html#fixed_results_of_analyze describes. Servers keep their own.
"""

from math import prod
from typing import Any

from sqlalchemy import Connection, Index

from backupman.records import Backup, Notification

_ROWS = 1_000_000
_SPOOLED_ROWS = 100
_DISTINCT = {
    "kind": 10,
    "status": 100,
    "job": 200,
    "database": 100,
    "source": 500,
    "label": 1000,
    "severity": 4,
    "type": 100,
    "device": 200,
}
"""Into how many values a column divides the records; one that is not named has another in nearly every record.

Nearly all are finished backups of our own, but nobody looks for these by their status or kind alone.
"""


def plan_by_fixed_figures(connection: Connection) -> None:
    """Write the figures of every index of backups and of notifications, and let this connection use them too."""
    tables: list[Any] = [Backup, Notification]
    rows = [(each.__tablename__, index.name, _figures(index)) for each in tables for index in each.__table__.indexes]
    connection.exec_driver_sql("ANALYZE sqlite_master")  # makes the table of the figures
    connection.exec_driver_sql("DELETE FROM sqlite_stat1")
    connection.exec_driver_sql("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", rows)
    connection.exec_driver_sql("ANALYZE sqlite_master")  # reads them


def _figures(index: Index) -> str:
    """All records of an index, then how many are alike in its first column, in its first two, and so on."""
    rows = _ROWS if index.dialect_options["sqlite"]["where"] is None else _SPOOLED_ROWS
    distinct = [_DISTINCT.get(column.name, rows) for column in index.columns]
    alike = [max(1, rows // prod(distinct[:count])) for count in range(1, len(distinct) + 1)]
    return " ".join(map(str, [rows, *alike]))
