"""Drills of PostgreSQL and MariaDB: a server made for each, with the rows that were dumped; nothing damaged passes."""

import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from backupman.drills import Assertion
from backupman.pipeline import Pipeline
from backupman.sources import GLOBALS, Origin, Source, Target
from backupman.sources._landlock import kept_to
from backupman.sources._scratch import account_of
from backupman.sources.mariadb import Mariadb as MariadbSource
from tests.contracts._children import children
from tests.contracts.restore import reader
from tests.data_plane.stored import Stored, dumped, stored
from tests.data_plane.test_verifying import passing
from tests.servers import unavailable
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres
from tests.sources._mysql_setup import source_of as mysql_source_of
from tests.sources.test_postgres import source_of
from tests.sources.test_postgres_restore_faults import END, HEAD

ORDERS = """
CREATE TABLE orders (id integer PRIMARY KEY, at timestamp, state varchar(9));
INSERT INTO orders VALUES (1, '2026-01-05 10:00:00', 'open'), (2, '2026-01-06 10:00:00', 'paid');
"""
ASKED = [
    Assertion(sql="SELECT count(*) FROM orders", expect="between 1 and 2"),
    Assertion(sql="SELECT state FROM orders WHERE id = 2", expect="= paid"),
    Assertion(sql="SELECT max(at) FROM orders", expect="= 2026-01-06 10:00:00"),
    Assertion(sql="SELECT count(*) FROM orders WHERE at > now()", expect="= 0"),
]


@pytest.fixture(scope="module")
def shop(postgres: Postgres) -> Iterator[str]:
    name = postgres.create_database("drilled_shop")
    postgres.psql(name, ORDERS)
    yield name
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def maria_shop(mariadb: Mariadb) -> Iterator[str]:
    name = mariadb.create_database("drilled_shop")
    mariadb.client(name, ORDERS)
    yield name
    mariadb.drop_database(name)


def copy_of(source: Source, database: str, folder: Path, method: str = "zstd") -> Stored:
    dump, data = dumped(source, database, folder / "dump")
    pipeline = Pipeline.model_validate({"compression": {"method": method}})
    return stored(source, database, dump, data, pipeline, [], folder / "stored")


def must_be_proved(copy: Stored) -> None:
    report = copy.verify("restore", assertions=ASKED, freshness="SELECT max(at) FROM orders")
    assert report is not None
    assert (report.problems, report.tables, report.rows, report.compared) == ([], 1, 2, True)
    assert [answer.good for answer in report.assertions] == [True] * 4
    assert report.newest_age_seconds
    assert not copy.task.folder.exists()
    assert children() == []


@pytest.mark.parametrize("format", ["plain", "custom", "directory"])
def test_a_drill_of_postgresql(postgres: Postgres, shop: str, format: str, tmp_path: Path) -> None:
    copy = copy_of(source_of(postgres, db_name=shop, format=format), shop, tmp_path)
    assert postgres.password not in copy.task.model_dump_json()
    must_be_proved(copy)


def test_a_drill_of_the_roles_of_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    copy = copy_of(source_of(postgres, databases="all"), GLOBALS, tmp_path)
    report = copy.verify("restore", assertions=ASKED)
    assert report is not None
    assert (report.problems, report.tables, report.compared, report.assertions) == ([], 0, False, [])


def test_a_drill_of_postgresql_on_a_scratch_server(postgres: Postgres, shop: str, tmp_path: Path) -> None:
    source = source_of(postgres, db_name=shop)
    copy = copy_of(source, shop, tmp_path)
    name = "backupman_drill_1a2b3c4d"
    report = copy.verify("restore", scratch=source.revealed(), database=name, assertions=ASKED)
    assert report is not None
    assert (report.problems, report.database) == ([], name)
    assert not source.exists(name)


def test_a_drill_of_mariadb(mariadb: Mariadb, maria_shop: str, tmp_path: Path) -> None:
    copy = copy_of(mysql_source_of(MariadbSource, mariadb, db_name=maria_shop), maria_shop, tmp_path)
    assert mariadb.password not in copy.task.model_dump_json()
    must_be_proved(copy)


@pytest.mark.parametrize("format", ["plain", "custom"])
def test_no_mutation_of_a_dump_of_postgresql_passes(postgres: Postgres, shop: str, format: str, tmp_path: Path) -> None:
    copy = copy_of(source_of(postgres, db_name=shop, format=format), shop, tmp_path, "gzip")
    # The table of contents is read by pg_restore, a process each time.
    assert [passing(copy, "checksum", 70), passing(copy, "structure", 21)] == [0, 0]


def test_the_server_of_a_drill_has_no_network(postgres: Postgres, shop: str, tmp_path: Path) -> None:
    source = source_of(postgres, db_name=shop)
    (tmp_path / "scratch").mkdir()
    others = servers()
    with source.scratch(tmp_path / "scratch", Origin(shop, ".sql")):
        started = servers() - others
        namespaces = {network_of(process) for process in started} - {None}
    assert started, "there is a server"
    if not namespaces:
        unavailable("ptrace", "the namespaces of another account's processes cannot be seen")
    assert (network_of(psutil.Process()) in namespaces) is not bool(account_of("Shop", ["postgres"]).apart)


def test_what_a_dump_starts_is_nobody_to_the_servers_of_this_machine(
    postgres: Postgres, shop: str, tmp_path: Path
) -> None:
    """For root: the account that the server takes itself for may be the administrator of another one, by `peer`."""
    if os.geteuid() != 0 or not account_of("Shop", ["postgres"]).apart:
        unavailable("namespaces", "only root has a server run as somebody else, where namespaces are allowed")
    origin, known = Origin(shop, ".sql"), pwd.getpwnam("postgres").pw_uid
    starts = b"CREATE TABLE who (line text); COPY who FROM PROGRAM 'cat /proc/self/uid_map';\n"
    with source_of(postgres, db_name=shop).scratch(tmp_path, origin) as server:
        server.restore(reader(HEAD + starts + END), origin, Target("shop"), tmp_path)
        itself, to_others, _ = (server.scalar("shop", "SELECT line FROM who", 10) or "").split()
    assert int(itself) == known
    assert int(to_others) not in (0, known)


def test_what_a_dump_starts_finds_no_file_of_this_machine(postgres: Postgres, shop: str, tmp_path: Path) -> None:
    with kept_to(tmp_path, Path("/bin/sh")) as restrict:
        if not restrict:
            unavailable("landlock", "the kernel has no Landlock")
    everybodys = Path("/etc/shells")
    assert everybodys.stat().st_mode & 0o004
    origin = Origin(shop, ".sql")
    program = f"cat {everybodys} 2>&1 || echo and is kept on"
    starts = f"CREATE TABLE said (line text); COPY said FROM PROGRAM '{program}';\n".encode()
    with source_of(postgres, db_name=shop).scratch(tmp_path, origin) as server:
        server.restore(reader(HEAD + starts + END), origin, Target("shop"), tmp_path)
        said = server.scalar("shop", "SELECT string_agg(line, ' ') FROM said", 10) or ""
    assert said == f"cat: {everybodys}: Permission denied and is kept on"


def servers() -> set[psutil.Process]:
    """The servers that this process has started; their own children look the same for a moment."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.name() == "postgres" and "-D" in process.cmdline():
                found.add(process)
    return found


def network_of(process: psutil.Process) -> str | None:
    """The network namespace of a process; None when it has ended."""
    with suppress(OSError):
        return str(Path(f"/proc/{process.pid}/ns/net").readlink())
    return None
