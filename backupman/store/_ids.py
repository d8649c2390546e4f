"""Finds records by the beginning of their ids, as people type them."""

from typing import Any

from sqlalchemy import ColumnElement, and_

_AFTER_HEX = "g"


def begins(column: Any, typed: str) -> ColumnElement[bool]:
    """Whether an id, which is lower-case hex, begins with what was typed; a condition that an index can follow.

    LIKE alone would read every id in SQLite, where it ignores case.
    """
    start = typed.lower()
    return and_(column >= start, column < start + _AFTER_HEX, column.startswith(start, autoescape=True))
