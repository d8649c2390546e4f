"""Brings a dump back into a PostgreSQL server: plain SQL by psql, archives by pg_restore.

A new database is dropped again unless all went well; one that is replaced stays as it is until the new one is whole.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from backupman.errors import BackupmanError, DumpError, RestoreError
from backupman.sources import GLOBALS, Origin, Target
from backupman.sources._postgres_client import major, version_of
from backupman.sources._postgres_pg_restore import inspect_archive, restore_archive, selection
from backupman.sources._postgres_script import (
    DATABASE_END,
    GLOBALS_END,
    must_know_restrict,
    run_globals,
    run_script,
    statements,
)
from backupman.sources._postgres_server import Server
from backupman.sources._postgres_traits import take_over

PLAIN = ".sql"
_LONGEST_NAME = 63
"""Bytes; https://www.postgresql.org/docs/current/sql-syntax-lexical.html."""


def restore(server: Server, dump: BinaryIO, origin: Origin, target: Target, folder: Path) -> list[str]:
    """Fill a database, or the server's roles and tablespaces, with a dump; the warnings of it.

    Raises:
        RestoreError: before the first statement, because it cannot work.
        SourceError: the server or its client refuses.
    """
    if GLOBALS in (target.database, origin.database):
        if target.database != origin.database:
            raise _refused(
                server, f"roles and tablespaces go with the whole server: {GLOBALS} is restored as {GLOBALS}"
            )
        with _of_the_machine(target):
            must_know_restrict(server)
        return run_globals(server, dump)
    with _of_the_machine(target):
        _must_fit(server, origin, target)
    there = server.exists(target.database)
    if there and not target.overwrite:
        raise _refused(server, f"the database {target.database} is there already, and nothing was changed")
    if not there:
        warnings = server.create(target.database, origin.facts)
        with server.dropped_unless_whole(target.database):
            warnings += _fill(server, target.database, dump, origin, target, folder)
            if not (target.tables or target.drill):  # it may take the old one's name when it has been looked at
                warnings += take_over(server, origin.database, target.database)
            return warnings
    # It keeps its owner, its rights and settings, and what the dump does not say of its encoding and locale.
    traits = {**server.traits(target.database), **origin.facts}
    warnings = []
    with server.replacing(target.database, warnings) as new:
        warnings += server.create(new, traits)
        warnings += _fill(server, new, dump, origin, target, folder)
        warnings += take_over(server, target.database, new)
    return warnings


@contextmanager
def _of_the_machine(target: Target) -> Iterator[None]:
    """What is too old here for a dump says nothing of the dump: no drill may call its copy bad for that."""
    try:
        yield
    except (DumpError, RestoreError) as error:
        if target.drill:
            raise BackupmanError(error.sentence, permanent=error.permanent) from error
        raise


def inspect(server: Server, dump: BinaryIO, origin: Origin, folder: Path) -> None:
    """Read a stored dump to its end: whether pg_restore can read all of it, or whether plain SQL has its end.

    Raises:
        DumpError: it is not whole, or pg_restore is missing.
        BackupmanError: pg_restore is too old for it, which says nothing of the dump.
    """
    if origin.suffix == PLAIN:
        for _ in statements(server, dump, GLOBALS_END if origin.database == GLOBALS else DATABASE_END):
            pass
        return
    try:
        inspect_archive(server, dump, origin.suffix, folder)
    except RestoreError as error:
        if too_old := _too_old(server, origin):
            raise BackupmanError(f"{server.label}: {too_old}", permanent=True) from error
        raise


def _fill(server: Server, database: str, dump: BinaryIO, origin: Origin, target: Target, folder: Path) -> list[str]:
    if origin.suffix == PLAIN:
        return run_script(server, database, dump)
    return restore_archive(server, database, dump, origin.suffix, target, folder)


def _must_fit(server: Server, origin: Origin, target: Target) -> None:
    """Refuse what the server or its client is too old for, the format too simple, and a name too long."""
    if len(target.database.encode()) > _LONGEST_NAME:
        raise _refused(
            server, f"PostgreSQL keeps {_LONGEST_NAME} bytes of a name, and {target.database} is longer: shorten it"
        )
    of, here = major(origin.facts.get("server_version", "")), server.major()
    if of > here:
        raise _refused(server, f"the dump is of PostgreSQL {of}, and the server is {here}: restore into {of} or newer")
    if origin.suffix == PLAIN:
        if target.tables:
            raise _refused(server, "no single table can be picked out of plain SQL: restore all, under another name")
        must_know_restrict(server)
        return
    selection(server.label, target.tables)
    if too_old := _too_old(server, origin):
        raise _refused(server, too_old)


def _too_old(server: Server, origin: Origin) -> str:
    """What to say where pg_restore is older than the pg_dump of an archive; nothing where it is not."""
    by, client = major(origin.facts.get("tool_version", "")), version_of(server.label, server.program("pg_restore"))
    if by <= major(client):
        return ""
    return f"pg_dump {by} made the dump, and pg_restore is {client}: install postgresql-client-{by}"


def _refused(server: Server, why: str) -> RestoreError:
    return RestoreError(f"{server.label}: {why}", permanent=True)
