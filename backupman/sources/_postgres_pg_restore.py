"""Runs pg_restore on a stored archive: into a database, or just to read it through."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from backupman.errors import DumpError, RestoreError
from backupman.sources import Dump, Target
from backupman.sources._postgres_archive import CUSTOM_END
from backupman.sources._postgres_client import Login, major, version_of
from backupman.sources._postgres_directory import unpack
from backupman.sources._postgres_said import Said
from backupman.sources._postgres_script import KNOWS_ITS_SET, must_know_restrict, run_script
from backupman.sources._postgres_server import Server, name
from backupman.sources._process import environment, running

CHUNK = 2**18
DIRECTORY = ".tar"

_ENDING_SECONDS = 5.0
_NAME = r'(?:"(?:[^"]|"")+"|[^".]+)'
_TABLE = re.compile(rf"(?:(?P<schema>{_NAME})\.)?(?P<table>{_NAME})")
_PARTITIONED = "SELECT oid::regclass FROM pg_class WHERE relkind = 'p' ORDER BY 1"


def restore_archive(
    server: Server, database: str, dump: BinaryIO, suffix: str, target: Target, folder: Path
) -> list[str]:
    """Fill an empty database with an archive; the warnings of it.

    It is one transaction, unless several `jobs` share the work. Where the server is too old for what pg_restore says
    first, it is read as plain SQL, one table after the other.

    Raises:
        RestoreError: `target.tables` cannot be picked out.
        SourceError: pg_restore has failed.
    """
    said = Said(server.label)
    warnings = []
    jobs = target.jobs or 1
    pg_restore = server.program("pg_restore")
    as_script = server.major() < KNOWS_ITS_SET <= major(version_of(server.label, pg_restore))
    argv = [str(pg_restore)]
    if not as_script:
        argv += ["--no-password", "--exit-on-error"]
        argv += ["--single-transaction"] if jobs == 1 else [f"--jobs={jobs}"]
    if target.tables:
        schema, chosen = selection(server.label, target.tables)
        argv += ["--strict-names", *chosen]
        warnings.append(
            f"{server.label}: of single tables come the columns and rows, and no index, key, trigger or right"
        )
        if schema:
            server.psql(f"CREATE SCHEMA IF NOT EXISTS {name(schema)};", database)
    place = _on_disk(server.label, dump, suffix, 2 if as_script else jobs, folder)
    if as_script:
        warnings += _run_as_script(server, database, [*argv, "--file=-", str(place)], said)
    else:
        with server.login(database) as login:
            _run(server.label, [*argv, f"--dbname={login.conninfo}"], dump, place, login, said)
    if target.tables and (empty := server.ask(_PARTITIONED, database)):
        warnings.append(
            f"{server.label}: {', '.join(empty)} came without rows, which are in the partitions: restore those too, "
            "each of which comes as a table of its own"
        )
    return warnings + said.warnings()


def inspect_archive(server: Server, dump: BinaryIO, suffix: str, folder: Path) -> None:
    """Read an archive to its end, as pg_restore would for a restore.

    Raises:
        DumpError: pg_restore cannot read all of it, or it is cut off.
    """
    place = _on_disk(server.label, dump, suffix, 1, folder)
    argv = [str(server.program("pg_restore")), "--file=/dev/null"]
    nobody = Login("", environment({"LC_ALL": "C"}), ())
    _run(server.label, argv, dump, place, nobody, Said(server.label))


def selection(label: str, tables: Sequence[str]) -> tuple[str, list[str]]:
    """The schema that all tables are in, empty when none is named, and pg_restore's options for them.

    Raises:
        RestoreError: they are in several schemas, or one is no name.
    """
    found = [_TABLE.fullmatch(table) for table in tables]
    if not all(found):
        raise RestoreError(f"{label}: write tables as schema.table or table: {', '.join(tables)}", permanent=True)
    schemas = {_unquoted(table["schema"] or "") for table in found if table}
    if len(schemas) > 1:
        raise RestoreError(f"{label}: give the tables of one schema at a time: {', '.join(tables)}", permanent=True)
    schema = schemas.pop() if schemas else ""
    options = [f"--schema={schema}"] if schema else []
    return schema, options + [f"--table={_unquoted(table['table'])}" for table in found if table]


def _unquoted(text: str) -> str:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text


def _on_disk(label: str, dump: BinaryIO, suffix: str, jobs: int, folder: Path) -> Path | None:
    """Where pg_restore finds the archive, None when it reads it from its standard input: one that has no choice."""
    if suffix == DIRECTORY:
        return unpack(label, dump, folder)
    if jobs == 1:
        return None
    place = folder / "archive"
    seen = Dump(dump)
    try:
        with place.open("wb") as file:
            while chunk := dump.read(CHUNK):
                seen.saw(chunk)
                file.write(chunk)
    except OSError as error:
        raise DumpError(f"{label}: the dump cannot be written to {folder}: {error.strerror}") from error
    _must_be_whole(label, seen)
    return place


def _run(label: str, argv: list[str], dump: BinaryIO, place: Path | None, login: Login, said: Said) -> None:
    """Run pg_restore on a place or on the stream, which is read to its end in any case."""
    argv = [*argv, str(place)] if place else argv
    try:
        with running(
            label, argv, env=login.env, pass_fds=login.pass_fds, fed=place is None, heard=said.hear
        ) as pg_restore:
            if place:
                return
            seen, wanted = Dump(dump), True
            while chunk := dump.read(CHUNK):
                seen.saw(chunk)
                if wanted and not pg_restore.feed(chunk):
                    pg_restore.wait()
                    wanted = False
            _must_be_whole(label, seen)
            pg_restore.end_of_input()
    except DumpError as error:
        raise said.error(error) from error


def _run_as_script(server: Server, database: str, argv: list[str], said: Said) -> list[str]:
    must_know_restrict(server)
    try:
        with running(server.label, argv, env=environment({"LC_ALL": "C"}), heard=said.hear) as pg_restore:
            try:
                return run_script(server, database, pg_restore.stdout)
            except DumpError:
                pg_restore.ended(_ENDING_SECONDS)  # where it was cut off because pg_restore has failed, that is why
                raise
    except DumpError as error:
        raise said.error(error) from error


def _must_be_whole(label: str, seen: Dump) -> None:
    if not seen.tail.endswith(CUSTOM_END):
        raise DumpError(f"{label}: the dump is cut off: it has not the last bytes of a whole one", permanent=True)
