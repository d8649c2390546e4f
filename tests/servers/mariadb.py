"""A private MariaDB server, started from the installed binaries on a free port and a socket of its own."""

import shutil
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pymysql
import pytest
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from tests.servers import ODD_PASSWORD, program
from tests.servers._process import ENVIRONMENT, Account, as_input, run


@dataclass(frozen=True)
class Mariadb:
    """A running server and its almighty account, which may come over TCP and over the socket."""

    port: int
    socket_path: Path
    host: str = "127.0.0.1"
    user: str = "tester"
    password: str = ODD_PASSWORD

    def connect(self, dbname: str | None = None, **options: Any) -> "Connection[Cursor]":
        """An autocommitting connection over TCP; options override, as in unix_socket=str(socket_path)."""
        login = {"host": self.host, "port": self.port, "user": self.user, "charset": "utf8mb4", "autocommit": True}
        # As bytes: PyMySQL would encode text as Latin-1, which has no euro sign.
        login["password"] = self.password.encode()
        return pymysql.connect(**{**login, "database": dbname, **options})

    def client(self, dbname: str, script: str | bytes | Path) -> str:
        """Feed a script to the plain mariadb program, and give its tab-separated rows; AssertionError on an error."""
        argv = [
            program("mariadb"),
            "--no-defaults",
            "--default-character-set=utf8mb4",
            "--batch",
            "--skip-column-names",
        ]
        argv += [f"--host={self.host}", f"--port={self.port}", f"--user={self.user}", dbname]
        return run(argv, {**ENVIRONMENT, "MYSQL_PWD": self.password}, as_input(script))

    def folder(self, name: str) -> Path:
        """A new folder of the server's account, which goes with the server."""
        made = self.socket_path.parent / name
        made.mkdir()
        shutil.chown(made, self.socket_path.owner())
        return made

    def create_database(self, name: str = "") -> str:
        """Make an empty database, under a fresh name unless one is given, and give its name."""
        name = name or f"t_{uuid4().hex[:12]}"
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {_quoted(name)} CHARACTER SET utf8mb4")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database; none of that name is fine."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {_quoted(name)}")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Mariadb]:
    """The server, one for each test process; its databases go with it at the end."""
    install, server = program("mariadb-install-db", "mariadb"), program("mariadbd", "mariadb")
    account = Account("mysql")
    with account.folder() as folder:
        data, path = folder / "data", folder / "mysqld.sock"
        small = ["--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M", "--performance-schema=OFF"]
        account.run(
            *(install, "--no-defaults", f"--datadir={data}", f"--tmpdir={folder}", *small),
            *("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"),
        )

        def argv(port: int) -> list[str]:
            network = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={path}", "--skip-name-resolve"]
            places = [f"--datadir={data}", f"--tmpdir={folder}", f"--pid-file={folder / 'pid'}"]
            # Without TLS, for which MariaDB makes a certificate since 11.4.
            quick = [
                "--innodb-flush-log-at-trx-commit=0",
                "--skip-log-bin",
                "--character-set-server=utf8mb4",
                "--skip-ssl",
            ]
            return [server, "--no-defaults", *network, *places, *small, *quick]

        def ready(_port: int) -> None:
            # The socket is opened last. PyMySQL itself would leave its end open when nobody listens.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(path))

        with account.server(argv, ready, signal.SIGTERM, folder / "log") as port:
            _make_accounts(path)
            yield Mariadb(port, path)


@pytest.fixture
def mariadb_database(mariadb: Mariadb) -> Iterator[str]:
    """The name of an empty database that is dropped after the test."""
    name = mariadb.create_database()
    yield name
    mariadb.drop_database(name)


def _make_accounts(path: Path) -> None:
    """Give the tests their account; root keeps its empty password, over the socket and over TCP from 127.0.0.1."""
    root = pymysql.connect(unix_socket=str(path), user="root", password="", charset="utf8mb4")
    with root, root.cursor() as cursor:
        cursor.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (Mariadb.user, ODD_PASSWORD))
        cursor.execute("GRANT ALL ON *.* TO %s@'%%' WITH GRANT OPTION", (Mariadb.user,))
        # A root account by host name, which a server that resolves none does not load, and then cannot dump.
        cursor.execute("DELETE FROM mysql.global_priv WHERE User = 'root' AND Host NOT IN ('localhost', '127.0.0.1')")
        cursor.execute("FLUSH PRIVILEGES")


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
