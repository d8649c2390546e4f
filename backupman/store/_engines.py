"""Engines for the databases that can hold the records: SQLite, PostgreSQL and MySQL or MariaDB."""

import ssl
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

READS = "reads"
"""The option of a connection by which nothing is written."""
KEPT_ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""libpq's: that a server has gone without a word is noticed within a minute, and not after two hours."""
AS_TEXT = {"client_encoding": "utf8"}
"""libpq's: of a database without an encoding (`SQL_ASCII`, of a server made in the locale C) psycopg gives bytes."""
_CONNECT_SECONDS = 10
_BUSY_SECONDS = 30
_FROZEN_SECONDS = 20
"""After so long without a word the server ends a transaction, so that a frozen host keeps no record from the others."""


def engine(url: URL) -> Engine:
    """An engine that has not connected yet."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        return _sqlite(url)
    arguments: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS}
    if backend == "mysql":
        arguments |= _tls(str(url.query.get("tls", "preferred")))
        if url.password is not None:  # as bytes: PyMySQL would encode text as Latin-1
            arguments["password"] = str(url.password).encode()
        url = url.difference_update_query(["tls"])
    if backend == "postgresql":
        arguments |= {name: value for name, value in (KEPT_ALIVE | AS_TEXT).items() if name not in url.query}
    made = create_engine(url, connect_args=arguments, pool_pre_ping=True, pool_size=5, max_overflow=5)
    if backend == "postgresql":
        event.listen(made, "connect", _let_go_of_the_frozen)
    return made


def close(made: Engine) -> None:
    """Let go of all connections: of those in use, which its pool would then leave open, once nobody uses them."""
    event.listen(made, "checkin", _end)
    made.dispose()


def _end(_connection: object, record: ConnectionPoolEntry) -> None:
    record.invalidate()


def _let_go_of_the_frozen(connection: Any, _record: object) -> None:
    # Said here, because a pooler in between may refuse it as an option of the connection.
    connection.execute(f"SET idle_in_transaction_session_timeout = '{_FROZEN_SECONDS}s'")
    connection.commit()


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite database; None for one in memory and for servers."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


def _tls(mode: str) -> dict[str, Any]:
    """PyMySQL's arguments; without any it encrypts when the server can, and checks nothing."""
    if mode == "false":
        return {"ssl_disabled": True}
    if mode == "preferred":
        return {}
    context = ssl.create_default_context()
    if mode == "skip-verify":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


def _sqlite(url: URL) -> Engine:
    if sqlite_file(url):
        made = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    else:  # one connection is the whole database: threads take turns
        arguments = {"check_same_thread": False}
        made = create_engine(url, connect_args=arguments, poolclass=QueuePool, pool_size=1, max_overflow=0)

    @event.listens_for(made, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a report must survive a power cut
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(made, "begin")
    def _begin(connection: Any) -> None:
        # a later upgrade to a writer could fail as busy, while who only reads waits for nobody, and nobody for them
        reads = connection.get_execution_options().get(READS)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return made
