"""Every `tls` mode against a real MariaDB server with a certificate of a private authority, and against one without."""

import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymysql
import pytest
import trustme

from backupman.errors import DumpError
from backupman.sources.mariadb import Mariadb as MariadbSource
from tests.contracts.source import dumped
from tests.servers import program
from tests.servers._process import Account
from tests.servers.mariadb import Mariadb
from tests.sources._mysql_setup import run_sql, source_of


@dataclass(frozen=True)
class TlsServer:
    """A server that lets one account in only with a certificate of its own, and another only with TLS."""

    port: int
    files: Path

    def source(self, **settings: object) -> MariadbSource:
        login = {"provider": "mariadb", "label": "Shop", "user": "secured", "password": "pw", "port": self.port}
        files = {key: str(self.files / str(settings.pop(key))) for key in list(settings) if key.startswith("tls_")}
        return MariadbSource.model_validate({**login, "db_name": "shop", **files, **settings})


@pytest.fixture(scope="module")
def server() -> Iterator[TlsServer]:
    install, mariadbd = program("mariadb-install-db", "mariadb"), program("mariadbd", "mariadb")
    account = Account("mysql")
    with account.folder() as folder:
        _write_certificates(folder)
        data, path = folder / "data", folder / "mysqld.sock"
        small = ["--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M", "--performance-schema=OFF"]
        account.run(
            *(install, "--no-defaults", f"--datadir={data}", f"--tmpdir={folder}", *small),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
        )

        def argv(port: int) -> list[str]:
            places = [f"--datadir={data}", f"--tmpdir={folder}", f"--socket={path}", f"--pid-file={folder / 'pid'}"]
            tls = [f"--ssl-{name}={folder / name}.pem" for name in ("ca", "cert", "key")]
            return [mariadbd, "--no-defaults", f"--port={port}", "--bind-address=127.0.0.1", *places, *tls, *small]

        def ready(_port: int) -> None:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(path))

        with account.server(argv, ready, signal.SIGTERM, folder / "log") as port:
            root = pymysql.connect(unix_socket=str(path), user="root", password="")
            with root, root.cursor() as cursor:
                for user, demand in {"secured": "SSL", "certified": "X509"}.items():
                    cursor.execute(f"CREATE USER {user}@'%' IDENTIFIED BY 'pw' REQUIRE {demand}")
                    cursor.execute(f"GRANT ALL ON *.* TO {user}@'%'")
                cursor.execute("CREATE DATABASE shop")
                cursor.execute("CREATE TABLE shop.t (a INT)")
            yield TlsServer(port, folder)


def _write_certificates(folder: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    stranger.cert_pem.write_to_path(folder / "stranger.pem")
    # The address 127.0.0.1 is in it, the name localhost is not.
    for name, certificate in {
        "": authority.issue_cert("127.0.0.1"),
        "own-": authority.issue_cert("bm@example"),
    }.items():
        certificate.private_key_pem.write_to_path(folder / f"{name}key.pem")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}cert.pem")
    for file in folder.glob("*.pem"):
        file.chmod(0o644)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tls": "preferred"},
        {"tls": "skip-verify"},
        {"tls": "skip-verify", "host": "localhost"},
        {"tls_ca": "ca.pem"},
        {"tls": True, "tls_ca": "ca.pem"},
        {
            "user": "certified",
            "tls": "custom",
            "tls_ca": "ca.pem",
            "tls_cert": "own-cert.pem",
            "tls_key": "own-key.pem",
        },
    ],
    ids=str,
)
def test_a_mode_that_fits_the_server(server: TlsServer, tmp_path: Path, settings: dict[str, object]) -> None:
    source = server.source(**settings)
    source.check()
    assert b"CREATE TABLE `t`" in dumped(source, tmp_path)[1]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tls": False}, "refuses the account secured"),
        ({"tls": True}, "TLS to 127.0.0.1"),
        ({"tls": True, "tls_ca": "stranger.pem"}, "TLS to 127.0.0.1"),
        ({"tls": True, "tls_ca": "ca.pem", "host": "localhost"}, "TLS to localhost"),
        ({"user": "certified", "tls_ca": "ca.pem"}, "refuses the account certified"),
        ({"tls_ca": "no-such.pem"}, "a TLS file cannot be used .*no-such.pem"),
        ({"tls_ca": "key.pem"}, "a TLS file cannot be used"),
    ],
    ids=str,
)
def test_a_mode_that_does_not(server: TlsServer, tmp_path: Path, settings: dict[str, object], sentence: str) -> None:
    source = server.source(**settings)
    with pytest.raises(DumpError, match=f"^Shop: .*{sentence}") as refused:
        dumped(source, tmp_path)
    assert refused.value.permanent


def test_a_server_without_tls(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    run_sql(mariadb, "CREATE TABLE t (a INT)", database=mariadb_database)
    for mode in (None, "preferred", False):
        dumped(source_of(MariadbSource, mariadb, db_name=mariadb_database, tls=mode), tmp_path)
    for mode in (True, "skip-verify"):
        source = source_of(MariadbSource, mariadb, db_name=mariadb_database, tls=mode)
        with pytest.raises(DumpError, match=r"^Shop: TLS to .* failed"):
            dumped(source, tmp_path)
