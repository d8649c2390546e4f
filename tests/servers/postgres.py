"""A private PostgreSQL server, started from the installed binaries on a free port and a socket of its own."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.servers import ODD_PASSWORD, program
from tests.servers._process import ENVIRONMENT, Account, as_input, run


@dataclass(frozen=True)
class Postgres:
    """A running server and its superuser; `bin` is the folder of psql, pg_dump and the other programs."""

    bin: Path
    port: int
    socket_dir: Path
    host: str = "127.0.0.1"
    user: str = "tester"
    password: str = ODD_PASSWORD

    def connect(self, dbname: str = "postgres", **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """An autocommitting connection over TCP; options override, as in host=str(socket_dir)."""
        login = {"host": self.host, "port": self.port, "user": self.user, "password": self.password, "autocommit": True}
        return psycopg.connect(**{**login, "dbname": dbname, **options})

    def psql(self, dbname: str, script: str | bytes | Path) -> str:
        """Feed a script to the plain psql program, and give its unaligned rows; AssertionError at the first error."""
        argv = [str(self.bin / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        argv += ["-h", self.host, "-p", str(self.port), "-U", self.user, "-d", dbname]
        return run(argv, {**ENVIRONMENT, "PGPASSWORD": self.password}, as_input(script))

    def create_database(self, name: str = "") -> str:
        """Make an empty database, under a fresh name unless one is given, and give its name."""
        name = name or f"t_{uuid4().hex[:12]}"
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, and whoever is still connected to it; none of that name is fine."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server, one for each test process; its databases go with it at the end."""
    with running() as server:
        yield server


@contextmanager
def running() -> Iterator[Postgres]:
    """A server of its own while the `with` lasts."""
    binaries = _binaries()
    account = Account("postgres")
    with account.folder() as folder:
        data, password = folder / "data", folder / "password"
        password.write_text(ODD_PASSWORD + "\n", encoding="utf-8")
        account.run(
            *(binaries / "initdb", "--no-sync", "--pgdata", data, "--username", Postgres.user),
            *("--pwfile", password, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"),
        )

        def argv(port: int) -> list[str]:
            settings = {
                "listen_addresses": "127.0.0.1",
                "port": port,
                "unix_socket_directories": folder,
                "fsync": "off",
                "full_page_writes": "off",
                "synchronous_commit": "off",
                "shared_buffers": "16MB",
                "max_connections": 50,
            }
            options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
            return [str(binaries / "postgres"), "-D", str(data), *options]

        def ready(port: int) -> None:
            Postgres(binaries, port, folder).connect(connect_timeout=5).close()

        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
        with account.server(argv, ready, signal.SIGINT, folder / "log") as port:
            yield Postgres(binaries, port, folder)


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[str]:
    """The name of an empty database that is dropped after the test."""
    name = postgres.create_database()
    yield name
    postgres.drop_database(name)


def _binaries() -> Path:
    """The folder of the newest PostgreSQL: Debian keeps each version's programs in one of its own, off the PATH."""
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if versions:
        return max(versions, key=lambda folder: int(folder.parent.name))
    return Path(program("initdb", "postgres")).parent
