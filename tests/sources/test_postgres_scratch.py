"""A throwaway PostgreSQL server: what it brings for a dump, what it says when it cannot, and that it never stays."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import psutil
import pytest

from backupman.errors import BackupmanError, RestoreError, SourceError
from backupman.sources import GLOBALS, Origin, Target
from backupman.sources import _postgres_scratch as postgres_scratch
from backupman.sources import _scratch as scratch
from backupman.sources.postgres import Postgres as PostgresSource
from tests.contracts.restore import processes_of, reader
from tests.contracts.source import dumped
from tests.e2e.world import wait_for
from tests.servers.postgres import Postgres
from tests.sources.test_postgres import source_of
from tests.sources.test_postgres_restore_faults import END, HEAD

SOURCE = PostgresSource.model_validate({"provider": "postgres", "label": "Shop", "db_name": "shop"})
_KEEP = """
import sys, time
from pathlib import Path
from backupman.sources import Origin
from backupman.sources.postgres import Postgres
source = Postgres.model_validate({"provider": "postgres", "label": "Shop", "db_name": "shop"})
with source.scratch(Path(sys.argv[1]), Origin("shop", ".sql")) as server:
    print(server.socket, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _installed(postgres: Postgres) -> None:
    """The server's programs are there, or the tests are skipped as all of PostgreSQL's are."""


@pytest.fixture
def refused() -> Iterator[Path]:
    """Programs that say what they say in our units, where neither namespaces nor capset(2) are allowed."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # the server's account calls them
        for name, said in (("unshare", "unshare failed"), ("setpriv", "activate capabilities")):
            program = Path(place) / name
            program.write_text(f"#!/bin/sh\necho '{name}: {said}: Operation not permitted' >&2\nexit 127\n")
            program.chmod(0o755)
        yield Path(place)


def test_what_a_dump_names_is_there_before_it(tmp_path: Path) -> None:
    facts = {"roles": '["bm app", "postgres"]', "tablespaces": '["fast"]', "extensions": '["plpgsql"]'}
    facts |= {"encoding": "LATIN1", "collate": "no_SUCH.latin1", "ctype": "no_SUCH.latin1"}
    script = HEAD + b'CREATE TABLE t (x text) TABLESPACE fast;\nALTER TABLE t OWNER TO "bm app";\n' + END
    with SOURCE.scratch(tmp_path, Origin("shop", ".sql", facts)) as server:
        [warning] = server.restore(reader(script), Origin("shop", ".sql", facts), Target("shop"), tmp_path)
        assert warning == "Shop: the server has no locale no_SUCH.latin1: the database has C, and sorts by it"
        assert server.scalar("shop", "SHOW server_encoding", 10) == "LATIN1"
        assert server.scalar("shop", "SELECT tableowner FROM pg_tables WHERE tablespace = 'fast'", 10) == "bm app"
        assert server.scalar("postgres", "SHOW listen_addresses", 10) == ""
        assert server.list_databases() == ["postgres", "shop", "_globals"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["postmaster", "writer"])
def test_a_server_that_is_killed_says_nothing_of_the_copy(tmp_path: Path, part: str) -> None:
    killed = pytest.raises(BackupmanError, match="Shop: postgres of the throwaway server was killed, perhaps as the")
    with killed as told, SOURCE.scratch(tmp_path, Origin("shop", ".sql")) as server:
        assert isinstance(server, PostgresSource)
        assert server.socket
        postmaster = psutil.Process(int((server.socket / "data/postmaster.pid").read_text().split()[0]))
        (postmaster if part == "postmaster" else postmaster.children()[0]).kill()
        wait_for(lambda: postmaster.status() == psutil.STATUS_ZOMBIE)
        server.count_rows("postgres")
    assert not isinstance(told.value, RestoreError | SourceError)


def test_a_database_that_subscribes_to_another_is_drilled_and_dropped(
    postgres: Postgres, postgres_database: str, tmp_path: Path
) -> None:
    postgres.psql(
        postgres_database,
        """CREATE ROLE bm_subscriber SUPERUSER; SET ROLE bm_subscriber;
        CREATE SUBSCRIPTION "far 's" CONNECTION 'host=nowhere' PUBLICATION p
            WITH (connect = false, slot_name = 'far');""",
    )
    source = source_of(postgres, db_name=postgres_database)
    try:
        dump, data = dumped(source, tmp_path)
        origin = Origin(postgres_database, ".sql", dump.facts)
        with source.scratch(tmp_path, origin) as server:
            server.restore(reader(data), origin, Target("shop"), tmp_path)
            assert server.scalar("shop", "SELECT subname FROM pg_subscription", 10) == "far 's"
            server.remove("shop")
            assert not server.exists("shop")
    finally:
        source.remove(postgres_database)
        postgres.psql("postgres", "DROP ROLE bm_subscriber")


def test_roles_and_tablespaces_are_drilled_away_from_those_of_the_server(postgres: Postgres, tmp_path: Path) -> None:
    space = postgres.socket_dir / "space"
    space.mkdir()
    shutil.chown(space, postgres.socket_dir.owner())
    postgres.psql("postgres", f"CREATE TABLESPACE bm_space LOCATION '{space}'")
    postgres.psql("postgres", "CREATE ROLE postgres LOGIN; CREATE ROLE zz_bm_last; GRANT postgres TO zz_bm_last")
    source = source_of(postgres, databases="all")
    try:
        dump, data = dumped(source, tmp_path, GLOBALS)
        origin = Origin(GLOBALS, ".sql", dump.facts)
        with source.scratch(tmp_path, origin) as server:
            first = server.scalar("postgres", "SELECT rolname FROM pg_roles WHERE oid = 10", 10)
            assert first == postgres.user, "or PostgreSQL 16 and newer would refuse what is granted by that role"
            server.restore(reader(data), origin, Target(GLOBALS), tmp_path)
            assert server.scalar("postgres", "SELECT rolsuper FROM pg_roles WHERE rolname = 'postgres'", 10) == "f"
            assert server.scalar("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'zz_bm_last'", 10) == "1"
            member = "SELECT pg_has_role('zz_bm_last', 'postgres', 'MEMBER')"
            assert server.scalar("postgres", member, 10) == "t"
            place = "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'bm_space'"
            assert server.scalar("postgres", place, 10) not in (None, str(space))
    finally:
        postgres.psql("postgres", "DROP ROLE postgres, zz_bm_last; DROP TABLESPACE bm_space")


def test_roles_of_a_dump_that_does_not_name_the_first_superuser_are_drilled(tmp_path: Path) -> None:
    granted = b"CREATE ROLE postgres;\nCREATE ROLE one;\nCREATE ROLE two;\nGRANT one TO two GRANTED BY postgres;\n"
    origin = Origin(GLOBALS, ".sql", {})
    with SOURCE.scratch(tmp_path, origin) as server:
        end = b"-- PostgreSQL database cluster dump complete\n"
        [warning] = server.restore(reader(HEAD + granted + end), origin, Target(GLOBALS), tmp_path)
        assert 'role "postgres" already exists' in warning
        assert server.scalar("postgres", "SELECT rolname FROM pg_roles WHERE oid = 10", 10) == "postgres"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"server_version": "99.1"}, r"the dump is of PostgreSQL 99, .* install postgresql-99 or newer"),
        ({"extensions": '["no_such_one"]'}, "the dump needs the extensions no_such_one, which are not installed here"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, facts: dict[str, str], said: str) -> None:
    with (
        pytest.raises(RestoreError, match=rf"^Shop: {said}") as raised,
        SOURCE.scratch(tmp_path, Origin("shop", ".sql", facts)),
    ):
        pass
    assert raised.value.permanent
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_opened_in_the_folder_of_another_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / f"{scratch._ELSEWHERE}theirs" / "lock"
    lock.parent.mkdir()
    os.mkfifo(lock)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    writer = Thread(target=lambda: os.close(os.open(lock, os.O_WRONLY)), daemon=True)  # waits for somebody to read
    writer.start()
    with scratch._elsewhere() as folder:
        assert folder.parent == tmp_path
    writer.join(1)
    opened = not writer.is_alive()
    os.close(os.open(lock, os.O_RDONLY | os.O_NONBLOCK))
    writer.join()
    assert not opened


def test_without_the_programs_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_scratch, "PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    origin = Origin("shop", ".sql", {"server_version": "15.1"})
    with (
        pytest.raises(RestoreError, match=r"not installed, .* \(Debian: postgresql-15\)"),
        SOURCE.scratch(tmp_path, origin),
    ):
        pass


@pytest.mark.parametrize("boxed", [False, True], ids=["free", "in a unit of systemd"])
@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["the process alone", "its whole session"])
def test_nothing_is_left_running_when_it_is_killed(
    tmp_path: Path, kill: Callable[[int, int], None], boxed: bool, refused: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if boxed:
        monkeypatch.setenv("PATH", f"{refused}:{os.environ['PATH']}")
    argv = [sys.executable, "-c", _KEEP, str(tmp_path)]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout
    with child.stdout as out:
        place = Path(out.readline().strip())
    try:
        assert os.getsid(int((place / "data/postmaster.pid").read_text().split()[0])) == child.pid
    finally:
        kill(child.pid, signal.SIGKILL)
        child.wait()
    wait_for(lambda: not processes_of(place))
    with SOURCE.scratch(tmp_path, Origin("shop", ".sql")):
        """The next one removes what it has left."""
    assert not place.exists()
