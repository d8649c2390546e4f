"""What can go wrong with PostgreSQL ends in one sentence that says what to do, with no child left."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backupman.errors import DumpError, SourceError
from backupman.sources import GLOBALS
from backupman.sources.postgres import Postgres as PostgresSource
from tests.contracts._children import children
from tests.contracts.source import dumped, read
from tests.servers.postgres import Postgres

Make = Callable[..., PostgresSource]


@pytest.fixture
def make(postgres: Postgres, postgres_database: str) -> Make:
    """Makes a source of an empty database of one's own; settings override."""

    def make(**settings: object) -> PostgresSource:
        login = {"host": postgres.host, "port": postgres.port, "user": postgres.user, "password": postgres.password}
        given = {"provider": "postgres", "label": "Shop", "db_name": postgres_database, **login, **settings}
        return PostgresSource.model_validate({name: value for name, value in given.items() if value is not None})

    return make


@pytest.fixture
def run(postgres: Postgres, postgres_database: str) -> Callable[[str], None]:
    """Runs SQL in the database."""

    def run(script: str) -> None:
        with postgres.connect(postgres_database) as connection:
            connection.execute(script.encode())

    return run


@pytest.fixture
def clerk(postgres: Postgres, postgres_database: str) -> Iterator[str]:
    """A role that may log in, and nothing else; its password is `secret word`."""
    postgres.psql("postgres", "CREATE ROLE clerk LOGIN PASSWORD 'secret word'")
    yield "clerk"
    postgres.psql(postgres_database, "DROP OWNED BY clerk")
    postgres.psql("postgres", "DROP ROLE clerk")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def refused(source: PostgresSource, folder: Path, database: str = "") -> DumpError:
    """The error that a dump ends in."""
    with pytest.raises(DumpError, match=r"^Shop: ") as raised:
        dumped(source, folder, database or source.db_name or "")
    assert children() == []
    sentence = str(raised.value)
    assert "\n" not in sentence
    for secret in source.secrets():
        assert secret not in sentence
    return raised.value


@pytest.mark.parametrize("kind", ["plain", "custom", "directory"])
def test_logins_that_fail(make: Make, postgres: Postgres, folder: Path, kind: str) -> None:
    where = f"{postgres.host}:{postgres.port}"
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        closed = bound.getsockname()[1]
        cases: list[tuple[dict[str, object], str]] = [
            ({"password": "wr0ng"}, f"{where} refuses the password of tester: correct user and password"),
            ({"password": None}, f"{where} wants a password of tester: set password"),
            ({"user": "nobody", "password": "x"}, f"{where} refuses the password of nobody"),
            ({"db_name": "gone"}, f"there is no database 'gone' at {where}"),
            ({"host": "no-such-host.invalid"}, f"the host of no-such-host.invalid:{postgres.port} is unknown"),
            ({"port": closed}, f"nothing listens at 127.0.0.1:{closed}"),
            ({"socket": "/nowhere"}, "nothing listens at /nowhere"),
            ({"tls": True}, f"{where} speaks no TLS"),
        ]
        for settings, said in cases:
            source = make(format=kind, **settings)
            error = refused(source, folder)
            assert str(error).startswith(f"Shop: {said}")
            with pytest.raises(SourceError, match=r"^Shop: ") as raised:
                source.check()
            assert str(raised.value) == str(error)


def test_asking_for_all_databases_fails_in_the_same_words(make: Make) -> None:
    for settings, said in [({"password": "wr0ng"}, "refuses the password"), ({"maintenance_db": "gone"}, "'gone'")]:
        with pytest.raises(SourceError, match=said):
            make(db_name=None, databases="all", **settings).list_databases()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("CREATE TABLE hidden (x int)", "clerk may not read the table hidden: GRANT SELECT on it TO clerk, or"),
        ("CREATE SCHEMA own CREATE TABLE hidden (x int); GRANT SELECT ON own.hidden TO clerk", "may not "),
        ("CREATE SEQUENCE hidden", "clerk may not read the "),
        (
            "CREATE TABLE own (x int); GRANT SELECT ON own TO clerk; ALTER TABLE own ENABLE ROW LEVEL SECURITY",
            "row-level security would hide rows of own from clerk: ALTER ROLE clerk BYPASSRLS",
        ),
        ("SELECT lo_create(4712)", "clerk may not read the large object 4712"),
    ],
    ids=["table", "schema", "sequence", "row security", "large object"],
)
def test_what_may_not_be_read_is_never_left_out(
    make: Make, run: Callable[[str], None], clerk: str, folder: Path, script: str, said: str
) -> None:
    run(script)
    source = make(user=clerk, password="secret word")
    assert said in str(refused(source, folder))
    if "hidden" in script:
        with pytest.raises(SourceError, match="hidden"):
            source.check()
    run(f"GRANT pg_read_all_data TO {clerk}; ALTER ROLE {clerk} BYPASSRLS")
    if "lo_create" in script:
        run(f"GRANT SELECT ON LARGE OBJECT 4712 TO {clerk}")
    dumped(source, folder)
    source.check()
    run("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")


def test_roles_without_the_right_to_their_passwords(make: Make, clerk: str, folder: Path) -> None:
    source = make(user=clerk, password="secret word", db_name=None, databases="all")
    assert "leave them out by role_passwords: false" in str(refused(source, folder, GLOBALS))
    source = source.model_copy(update={"role_passwords": False})
    assert b"CREATE ROLE clerk" in dumped(source, folder, GLOBALS)[1]


@pytest.mark.parametrize("settings", [{}, {"format": "directory", "jobs": 2}], ids=str)
def test_a_locked_table_is_waited_for_so_long(
    make: Make, postgres: Postgres, postgres_database: str, folder: Path, settings: dict[str, object]
) -> None:
    with postgres.connect(postgres_database, autocommit=False) as connection:
        connection.execute("CREATE TABLE t (x int)")
        connection.commit()
        connection.execute("ALTER TABLE t ADD y int")
        began = time.monotonic()
        error = refused(make(lock_timeout="300ms", **settings), folder)
        assert time.monotonic() - began < 60
        assert "locked one of these for more than 0.3 s: public.t;" in str(error)
        assert not error.permanent
        connection.rollback()


def test_a_server_that_ends_the_connection(
    make: Make, run: Callable[[str], None], postgres: Postgres, folder: Path, postgres_database: str
) -> None:
    run("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 50000)")
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'backupman'"
    with (
        pytest.raises(DumpError, match="ended the connection while it was read") as raised,
        make().dump(postgres_database, folder) as dump,
    ):
        assert dump.stream.read(1)
        assert postgres.psql("postgres", query) == "t\nt\n"  # pg_dump, and the session that counts
        read(dump)
    assert not raised.value.permanent


def test_a_table_that_is_not_there(make: Make, run: Callable[[str], None], folder: Path) -> None:
    run('CREATE TABLE "Order" (x int)')
    assert 'no tables match the pattern "Order":' in str(refused(make(tables=["Order"]), folder))
    assert 'no tables match the pattern "gone":' in str(refused(make(tables=["gone", '"Order"']), folder))
    assert "no tables match: correct" in str(refused(make(options=["--table=gone"]), folder))
    dumped(make(tables=['"Order"']), folder)


def test_options_that_pg_dump_does_not_know(make: Make, folder: Path) -> None:
    for options in (["--nonsense"], ["stray"], ["--schema-only", "--data-only"]):
        assert "pg_dump does not understand options" in str(refused(make(options=options), folder))


@pytest.fixture
def lying(make: Make, postgres: Postgres, tmp_path: Path) -> Callable[..., PostgresSource]:
    """Makes a source whose pg_dump is a script; `$REAL` is the folder of the real one."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("pg_restore", "psql"):
        (tools / name).symlink_to(postgres.bin / name)

    def lying(script: str, **settings: object) -> PostgresSource:
        version = 'case "$*" in --version) exec $REAL/pg_dump --version; esac'
        (tools / "pg_dump").write_text(f"#!/bin/sh\nREAL={postgres.bin}\n{version}\n{script}\n")
        (tools / "pg_dump").chmod(0o755)
        return make(tool_path=tools, **settings)

    return lying


FORMATS = ["plain", "custom", "directory"]


@pytest.mark.parametrize("kind", FORMATS)
def test_tools_that_lie(lying: Callable[..., PostgresSource], folder: Path, kind: str) -> None:
    place = f"mkdir {folder}/dump; " if kind == "directory" else ""
    nothing = {"plain": "is empty although", "custom": "no readable table of contents", "directory": "no readable"}
    garbage = {"plain": "cut off", "custom": "no readable table of contents", "directory": "no readable"}
    for script, said in [
        ("exit 0", nothing[kind]),
        (f"{place}echo 'CREATE TABLE x (y int);' | tee {folder}/dump/toc.dat 2>/dev/null; exit 0", garbage[kind]),
        ("echo x; kill -9 $$", "was ended by signal 9"),
        ("echo x; echo 'disk on fire' >&2; exit 3", "pg_dump failed with exit code 3: disk on fire"),
    ]:
        assert said in str(refused(lying(script, format=kind), folder))
        subprocess.run(["rm", "-rf", folder / "dump"], check=True)


def test_dumps_that_are_cut_off_behind_a_good_start(
    lying: Callable[..., PostgresSource], run: Callable[[str], None], folder: Path
) -> None:
    run("CREATE TABLE t AS SELECT repeat('x', 100) FROM generate_series(1, 50000)")
    for kind in ("plain", "custom"):
        source = lying('$REAL/pg_dump "$@" | head -c 3000000', format=kind)
        assert "the dump is cut off" in str(refused(source, folder))
    source = lying('$REAL/pg_dump "$@" | head -c 300', format="custom")
    assert "the dump has no readable table of contents" in str(refused(source, folder))


def test_a_dump_that_is_nothing_but_its_end(
    lying: Callable[..., PostgresSource], run: Callable[[str], None], folder: Path
) -> None:
    source = lying("echo '-- PostgreSQL database dump complete'")
    dumped(source, folder)  # as long as there is no table that it should hold
    run("CREATE TABLE orders (x int)")
    assert "the dump has 37 bytes, too few for the 1 table that " in str(refused(source, folder))
    run("CREATE TABLE customers (y int)")
    assert "too few for the 2 tables that " in str(refused(source, folder))


def test_a_warning_of_the_tool_is_one_of_the_dump(
    lying: Callable[..., PostgresSource], run: Callable[[str], None], folder: Path
) -> None:
    run("CREATE TABLE orders (x int)")
    script = 'echo "pg_dump: warning: subscriptions not dumped because current user is not a superuser" >&2'
    for kind in FORMATS:
        dump, _ = dumped(lying(f'{script}; $REAL/pg_dump "$@"', format=kind), folder)
        assert dump.warnings == ["Shop: subscriptions not dumped because current user is not a superuser"]


def test_a_program_alone_as_tool_path(make: Make, postgres: Postgres, tmp_path: Path, folder: Path) -> None:
    program = tmp_path / "pg_dump-of-the-house"
    program.write_text(f'#!/bin/sh\nexec {postgres.bin}/pg_dump "$@"\n')
    program.chmod(0o755)
    dumped(make(tool_path=program), folder)
    assert "pg_restore is not in" in str(refused(make(tool_path=program, format="custom"), folder))
    broken = tmp_path / "pg_restore"
    broken.write_text("#!/nowhere/interpreter\n")
    broken.chmod(0o755)
    assert "pg_restore cannot be started" in str(refused(make(tool_path=program, format="custom"), folder))


class Stop(Exception):
    pass


def test_an_interrupt_while_the_tool_fills_the_folder(
    make: Make, postgres: Postgres, postgres_database: str, folder: Path
) -> None:
    def stop(*_: object) -> None:
        raise Stop

    previous = signal.signal(signal.SIGUSR1, stop)
    timer = threading.Timer(1, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        with postgres.connect(postgres_database, autocommit=False) as connection:
            connection.execute("CREATE TABLE t (x int)")
            connection.commit()
            connection.execute("LOCK TABLE t")
            timer.start()
            with pytest.raises(Stop), make(format="directory", jobs=2).dump(postgres_database, folder):
                pass
            assert children() == []
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, previous)
