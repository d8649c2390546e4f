"""A throwaway PostgreSQL server for a drill, made of the local binaries, with what dumps of an origin need."""

import json
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from backupman.errors import RestoreError, SourceError
from backupman.sources import Origin
from backupman.sources._postgres_client import PLACES, logged_in, major, version_of
from backupman.sources._postgres_server import Server, literal, name
from backupman.sources._scratch import Home, home

_USER = "backupman_drill"
"""No role that a dump of all roles is likely to take superuser's rights from."""
_ALWAYS = "postgres"
"""The role that no dump tells of (see the manifest), and the first superuser where it tells of no other."""
_PORT = 5432
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": _PORT,
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",  # what is copied into a new table needs no log then
    "max_wal_senders": 0,
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "maintenance_work_mem": "64MB",
    "dynamic_shared_memory_type": "mmap",  # nothing outside of its folder
    "restart_after_crash": "off",
    "jit": "off",
}

_TRIGGERS_ON_LOGIN = 17


@contextmanager
def scratch_server(label: str, folder: Path, origin: Origin) -> Iterator[dict[str, object]]:
    """A server while the `with` lasts, as the settings of a source that reaches it.

    Raises:
        RestoreError: its programs are missing or too old, it does not start, or an extension is missing.
    """
    programs = _programs(label, origin)
    # From PostgreSQL 16 on `GRANT … GRANTED BY` takes nobody else for what superusers have granted.
    first = origin.facts.get("superuser", _ALWAYS)
    with home(label, folder, (_ALWAYS, "nobody")) as place:
        data = place.path / "data"
        place.run(
            *(programs / "initdb", "--no-sync", f"--pgdata={data}", f"--username={first}"),
            *("--auth=trust", "--encoding=UTF8", "--locale=C"),  # its socket is in a folder that is its own
        )
        settings = {**_SETTINGS, "unix_socket_directories": place.path}
        if major(version_of(label, programs / "postgres")) >= _TRIGGERS_ON_LOGIN:
            settings["event_triggers"] = "off"  # or whoever looks would be noted in what he counts
        argv: list[str | Path] = [
            programs / "postgres",
            "-D",
            data,
            *(f"--{key}={value}" for key, value in settings.items()),
        ]
        with place.serving(argv, lambda: _is_ready(data), signal.SIGQUIT):
            tools = {"tool_path": programs} if _reads(label, programs, origin) else {}  # else the newest installed
            _prepare(label, place, tools.get("tool_path"), origin, first)
            yield {"socket": place.path, "port": _PORT, "user": _USER, "databases": "all", **tools}


def _programs(label: str, origin: Origin) -> Path:
    """The folder of the newest server that is installed, if it is new enough."""
    wanted = major(origin.facts.get("server_version", ""))
    folders = {path.parent for pattern in PLACES for path in Path("/").glob(f"{pattern[1:]}/initdb")}
    if on_path := shutil.which("initdb"):
        folders.add(Path(on_path).resolve().parent)
    versions = {}
    for folder in folders:
        with suppress(SourceError):
            versions[folder] = major(version_of(label, folder / "postgres"))
    package = f"postgresql-{wanted}" if wanted else "postgresql"
    if not versions:
        raise RestoreError(
            f"{label}: PostgreSQL's server programs (initdb, postgres) are not installed, and a drill needs them: "
            f"install them (Debian: {package}), or name a server in scratch_server",
            permanent=True,
        )
    newest = max(versions, key=lambda folder: versions[folder])
    if versions[newest] < wanted:
        raise RestoreError(
            f"{label}: the dump is of PostgreSQL {wanted}, and the newest server installed here is {versions[newest]}: "
            f"install {package} or newer, or name a server in scratch_server",
            permanent=True,
        )
    return newest


def _reads(label: str, programs: Path, origin: Origin) -> bool:
    """Whether the programs beside a server's are new enough for the pg_dump that made a dump."""
    with suppress(SourceError):
        return major(version_of(label, programs / "psql")) >= major(origin.facts.get("tool_version", ""))
    return False


def _is_ready(data: Path) -> bool:
    """Whether the server says so in the eighth line of its own file (miscadmin.h)."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    except (OSError, IndexError):
        return False


def _prepare(label: str, place: Home, tool_path: Path | None, origin: Origin, first: str) -> None:
    """Give the server the roles and tablespaces that the dump names, and see whether it has the extensions."""
    where = {"host": place.path, "port": _PORT, "user": first}
    server = Server(label, "postgres", tool_path, lambda database: logged_in({**where, "dbname": database}, ""))
    roles, spaces, extensions = (_listed(origin, fact) for fact in ("roles", "tablespaces", "extensions"))
    try:
        there = set(server.ask("SELECT name FROM pg_available_extensions"))
        if missing := [extension for extension in extensions if extension not in there]:
            raise RestoreError(
                f"{label}: the dump needs the extensions {', '.join(missing)}, which are not installed here: install "
                "their packages, or name a server in scratch_server",
                permanent=True,
            )
        script = [] if first == _USER else [f"CREATE ROLE {name(_USER)} SUPERUSER LOGIN;"]
        script += [f"CREATE ROLE {name(role)} SUPERUSER;" for role in {_ALWAYS, *roles} - {_USER, first}]
        for number, space in enumerate(spaces):
            location = place.folder(f"tablespace_{number}")
            script.append(f"CREATE TABLESPACE {name(space)} LOCATION {literal(str(location))};")
        if script:
            server.psql("\n".join(script))
    except SourceError as error:
        raise RestoreError(error.sentence) from error


def _listed(origin: Origin, fact: str) -> Sequence[str]:
    """Names in a fact of the dump; none in a dump that is older than the fact."""
    names: list[str] = json.loads(origin.facts.get(fact, "[]"))
    return names
