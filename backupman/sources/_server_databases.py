"""A server's databases: which are dumped where `databases: all` is said, and what tells the server from others."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from backupman.errors import SourceError
from backupman.sources import GLOBALS


def server_of(kind: str, host: str, port: int, socket: Path | None) -> str:
    """The server's name; those of this machine have one for each port, however they are reached."""
    here = socket is not None or host in ("localhost", "127.0.0.1", "::1")
    return f"{kind}://{'localhost' if here else host}:{port}"


def named_by(db_name: str | None, databases: Literal["all"] | Sequence[str] | None) -> list[str] | None:
    """The databases that a source's settings name, GLOBALS last; None where they say `all`."""
    if databases is None:
        return [db_name or ""]
    return None if databases == "all" else sorted(dict.fromkeys(databases), key=lambda name: name == GLOBALS)


def without(label: str, there: Iterable[str], exclude: Sequence[str]) -> list[str]:
    """The names of those that are `there` and match no pattern of `exclude`, and GLOBALS last.

    Raises:
        SourceError: none is left, or one has the name of GLOBALS itself.
    """
    names = sorted(there)
    if GLOBALS in names:
        raise SourceError(
            f"{label}: a database has the name {GLOBALS}, which stands for roles and accounts here: rename it, or list "
            "the others under databases",
            permanent=True,
        )
    kept = [name for name in [*names, GLOBALS] if not any(fnmatchcase(name, pattern) for pattern in exclude)]
    if not kept:
        raise SourceError(f"{label}: exclude leaves none of the databases {', '.join(names)}", permanent=True)
    return kept
