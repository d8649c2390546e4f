"""A private MySQL server, started from MySQL's own installed binaries; Debian has none, other systems do."""

import shutil
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymysql
import pytest

from tests.servers import ODD_PASSWORD, SEARCH_PATH, unavailable
from tests.servers._process import ENVIRONMENT, Account, as_input, run
from tests.servers.mariadb import Mariadb


@dataclass(frozen=True)
class Mysql(Mariadb):
    """A running server and its almighty account, and the folder of MySQL's client programs."""

    programs: Path = Path()

    def client(self, dbname: str, script: str | bytes | Path) -> str:
        """Feed a script to the plain mysql program, and give its tab-separated rows; AssertionError on an error."""
        argv = [str(self.programs / "mysql"), "--no-defaults", "--default-character-set=utf8mb4", "--batch"]
        argv += ["--skip-column-names", f"--host={self.host}", f"--port={self.port}", f"--user={self.user}", dbname]
        return run(argv, {**ENVIRONMENT, "MYSQL_PWD": self.password}, as_input(script))


@pytest.fixture(scope="session")
def mysql() -> Iterator[Mysql]:
    """The server, one for each test process; its databases go with it at the end."""
    server, programs = _program("mysqld"), Path(_program("mysqldump")).parent
    account = Account("mysql")
    with account.folder() as folder:
        data, path = folder / "data", folder / "mysqld.sock"
        argv = [server, "--no-defaults", f"--datadir={data}", "--secure-file-priv=NULL"]
        account.run(*argv, "--initialize-insecure")

        def started(port: int) -> list[str]:
            network = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={path}", "--loose-mysqlx=OFF"]
            quiet = ["--skip-name-resolve", "--skip-log-bin", "--event-scheduler=OFF"]  # the last as in MariaDB
            return [*argv, *network, f"--pid-file={folder / 'pid'}", *quiet]

        def ready(_port: int) -> None:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(path))

        with account.server(started, ready, signal.SIGTERM, folder / "log") as port:
            root = pymysql.connect(unix_socket=str(path), user="root", password="", charset="utf8mb4")
            with root, root.cursor() as cursor:
                cursor.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (Mysql.user, ODD_PASSWORD))
                cursor.execute("GRANT ALL ON *.* TO %s@'%%' WITH GRANT OPTION", (Mysql.user,))
                cursor.execute("GRANT PROXY ON ''@'' TO %s@'%%' WITH GRANT OPTION", (Mysql.user,))
            yield Mysql(port, path, programs=programs)


@pytest.fixture
def mysql_database(mysql: Mysql) -> Iterator[str]:
    """The name of an empty database that is dropped after the test."""
    name = mysql.create_database()
    yield name
    mysql.drop_database(name)


def _program(name: str) -> str:
    """MySQL's own program of that name, for MariaDB has programs of the same names."""
    found = shutil.which(name, path=SEARCH_PATH)
    if not found or "MariaDB" in run([found, "--version"], ENVIRONMENT):
        unavailable("mysql", f"MySQL's own {name} is not installed")
    return found
