"""`GET /readyz` of a daemon whose records are on a server that goes away and comes back, or can only be read."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import httpx
import pytest
from pymysql.err import OperationalError
from sqlalchemy import URL, make_url

from tests.api.conftest import Api
from tests.api.test_service import NO_RECORDS
from tests.drives._tcp import tcp_proxy
from tests.e2e.world import wait_for
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres
from tests.servers.receiver import Receiver
from tests.store.conftest import server_address


@pytest.fixture(params=["postgres", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each server that can hold the records."""
    return str(request.param)


@pytest.fixture
def url(request: pytest.FixtureRequest, kind: str) -> URL:
    """An empty database there."""
    return make_url(server_address(request, kind))


@contextmanager
def served(configured: Api, url: URL) -> Iterator[httpx.Client]:
    """A client of a daemon with its records there, once that is ready."""
    configured.config["database"] = {"url": url.render_as_string(hide_password=False)}
    with configured.start(scheduling=True).client(None) as client:
        wait_for(lambda: ready(client))
        yield client


def ready(client: httpx.Client) -> bool:
    """Whether the daemon says so; if not, then for the sake of the records."""
    answer = client.get("/readyz")
    assert answer.status_code == 200 or (answer.status_code, answer.json()) == (503, NO_RECORDS)
    return answer.status_code == 200


def test_a_server_that_goes_away_and_comes_back(configured: Api, url: URL) -> None:
    assert url.port
    with tcp_proxy(url.port) as way, served(configured, url.set(port=way.port)) as client:
        way.refuse, way.drop_at, way.times = True, 0, 10**6
        wait_for(lambda: not ready(client))
        assert client.get("/livez").status_code == 200
        way.refuse, way.drop_at = False, None
        wait_for(lambda: ready(client), 120)
        assert configured.daemon.lives()


def test_records_that_can_be_read_and_not_written(
    configured: Api, kind: str, url: URL, request: pytest.FixtureRequest, said: Callable[[], str]
) -> None:
    """Nothing is due, so that nothing would be written for long."""
    server = request.getfixturevalue(kind)
    only_read = postgres_only_reads if kind == "postgres" else mariadb_only_reads
    with only_read(server, url) as (begin, its), served(configured, its) as client:
        begin()
        wait_for(lambda: any(" records: " in line and refused(line) for line in said().splitlines()), 120)
        assert not ready(client)
        assert client.get("/health").json()["Status"] == "DOWN"


def test_somebody_is_told_that_nothing_can_be_recorded_and_that_it_is_over(
    configured: Api,
    postgres: Postgres,
    request: pytest.FixtureRequest,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backupman.daemon._RECOVER_EVERY", timedelta(seconds=0.5))
    monkeypatch.setattr("backupman.engine.records_watch._PATIENCE", timedelta(seconds=1))
    url = make_url(server_address(request, "postgres"))
    wanted = ["records_failure", "records_recovered"]
    configured.config["notifiers"] = {"webhook": {"endpoints": [{"url": receiver.url, "events": wanted}]}}
    with postgres_only_reads(postgres, url) as (begin, its), served(configured, its) as client:
        begin()
        told = json.loads(receiver.wait(1)[0].body)
        assert told["Event"] == "records_failure"
        assert "read-only transaction" in told["Payload"]["Reason"]
        with postgres.connect() as connection:
            connection.execute(f"ALTER DATABASE {url.database} RESET ALL")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [url.database]
            )
        over = json.loads(receiver.wait(2)[1].body)
        assert over["Event"] == "records_recovered"
        assert over["Payload"]["Since"] == told["Payload"]["Since"]
        assert len(over["Payload"]["Told"]) == 1
        wait_for(lambda: ready(client))


def refused(line: str) -> bool:
    """Whether a line of the log says that nothing can be written."""
    return "cannot execute UPDATE in a read-only transaction" in line or "UPDATE command denied" in line


Only = Iterator[tuple[Callable[[], None], URL]]
"""What lets a database only be read from then on, and its address."""


@contextmanager
def postgres_only_reads(server: Postgres, url: URL) -> Only:
    """A database that is read-only for all that comes anew, which all do."""

    def begin() -> None:
        with server.connect() as connection:
            connection.execute(f"ALTER DATABASE {url.database} SET default_transaction_read_only = on")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [url.database]
            )

    yield begin, url
    with server.connect() as connection:
        connection.execute(f"ALTER DATABASE {url.database} RESET ALL")


@contextmanager
def mariadb_only_reads(server: Mariadb, url: URL) -> Only:
    """An account that loses its privilege to write."""
    account = f"only_{url.database}"

    def begin() -> None:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"REVOKE INSERT, UPDATE, DELETE ON {url.database}.* FROM {account}")
            cursor.execute("SELECT id FROM information_schema.processlist WHERE user = %s", (account,))
            for (number,) in cursor.fetchall():
                with suppress(OperationalError):  # it has ended by itself
                    cursor.execute(f"KILL {number}")

    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER {account} IDENTIFIED BY 'pw'")
        cursor.execute(f"GRANT ALL ON {url.database}.* TO {account}")
    yield begin, url.set(username=account, password="pw")
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP USER {account}")
