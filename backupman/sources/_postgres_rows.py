"""What a drill asks a restored database: how many rows its tables have, and one query of the user's."""

import re
import secrets

from backupman.errors import RestoreError, SourceError
from backupman.manifest import TableRows
from backupman.sources._postgres_server import Server

TABLES = r"""SELECT c.oid, c.oid::regclass::text AS name, c.relkind AS kind,
        c.reltuples AS estimate, c.relpages AS pages,
        c.relpersistence = 'u' AND pg_is_in_recovery() AS hidden
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 1259 AND d.objid = c.oid AND d.deptype = 'e')"""
"""The tables that a dump holds the rows of, or would if nothing were left out; an extension makes its own anew."""

AS_THEY_ARE = """SELECT pg_catalog.set_config('client_encoding', CASE pg_catalog.current_setting('server_encoding')
    WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, false) AS letters \\gset
"""
"""A name in a database without an encoding need not be UTF-8, which the server would demand when it is named to it."""

_NULL = "backupman: null"
_ZEROS = ("--field-separator-zero", "--record-separator-zero")

_COUNT = rf"""{AS_THEY_ARE}BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL search_path = '';
SET LOCAL quote_all_identifiers = off;
SET LOCAL row_security = off;
SET LOCAL statement_timeout = 0;
SELECT format(CASE WHEN kind = 'r' THEN 'SELECT %L, count(*) FROM ONLY %s' ELSE 'SELECT %L, NULL' END, name, name)
    FROM ({TABLES}) tables ORDER BY name \gexec
"""  # noqa: S608 - all of it is ours

_REFUSALS = (
    (r"statement timeout", "takes longer than {timeout:g} s"),
    (r"read-only transaction|cannot open .* query as cursor|DML", "would write, and may only read"),
    (r"multi-query plan", "is not one query"),
)


def count_rows(server: Server, database: str) -> list[TableRows]:
    """Every table, named as regclass shows it, with its rows; None for a partitioned one, whose rows its parts have."""
    values = server.psql(_COUNT, database, *_ZEROS).split("\0")
    pairs = zip(values[::2], values[1::2], strict=False)
    return [TableRows(name=name, rows=int(rows) if rows else None) for name, rows in pairs]


def scalar(server: Server, database: str, sql: str, timeout: float) -> str | None:
    """The first value of what a query answers, None for NULL or no row.

    A cursor takes one query and none that is not a query, whatever stands in the text.

    Raises:
        RestoreError: it would write, is no SQL, or takes too long.
        SourceError: the server cannot be asked.
    """
    tag = f"$q{secrets.token_hex(8)}$"
    script = f"""BEGIN READ ONLY;
SET LOCAL statement_timeout = {max(1, round(timeout * 1000))};
DO {tag[:-1]}o$ DECLARE answer refcursor := 'answer'; BEGIN OPEN answer FOR EXECUTE {tag}{sql}{tag}; END {tag[:-1]}o$;
FETCH 1 FROM answer;
"""
    try:
        said = server.psql(script, database, f"--pset=null={_NULL}", *_ZEROS)
    except SourceError as error:
        raise _explained(server.label, sql, timeout, error) from error
    value = said.split("\0", 1)[0]
    return None if not said or value == _NULL else value


def _explained(label: str, sql: str, timeout: float, error: SourceError) -> SourceError | RestoreError:
    said = re.search(r"psql:<stdin>:\d+: \w+:  (.*)", error.sentence)
    if said is None:
        return error
    why = next((why for pattern, why in _REFUSALS if re.search(pattern, said[1])), f"fails: {said[1]}")
    shown = " ".join(sql.split())[:200]
    return RestoreError(f"{label}: the query {shown!r} {why.format(timeout=timeout)}", permanent=True)
