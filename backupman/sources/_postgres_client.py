"""Finds the programs of PostgreSQL, and lets them in: where to connect, and the password out of sight."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from backupman.errors import SourceError
from backupman.sources._process import descriptor, environment, find_tool, output, secret_file

PACKAGE = "postgresql-client"

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/postgresql*/bin")
"""Where Debian, Red Hat (of postgresql.org), Alpine and others keep the programs of each version."""

_CHOOSER = "pg_wrapper"
"""What Debian has on the PATH: it starts one of those programs, and takes longer to start than they do."""

_CONNECT_SECONDS = 30


def find_program(label: str, name: str, tool_path: Path | None) -> Path:
    """One of PostgreSQL's programs: `tool_path` if it is pg_dump's own, else beside it, else the newest there is.

    Newest, because pg_dump reads from older servers and refuses newer ones; Debian's own choice on the PATH goes by
    the local cluster instead.

    Raises:
        DumpError: it is not installed.
    """
    if tool_path is None:
        return find_tool(label, (name,), _newest_folder(label), PACKAGE)
    if os.access(tool_path, os.F_OK) and tool_path.is_file() and name != "pg_dump":
        tool_path = tool_path.parent
    return find_tool(label, (name,), tool_path, PACKAGE)


def version_of(label: str, program: Path) -> str:
    """The version of a program, for example `15.18`.

    Raises:
        SourceError: it cannot be run.
    """
    said = output(label, [str(program), "--version"])
    found = re.search(r"\) (\S+)", said)
    return found[1] if found else said.strip()


def major(version: str) -> int:
    """The first number of a version: `15.18` and `15devel` are 15."""
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0


@cache
def _newest_folder(label: str) -> Path | None:
    """The folder of the newest pg_dump, None where there is none."""
    folders = [folder for pattern in PLACES for folder in Path("/").glob(pattern[1:]) if (folder / "pg_dump").exists()]
    on_path = shutil.which("pg_dump")
    if on_path and Path(on_path).resolve().name != _CHOOSER:
        folders.append(Path(on_path).parent)
    if len(folders) < 2:
        return folders[0] if folders else None
    versions: dict[Path, tuple[int, ...]] = {}
    for folder in folders:
        with suppress(SourceError):
            versions[folder] = tuple(map(int, re.findall(r"\d+", version_of(label, folder / "pg_dump"))))
    return max(versions, key=lambda folder: versions[folder], default=None)


@dataclass(frozen=True)
class Login:
    """How a program connects: `conninfo` for its arguments, `env` and `pass_fds` for its process."""

    conninfo: str
    env: dict[str, str]
    pass_fds: tuple[int, ...]


@contextmanager
def logged_in(parameters: Mapping[str, object], password: str) -> Iterator[Login]:
    """A login while the `with` lasts; parameters are libpq's own (postgresql.org/docs/current/libpq-connect.html).

    The password is in a file that exists in memory only. Without one, libpq looks into ~/.pgpass as usual.
    """
    words = {"connect_timeout": _CONNECT_SECONDS, "keepalives_idle": 60, **parameters}
    conninfo = " ".join(f"{name}={_quoted(str(value))}" for name, value in words.items() if value is not None)
    # In English for the table of errors; nothing of PG* is inherited.
    env = environment({"LC_ALL": "C", "PGAPPNAME": "backupman"})
    if not password:
        yield Login(conninfo, env, ())
        return
    with secret_file(f"*:*:*:*:{_escaped(password)}\n") as path:
        yield Login(conninfo, {**env, "PGPASSFILE": path}, (descriptor(path),))


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _escaped(password: str) -> str:
    return password.replace("\\", "\\\\").replace(":", "\\:")
