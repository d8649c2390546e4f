"""A throwaway MariaDB or MySQL server for a drill, made of the local binaries, on a socket only."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from backupman.errors import RestoreError
from backupman.sources import Origin
from backupman.sources._mysql_grants import account, quoted
from backupman.sources._mysql_restore import as_restore_error
from backupman.sources._mysql_server import Flavour, MysqlServer
from backupman.sources._process import output
from backupman.sources._scratch import home

_ACCOUNTS = ("mysql", "nobody")
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/libexec", "/usr/local/mysql/bin")
"""Where servers lie that are not on the PATH of an ordinary account."""

_SERVERS: dict[Flavour, tuple[str, ...]] = {"MariaDB": ("mariadbd", "mysqld"), "MySQL": ("mysqld",)}
_INSTALLERS = ("mariadb-install-db", "mysql_install_db")
_PACKAGES: dict[Flavour, str] = {"MariaDB": "mariadb-server-core", "MySQL": "mysql-server-core"}

_SETTINGS = (
    "--skip-networking",
    "--event-scheduler=OFF",  # events of the dump must not run
    "--local-infile=0",
    "--skip-log-bin",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=64M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--max-allowed-packet=1G",
    "--max-connections=20",
)
_ONLY: dict[Flavour, tuple[str, ...]] = {
    "MariaDB": (
        "--skip-slave-start",
        "--innodb-log-file-size=64M",
        "--skip-symbolic-links",  # DATA DIRECTORY of a table is a folder of another server
    ),
    "MySQL": (
        "--loose-mysqlx=OFF",  # which 5.7 does not know
        "--loose-mysql-native-password=ON",  # which 8.4 has, and asks to be told to use
    ),
}


@contextmanager
def scratch_server(label: str, tool_path: Path | None, folder: Path, origin: Origin) -> Iterator[dict[str, object]]:
    """A server while the `with` lasts, as the settings of a source that reaches it.

    Raises:
        RestoreError: its programs are missing, or it does not start.
    """
    flavour: Flavour = "MySQL" if origin.facts.get("server") == "MySQL" else "MariaDB"
    with as_restore_error():
        server = _program(label, tool_path, flavour)
    with home(label, folder, _ACCOUNTS) as place:
        data, files, path = place.folder("data"), place.folder("files"), place.path / "socket"
        places = [f"--datadir={data}", f"--tmpdir={place.folder('tmp')}"]
        if flavour == "MariaDB":
            places.append(f"--secure-file-priv={files}")
            installer = _found(_INSTALLERS, server.parent, tool_path)
            if installer is None:
                raise _missing(label, _INSTALLERS[0], flavour)
            unlocked = ("--auth-root-authentication-method=normal", "--skip-test-db")  # in a folder of its own
            place.run(
                installer, "--no-defaults", *places, *unlocked, "--skip-name-resolve", "--innodb-log-file-size=64M"
            )
        else:
            places.append("--secure-file-priv=NULL")
            place.run(server, "--no-defaults", *places, "--initialize-insecure", "--skip-log-bin")
        argv: list[str | Path] = [
            server,
            "--no-defaults",
            *places,
            f"--socket={path}",
            f"--pid-file={place.path / 'pid'}",
        ]
        with place.serving([*argv, *_SETTINGS, *_ONLY[flavour]], lambda: _answers(path), signal.SIGKILL):
            yield {"socket": str(path), "user": "root", "databases": "all"}


def prepare(server: MysqlServer, origin: Origin) -> None:
    """Give the server the accounts that the dump's views and routines run as, or they could not be read, and what the
    accounts of the dump need.
    """
    with as_restore_error(), server.session() as session:
        for plugin, library in json.loads(origin.facts.get("plugins", "{}")).items():
            with suppress(session.connection.Error):  # it is there already, or an account that needs it will say so
                session.rows(f"INSTALL PLUGIN {quoted(plugin)} SONAME %s", library)
        if origin.facts.get("partial_revokes") == "ON":
            session.rows("SET GLOBAL partial_revokes = ON")
        for name in json.loads(origin.facts.get("definers", "[]")):
            session.rows(f"CREATE USER IF NOT EXISTS {account(name)}")
            session.rows(f"GRANT ALL ON *.* TO {account(name)}")


def _program(label: str, tool_path: Path | None, flavour: Flavour) -> Path:
    """The server's program, which must be of the dump's own make."""
    for name in _SERVERS[flavour]:
        found = _found((name,), None, tool_path)
        if found and ("MariaDB" in output(label, [str(found), "--no-defaults", "--version"])) == (flavour == "MariaDB"):
            return found
    raise _missing(label, _SERVERS[flavour][0], flavour)


def _found(names: Sequence[str], beside: Path | None, tool_path: Path | None) -> Path | None:
    folder = tool_path.parent if tool_path and tool_path.is_file() else tool_path
    own = [folder, folder.parent / "sbin", folder.parent / "scripts"] if folder else []
    places = [*own, *([beside, beside.parent / "bin"] if beside else []), *os.get_exec_path(), *_SBIN]
    found = (shutil.which(name, path=os.pathsep.join(map(str, places))) for name in names)
    return next((Path(path) for path in found if path), None)


def _missing(label: str, name: str, flavour: Flavour) -> RestoreError:
    return RestoreError(
        f"{label}: the dump is of {flavour}, and {flavour}'s {name} is not installed here, which a drill needs: "
        f"install it (Debian: {_PACKAGES[flavour]}), or name a server in scratch_server",
        permanent=True,
    )


def _answers(path: Path) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
        return True
    return False
