"""Runs a plain dump by psql, which is told to run nothing but SQL.

A script may hold commands of psql's own, and some of them start programs. Which backslash is one depends on quotes,
settings and encodings, and only psql itself knows for sure; so it is the one that refuses them. `\\restrict` with a key
that the dump cannot know lets it run SQL and the rows of COPY, nothing else, up to the end (CVE-2025-8714). The dump's
own pair of `\\restrict` and `\\unrestrict` is left out, so a dump with them and one without are the same here.
"""

import re
import secrets
from collections.abc import Iterator
from typing import BinaryIO

from backupman.errors import DumpError, SourceError
from backupman.sources import TAIL
from backupman.sources._postgres_said import Said
from backupman.sources._postgres_server import Server
from backupman.sources._process import running

CHUNK = 2**18
DATABASE_END = b"-- PostgreSQL database dump complete"
GLOBALS_END = b"-- PostgreSQL database cluster dump complete"

_RESTRICT = re.compile(rb"\A((?:--[^\n]*\n|\r?\n)*)\\restrict [A-Za-z0-9]+\r?\n")
_UNRESTRICT = re.compile(rb"^\\unrestrict [A-Za-z0-9]+\r?\n((?:--[^\n]*+\n|\s++)*+)\Z", re.MULTILINE)
"""pg_dump writes it behind its trailer, pg_dumpall before."""


_SET = re.compile(rb"\A((?:--[^\n]*+\n|\r?\n|SET [^\n]*+\n)*?)SET transaction_timeout = 0;\r?\n")
KNOWS_ITS_SET = 17
"""Programs of this version and newer begin so, with whatever server; an older one would refuse it."""


def run_script(server: Server, database: str, dump: BinaryIO) -> list[str]:
    """Fill an empty database with a plain dump as one transaction; the warnings of it."""
    said = Said(server.label)
    pieces = statements(server, dump, DATABASE_END)
    if server.major() < KNOWS_ITS_SET:
        pieces = _without_set(pieces)
    options = ("--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose", "--echo-errors", "--single-transaction")
    _feed(server, database, pieces, said, *options)
    return said.warnings()


def run_globals(server: Server, dump: BinaryIO) -> list[str]:
    """Give a server roles and tablespaces; each statement for itself, for some of them may be there already.

    Raises:
        SourceError: one failed; the others were run.
    """
    said = Said(server.label)
    options = ("--set=VERBOSITY=verbose", "--echo-errors")
    _feed(server, server.maintenance_db, statements(server, dump, GLOBALS_END), said, *options)
    if said.failed:
        raise said.error(DumpError(""))
    warnings = said.warnings()
    if there := said.existed():
        warnings.append(
            f"{server.label}: what was there already has its passwords and rights from the dump now: {there}"
        )
    return warnings


def must_know_restrict(server: Server) -> None:
    """Raise SourceError unless psql can be told to run nothing but SQL."""
    try:
        server.psql("\\restrict backupman\n\\unrestrict backupman\n")
    except SourceError as error:
        if "invalid command" not in error.sentence:
            raise
        raise DumpError(
            f"{server.label}: this psql would run commands that somebody has put into a dump (CVE-2025-8714): update "
            "postgresql-client to 13.22, 14.19, 15.14, 16.10, 17.6 or newer",
            permanent=True,
        ) from error


def _feed(server: Server, database: str, statements: Iterator[bytes], said: Said, *options: str) -> None:
    with server.login(database) as login:
        argv = server.psql_argv(login, "--output=/dev/null", *options)
        try:
            with running(server.label, argv, env=login.env, pass_fds=login.pass_fds, fed=True, heard=said.hear) as psql:
                if all(psql.feed(piece) for piece in statements):
                    psql.end_of_input()
                else:
                    psql.wait()
                    raise DumpError(f"{server.label}: psql ended before the dump did")
        except DumpError as error:
            raise said.error(error) from error


def _without_set(pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield next(pieces)  # our own
    for head in pieces:
        yield _SET.sub(rb"\1", head, count=1)
        yield from pieces


def statements(server: Server, dump: BinaryIO, end: bytes) -> Iterator[bytes]:
    """The dump without its own `\\restrict`, below ours; its end is given out only when it is the end of a whole one.

    Raises:
        DumpError: it is cut off.
    """
    yield b"\\restrict %s\nSET client_min_messages = warning;\n" % secrets.token_hex(32).encode()
    held = b""
    while len(held) < TAIL and (chunk := dump.read(CHUNK)):
        held += chunk
    held = _RESTRICT.sub(rb"\1", held, count=1)
    while chunk := dump.read(CHUNK):
        if len(chunk) < TAIL:
            held += chunk
            yield held[:-TAIL]
            held = held[-TAIL:]
        else:
            yield held
            held = chunk
    if end not in held[-TAIL:]:
        raise DumpError(f"{server.label}: the dump is cut off: {end.decode()!r} is not at its end", permanent=True)
    yield _UNRESTRICT.sub(rb"\1", held)
