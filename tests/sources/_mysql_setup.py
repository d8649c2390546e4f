"""Sources on the servers of the tests, their accounts, and programs that only look like a dump tool."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from backupman.sources._mysql import MysqlSource
from tests.servers.mariadb import Mariadb
from tests.sources._mysql_content import content, quoted

T = TypeVar("T", bound=MysqlSource)

AWKWARD = Path(__file__).with_name("awkward_mysql.sql")
AWKWARD_MARIADB = Path(__file__).with_name("awkward_mariadb.sql")
NOTHING_MISSING = ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "EXECUTE")


def source_of(cls: type[T], server: Mariadb, **settings: object) -> T:
    """A source on the server, with its almighty account unless the settings say another."""
    login = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    given = {"provider": cls.__name__.lower(), "label": "Shop", **login, **settings}
    return cls.model_validate(given)


def awkward_database(server: Mariadb, *scripts: Path) -> Iterator[str]:
    """A database with everything that a dump could lose; nobody changes it."""
    name = server.create_database()
    for script in scripts:
        server.client(name, script)
    yield name
    server.drop_database(name)


def content_of(server: Mariadb, database: str) -> dict[str, Any]:
    """What stands in a database."""
    with server.connect() as connection:
        return content(connection, database)


def restoring(server: Mariadb) -> Iterator[Callable[[bytes], dict[str, Any]]]:
    """Restores a dump with the plain client into an empty database under another name, and gives what stands there."""
    name = server.create_database()

    def restored(data: bytes) -> dict[str, Any]:
        server.client(name, data)
        return content_of(server, name)

    yield restored
    server.drop_database(name)


def run_sql(server: Mariadb, *statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
    """The rows of the last statement."""
    with server.connect(database) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


@contextmanager
def account(server: Mariadb, database: str, *privileges: str) -> Iterator[dict[str, str]]:
    """The user and password of an account with these privileges on the database, which goes with the `with`."""
    user, password = f"bm_{uuid4().hex[:8]}", f"secret-{uuid4().hex}"
    run_sql(server, f"CREATE USER {user}@'%' IDENTIFIED BY '{password}'")
    if privileges:
        run_sql(server, f"GRANT {', '.join(privileges)} ON {quoted(database)}.* TO {user}@'%'")
    try:
        yield {"user": user, "password": password}
    finally:
        run_sql(server, f"DROP USER {user}@'%'")


def fake_tool(folder: Path, script: str, version: str = "mariadb-dump from 10.11.19-MariaDB", usage: str = "") -> Path:
    """A shell script that says of itself what a dump tool says, and dumps what `script` makes."""
    path = folder / "mariadb-dump"
    asked = f"case $1 in --version) echo '{version}'; exit;; --no-defaults) echo '{usage}'; exit;; esac"
    path.write_text(f"#!/bin/sh\n{asked}\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path
