"""The manifest of a PostgreSQL dump: rows counted in the dump's own snapshot, beside the dump, for a bounded time.

A session of psql begins a transaction and exports its snapshot, which pg_dump imports: what is counted in that session
is what the dump holds (postgresql.org/docs/current/functions-admin.html). Nothing of it can fail a dump.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from backupman.errors import DumpError
from backupman.manifest import Counting, Manifest, TableRows
from backupman.sources import ManifestSettings
from backupman.sources._postgres_client import Login, major
from backupman.sources._postgres_rows import AS_THEY_ARE, TABLES
from backupman.sources._postgres_server import Server
from backupman.sources._process import Tool, environment, output

_ENDED = re.compile(rb"backupman: (\S+)\n\Z")
_PROVIDERS = {"i": "icu", "b": "builtin"}
_ALWAYS = {"roles": ("postgres",), "tablespaces": (), "extensions": ("plpgsql",)}
_GRACE = 5.0

_BEGIN = """SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout',
    'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout');
SET search_path = '';
SET quote_all_identifiers = off;
SET row_security = off;
SET max_parallel_workers_per_gather = 0;
SET lock_timeout = '5s';
"""
_TRANSACTION = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n"
_EXPORT = "SELECT pg_export_snapshot();"

_KNOWN = r"""SELECT json_build_object(
    'database', (SELECT to_jsonb(d) || jsonb_build_object('encoding', pg_encoding_to_char(encoding))
        FROM pg_database d WHERE datname = current_database()),
    'roles', (SELECT json_agg(rolname ORDER BY rolname) FROM pg_roles WHERE rolname NOT LIKE 'pg\_%'
        AND (oid = 10 OR oid IN (SELECT refobjid FROM pg_shdepend WHERE refclassid = 1260
            AND (dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) OR classid = 6100)))),
    'tablespaces', (SELECT json_agg(DISTINCT spcname) FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace
        WHERE spcname <> 'pg_global'),
    'extensions', (SELECT json_object_agg(extname, extversion) FROM pg_extension));
"""
"""Roles by what they own; 6100 are subscriptions, also of other databases: their table came with PostgreSQL 10."""

_LISTED = f"SELECT json_agg(tables) FROM ({TABLES} ORDER BY pages, name) tables;"  # noqa: S608 - all of it is ours

_COUNT = """SAVEPOINT counting; SET LOCAL statement_timeout = {milliseconds};
SELECT format('SELECT count(*) FROM ONLY %s', {oid}::oid::regclass) \\gexec
"""
_COUNTED = "ROLLBACK TO SAVEPOINT counting;\n"


class _Ended(Exception):
    """The session is gone."""


class _Session:
    """psql, to which script after script is said, each answered."""

    def __init__(self, server: Server, login: Login) -> None:
        argv = server.psql_argv(login, "--record-separator-zero")
        env = {**login.env, "PGCLIENTENCODING": "UTF8"}
        self._tool = Tool(server.label, argv, env=env, pass_fds=login.pass_fds, fed=True)

    def say(self, script: str) -> list[str] | None:
        """The first columns of what a script answers, None if its last statement failed. Raises _Ended."""
        if not self._tool.feed(f"{script}\n\\echo 'backupman:' :ERROR\n".encode()):
            raise _Ended
        answer = b""
        while not (ended := _ENDED.search(answer[-40:])):
            chunk = self._tool.stdout.read(2**16)
            if not chunk:
                raise _Ended
            answer += chunk
        text = answer[: -len(ended[0])].decode(errors="replace")
        return None if ended[1] == b"true" else [value for value in text.split("\0") if value]

    def last_words(self) -> str:
        """What it said last on standard error."""
        return " ".join(self._tool.stderr().split()[-60:])

    def terminate(self) -> None:
        """Let whoever waits for an answer get none."""
        self._tool.terminate()

    def end(self) -> None:
        """End it, and with it the transaction."""
        self._tool.end()


class Census:
    """What is learned of a database while it is dumped: `facts` and `snapshot` at once, the manifest at the end."""

    def __init__(self, label: str, rows: Counting, seconds: float, *, all_rows: bool) -> None:
        self._label = label
        self._rows = rows if all_rows or rows == "none" else "estimate"
        self._all_rows = all_rows
        self._deadline = time.monotonic() + seconds
        self._tables: dict[int, dict[str, Any]] = {}
        self._counts: dict[int, int] = {}
        self._counter: Thread | None = None
        self._session: _Session | None = None
        self._extensions: dict[str, str] = {}
        self.facts: dict[str, str] = {}
        self.snapshot: str | None = None
        """What pg_dump is to import; None where there is none."""
        self.warnings: list[str] = []
        self.listed = False
        """Whether all tables are known."""

    def begin(self, session: _Session, *, shares: bool) -> None:
        """Ask what is asked once."""
        self._session = session
        try:
            self._ask(session, shares=shares)
        except _Ended:
            self.warn(session.last_words() or "the session ended")
        if not self.snapshot and self._rows != "exact":
            self.end()

    def _ask(self, session: _Session, *, shares: bool) -> None:
        if known := session.say(AS_THEY_ARE + _BEGIN + _TRANSACTION + _KNOWN):
            self._knows(json.loads(known[-1]))
        if self._rows == "none":
            return
        listed = session.say(_LISTED)
        if listed is None:
            self.warn(session.last_words())
            return
        tables = json.loads(listed[0]) if listed else []
        self._tables = {int(table["oid"]): table for table in tables or []}
        self.listed = True
        if self._rows == "exact" and shares:
            exported = session.say(_EXPORT)
            self.snapshot = exported[0] if exported else None
            if not exported:  # some standbys cannot
                session.say("ROLLBACK;\n" + _TRANSACTION)

    @property
    def lists(self) -> bool:
        """Whether there are tables to tell of."""
        return bool(self._tables)

    def only(self, oids: set[int]) -> None:
        """Leave out the tables that are not in the dump."""
        self._tables = {oid: table for oid, table in self._tables.items() if oid in oids}

    def count(self) -> None:
        """Begin to count, beside the dump."""
        if self._tables and self._rows == "exact":
            self._counter = Thread(target=self._count, name="census", daemon=True)
            self._counter.start()

    def manifest(self, provider: str, facts: dict[str, str]) -> Manifest:
        """What is known when the dump has ended, which waits for what is still counted."""
        if self._counter:
            self._counter.join(max(0.0, self._deadline - time.monotonic()) + _GRACE)
        tables = [self._counted(oid, table) for oid, table in sorted(self._tables.items())]
        return Manifest(
            provider=provider,
            facts=facts,
            extensions=self._extensions,
            restorable_by=str(major(facts["tool_version"])),
            same_snapshot=self.snapshot is not None,
            tables=sorted(tables, key=lambda table: table.name),
        )

    def end(self) -> None:
        """End the session, whatever it is doing."""
        if self._session:
            self._session.terminate()
            if self._counter:
                self._counter.join()
            self._session.end()
            self._session = None

    def _knows(self, known: dict[str, Any]) -> None:
        database = known["database"]
        self._extensions = known["extensions"] or {}
        facts = {
            "encoding": database["encoding"],
            "collate": database["datcollate"],
            "ctype": database["datctype"],
            "locale_provider": _PROVIDERS.get(database.get("datlocprovider", "c")),
            "locale": database.get("datlocale") or database.get("daticulocale"),
            "icu_rules": database.get("daticurules"),
        }
        # A throwaway server has to have them before the dump is restored.
        for name, expected in _ALWAYS.items():
            there = [each for each in known[name] or [] if each not in expected]
            facts[name] = json.dumps(there, ensure_ascii=False) if there else None
        self.facts = {name: value for name, value in facts.items() if value}

    def _count(self) -> None:
        """The small ones first, so that as many as can be are exact."""
        assert self._session  # noqa: S101 - begun before
        failed = ""
        try:
            for oid, table in self._tables.items():
                left = round((self._deadline - time.monotonic()) * 1000)
                if left <= 0:
                    break
                if table["kind"] == "r" and not table["hidden"]:
                    answer = self._session.say(_COUNT.format(oid=oid, milliseconds=left))
                    self._session.say(_COUNTED)
                    if answer:
                        self._counts[oid] = int(answer[0])
                    elif not failed and time.monotonic() < self._deadline:
                        failed = f"{table['name']}: {self._session.last_words()}"
        except _Ended:
            failed = failed or self._session.last_words() or "the session ended"
        if failed:
            self.warn(failed)

    def _counted(self, oid: int, table: dict[str, Any]) -> TableRows:
        if table["kind"] != "r" or table["hidden"] or not self._all_rows:
            return TableRows(name=table["name"], rows=None)
        if oid in self._counts:
            return TableRows(name=table["name"], rows=self._counts[oid])
        unknown = table["estimate"] < 0 or not table["pages"]  # never vacuumed, never analyzed
        return TableRows(name=table["name"], rows=None if unknown else round(table["estimate"]), exact=False)

    def warn(self, why: str) -> None:
        """Say that there are no counts."""
        self.warnings.append(f"{self._label}: the rows were not counted: {why}")


@contextmanager
def census(
    server: Server, login: Login, settings: ManifestSettings, *, shares: bool, all_rows: bool
) -> Iterator[Census]:
    """What is learned of a database while the `with` lasts.

    `shares`: whether pg_dump may be given a snapshot; `all_rows`: whether the dump holds all rows of its tables.
    """
    taken = Census(server.label, settings.rows, settings.timeout.total_seconds(), all_rows=all_rows)
    try:
        try:
            taken.begin(_Session(server, login), shares=shares)
        except DumpError as error:
            taken.warn(error.sentence)
        yield taken
    finally:
        taken.end()


def dumped_tables(label: str, argv: list[str], login: Login, pg_restore: Path, folder: Path) -> set[int]:
    """The oids of the tables that pg_dump picks by its arguments.

    Raises:
        SourceError: pg_dump cannot say.
    """
    place = folder / "selection"
    options = ["--schema-only", "--format=custom", "--compress=0", f"--file={place}"]
    try:
        output(label, [*argv, *options], env=login.env, pass_fds=login.pass_fds, timeout=None)
        listed = output(label, [str(pg_restore), "--list", str(place)], env=environment(), timeout=None)
    finally:
        place.unlink(missing_ok=True)
    return {int(oid) for oid in re.findall(r"^\d+; 1259 (\d+) TABLE ", listed, re.MULTILINE)}
