"""A database that cannot be used is one sentence that names it, and never its password."""

import errno
import json
import os
import socket
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest
import yaml
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from backupman.config import load
from backupman.errors import StoreError
from backupman.fleet.queue import Queue
from backupman.store import Store
from backupman.store._sessions import translated
from tests.config.conftest import WHOLE
from tests.fleet.conftest import address_of
from tests.servers._process import free_port
from tests.servers.disk import mounted_disk
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres
from tests.store.conftest import a_backup, server_address

KEPT_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
"""Seconds, times and milliseconds, as tcp(7) has them."""
DRIVERS = {"postgres": "postgresql+psycopg", "mariadb": "mysql+pymysql"}


@pytest.fixture(params=["postgres", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each server that can hold the records."""
    return str(request.param)


@pytest.fixture
def server_url(request: pytest.FixtureRequest, kind: str) -> URL:
    """The login of a real server, to be made wrong."""
    server: Postgres | Mariadb = request.getfixturevalue(kind)
    login = {"username": server.user, "password": server.password, "host": server.host, "port": server.port}
    return URL.create(DRIVERS[kind], **login, database="nowhere")  # type: ignore[arg-type]  # of several types


def refused(url: URL) -> str:
    """The sentence that opening a store there ends in; nothing of the password stands in it or behind it."""
    with pytest.raises(StoreError) as error:
        Store.open(url.render_as_string(hide_password=False))
    told = "".join(traceback.format_exception(error.value))
    assert url.password is None or str(url.password) not in told
    assert "\n" not in error.value.sentence
    assert error.value.exit_code == 1
    return error.value.sentence


def test_a_server_that_is_not_there(kind: str) -> None:
    url = URL.create(DRIVERS[kind], username="me", password="S3cret", host="127.0.0.1", port=free_port(), database="x")
    sentence = refused(url)
    assert sentence.startswith(f"the store {DRIVERS[kind]}://me:***@127.0.0.1:{url.port}/x cannot be used: ")
    assert "refused" in sentence
    assert sentence.endswith("; see `database` and `state_folder` in the config")


def test_a_password_in_the_query_is_not_shown_either() -> None:
    url = URL.create(
        "postgresql+psycopg", host="127.0.0.1", port=free_port(), query={"password": "S3cret", "user": "me"}
    )
    assert "S3cret" not in refused(url)


def test_a_host_that_does_not_exist(kind: str) -> None:
    assert "nowhere.invalid" in refused(
        URL.create(DRIVERS[kind], username="me", password="S3cret", host="nowhere.invalid")
    )


def test_a_wrong_password(server_url: URL) -> None:
    assert server_url.username and server_url.username in refused(server_url.set(password="S3cret wröng €"))


def test_a_database_that_does_not_exist(server_url: URL) -> None:
    assert "nowhere" in refused(server_url)


def test_a_server_without_tls_where_tls_is_wanted(mariadb: Mariadb, mariadb_database: str) -> None:
    url = URL.create("mysql+pymysql", mariadb.user, mariadb.password, mariadb.host, mariadb.port, mariadb_database)
    assert "SSL" in refused(url.update_query_dict({"tls": "true"}))
    for tls in ("false", "preferred"):
        Store.open(url.update_query_dict({"tls": tls}).render_as_string(hide_password=False)).close()


@pytest.mark.parametrize("address", ["oracle://me:S3cret@db/x", "mysql+nodriver://me:S3cret@db/x"])
def test_a_database_that_nobody_can_speak_to(address: str) -> None:
    with pytest.raises(StoreError) as error:
        Store(address)
    assert "S3cret" not in error.value.sentence


def test_a_database_without_an_encoding(postgres: Postgres) -> None:
    name = "t_no_encoding"
    postgres.psql("postgres", f"CREATE DATABASE {name} TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'")
    try:
        store = Store.open(address_of(postgres, name))
        begun = store.backups.begin(a_backup(label="Läden"), [])
        assert store.backups.get(begun.id).label == "Läden"
        store.close()
        with psycopg.connect(Queue(address_of(postgres, name), "shop").conninfo) as connection:
            assert connection.execute("SELECT 'Läden'").fetchall() == [("Läden",)]
    finally:
        postgres.drop_database(name)


def test_a_full_disk_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk", "4m") as disk, closing(Store.open(f"sqlite:///{disk}/records.db")) as store:
        store.check()
        with suppress(OSError), (disk / "fill").open("wb", 0) as file:
            while file.write(bytes(4096)):
                pass
        with pytest.raises(StoreError) as error:
            store.check()
        assert error.value.sentence == (
            f"the store sqlite:///{disk}/records.db cannot be used: No space left on device: {disk}; make room if its "
            "disk is full, or see `database` and `state_folder` in the config"
        )
        (disk / "fill").unlink()
        store.check()


def test_a_server_that_goes_away_and_comes_back(
    request: pytest.FixtureRequest, kind: str, cut_connections: Callable[[str], None]
) -> None:
    store = Store.open(server_address(request, kind))
    store.check()
    cut_connections(kind)
    begun = store.backups.begin(a_backup(), [])
    assert store.backups.get("latest").id == begun.id
    store.close()


@pytest.mark.parametrize(("said", "idle"), [("", 30), ("?keepalives_idle=7", 7)])
def test_a_server_that_is_gone_without_a_word_is_noticed_soon(
    request: pytest.FixtureRequest, said: str, idle: int
) -> None:
    with closing(Store(server_address(request, "postgres") + said)) as store, store._engine.connect() as connection:
        line = socket.socket(fileno=os.dup(connection.connection.dbapi_connection.fileno()))  # type: ignore[union-attr]
        with line:
            asked = {name: line.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in KEPT_ALIVE}
    assert asked == KEPT_ALIVE | {"TCP_KEEPIDLE": idle}


@pytest.fixture
def cut_connections(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Cuts every other connection to a server, as its restart would."""

    def cut(kind: str) -> None:
        server = request.getfixturevalue(kind)
        if kind == "postgres":
            with server.connect() as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
            return
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = %s",
                (server.user,),
            )
            for (thread,) in cursor.fetchall():
                cursor.execute("KILL %s", (thread,))

    return cut


def test_the_config_of_a_real_server_opens_its_store(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> None:
    server: Postgres | Mariadb = request.getfixturevalue(kind)
    section = {
        "provider": {"mariadb": "mysql"}.get(kind, kind),
        "host": server.host,
        "port": server.port,
        "db_name": request.getfixturevalue(f"{kind}_database"),
        "user": server.user,
        "password": server.password,
        "tls": False,
    }
    file = tmp_path / "config.yml"
    file.write_text(WHOLE + yaml.safe_dump({"database": section}), encoding="utf-8")
    config = load(file).config
    store = Store.open(config.database.address(config.state_folder))
    begun = store.backups.begin(a_backup(), [])
    assert json.loads(store.backups.get(begun.id).model_dump_json())["label"] == "shop"
    store.close()


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE, None])
def test_a_disk_that_may_be_full_wants_room(code: int | None) -> None:
    fault: Exception = OSError(errno.ENOSPC, "No space left on device", "/s/records.db")
    if code is not None:
        fault = sqlite3.OperationalError("disk I/O error")
        fault.sqlite_errorcode = code
    said = "make room if its disk is full, or see `database` and `state_folder`"
    with pytest.raises(StoreError, match=said), translated("sqlite:////s/records.db"):
        raise fault if code is None else OperationalError(None, None, fault)
