"""PostgreSQL servers that are set up in another way: with TLS, and as a standby."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from backupman.errors import DumpError
from backupman.sources.postgres import Postgres as PostgresSource
from tests.contracts.source import dumped
from tests.servers._process import ENVIRONMENT, Account
from tests.servers.postgres import Postgres


def source_of(server: Postgres, **settings: object) -> PostgresSource:
    login = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    return PostgresSource.model_validate({"provider": "postgres", "label": "Shop", **login, **settings})


@pytest.fixture
def authority(postgres: Postgres, tmp_path: Path) -> Iterator[Path]:
    """The file of the authority that signed the server's certificate; the server speaks TLS meanwhile."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    [[data]] = [line.split() for line in postgres.psql("postgres", "SHOW data_directory").splitlines()]
    for name, pem in (("server.crt", certificate.cert_chain_pems[0]), ("server.key", certificate.private_key_pem)):
        pem.write_to_path(str(Path(data) / name))
        shutil.copystat(Path(data) / "PG_VERSION", Path(data) / name)
        owner = (Path(data) / "PG_VERSION").stat()
        shutil.chown(Path(data) / name, owner.st_uid, owner.st_gid)
    postgres.psql("postgres", "ALTER SYSTEM SET ssl = on")
    postgres.psql("postgres", "SELECT pg_reload_conf()")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    yield tmp_path / "ca.pem"
    postgres.psql("postgres", "ALTER SYSTEM RESET ssl")
    postgres.psql("postgres", "SELECT pg_reload_conf()")


def test_tls(postgres: Postgres, postgres_database: str, authority: Path, tmp_path: Path) -> None:
    def source(**settings: object) -> PostgresSource:
        return source_of(postgres, db_name=postgres_database, **settings)

    for settings in ({"tls": True}, {"tls": False}, {"tls": True, "tls_ca": authority}, {"tls_mode": "prefer"}):
        dumped(source(**settings), tmp_path)
        source(**settings).check()
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    for settings, said in (
        ({"tls": True, "tls_ca": tmp_path / "other.pem"}, "certificate verify failed"),
        ({"tls_ca": authority, "host": "localhost"}, 'does not match host name "localhost"'),
        ({"tls_mode": "verify-full"}, "root certificate file"),
        ({"tls": True, "tls_ca": tmp_path / "gone.pem"}, "does not exist"),
    ):
        with pytest.raises(DumpError, match=f"^Shop: the TLS connection to .*{said}") as raised:
            dumped(source(**settings), tmp_path)
        assert "\n" not in str(raised.value)


@pytest.fixture
def standby(postgres: Postgres) -> Iterator[Postgres]:
    """A standby of the server."""
    account = Account("postgres")
    with account.folder() as folder:
        data = folder / "data"
        argv = [*account.prefix, str(postgres.bin / "pg_basebackup"), "--pgdata", str(data), "--write-recovery-conf"]
        argv += ["--checkpoint=fast", "-h", postgres.host, "-p", str(postgres.port), "-U", postgres.user]
        subprocess.run(argv, env={**ENVIRONMENT, "PGPASSWORD": postgres.password}, check=True)

        def server(port: int) -> list[str]:
            options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder}
            words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
            return [str(postgres.bin / "postgres"), "-D", str(data), *words]

        def ready(port: int) -> None:
            Postgres(postgres.bin, port, folder).connect(connect_timeout=5).close()

        with account.server(server, ready, signal.SIGINT, folder / "log") as port:
            yield Postgres(postgres.bin, port, folder)


def test_a_standby_leaves_out_unlogged_rows_and_says_so(
    postgres: Postgres, postgres_database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tables = [f'CREATE UNLOGGED TABLE "Odd {number}" (x int);' for number in range(7)]
    postgres.psql(postgres_database, "CREATE TABLE kept AS SELECT 4711 AS n;" + "".join(tables))
    assert dumped(source_of(postgres, db_name=postgres_database), tmp_path)[0].warnings == []
    standby: Postgres = request.getfixturevalue("standby")
    for kind in ("plain", "custom", "directory"):
        (tmp_path / kind).mkdir()
        dump, data = dumped(source_of(standby, db_name=postgres_database, format=kind), tmp_path / kind)
        assert b"4711" in data
        [warning] = dump.warnings
        assert warning.startswith("Shop: the server is a standby, so the rows of unlogged tables are left out: ")
        assert warning.endswith('public."Odd 3", public."Odd 4" and 2 more')
        assert dump.manifest is not None
        assert dump.manifest.same_snapshot
        counted = {table.name: table.rows for table in dump.manifest.tables}
        assert (counted["public.kept"], counted['public."Odd 0"'], len(counted)) == (1, None, 8)
    source_of(standby, databases="all").list_databases()
