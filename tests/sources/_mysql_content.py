"""Everything that stands in a MySQL or MariaDB database, as the server itself tells it, so that two can be compared."""

from collections.abc import Sequence
from typing import Any

from pymysql.connections import Connection
from pymysql.cursors import Cursor

_ROUTINES = "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s"
_OBJECTS = {
    "TRIGGER": "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s",
    "EVENT": "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s",
    **{
        kind: f"{_ROUTINES} AND ROUTINE_TYPE = '{kind}'"
        for kind in ("FUNCTION", "PROCEDURE", "PACKAGE", "PACKAGE BODY")
    },
}
_UNLIKE = ("Created",)


def content(connection: "Connection[Cursor]", database: str) -> dict[str, Any]:
    """Every row and every definition, by kind and name; a name of the database in a definition becomes `db`."""
    with connection.cursor() as cursor:
        # A zone of no use to anybody: what depends on the session's zone shows itself.
        cursor.execute("SET SESSION sql_mode = '', time_zone = '-03:15'")
        cursor.execute(f"USE {quoted(database)}")
        found: dict[str, Any] = {}
        cursor.execute("SHOW FULL TABLES")
        for name, kind in cursor.fetchall():
            found[f"{kind} {name}"] = _definition(cursor, "VIEW" if kind == "VIEW" else "TABLE", name, database)
            cursor.execute(f"SELECT {_columns(cursor, name)} FROM {quoted(name)}")
            found[f"rows of {name}"] = sorted(cursor.fetchall(), key=repr)
        for kind, query in _OBJECTS.items():
            cursor.execute(query, (database,))
            for (name,) in cursor.fetchall():
                found[f"{kind} {name}"] = _definition(cursor, kind, name, database)
        return found


def _columns(cursor: Cursor, table: str) -> str:
    """All columns, the invisible ones too."""
    cursor.execute(f"SHOW COLUMNS FROM {quoted(table)}")
    return ", ".join(quoted(row[0]) for row in cursor.fetchall())


def _definition(cursor: Cursor, kind: str, name: str, database: str) -> Sequence[Any]:
    cursor.execute(f"SHOW CREATE {kind} {quoted(name)}")
    titles = [column[0] for column in cursor.description or ()]
    row = cursor.fetchone() or ()
    return [
        value.replace(quoted(database), "`db`") if isinstance(value, str) else value
        for title, value in zip(titles, row, strict=True)
        if title not in _UNLIKE
    ]


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
