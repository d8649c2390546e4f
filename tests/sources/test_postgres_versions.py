"""PostgreSQL in several versions: dumps by newer programs than the server they go into, and programs that are older."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from backupman.errors import BackupmanError, RestoreError, SourceError
from backupman.sources import GLOBALS, Origin, Target
from backupman.sources._postgres_client import Login
from backupman.sources._postgres_options import leave_out_definitions, leave_out_rows, leave_out_tables
from backupman.sources._postgres_server import Server
from backupman.sources.postgres import Postgres as PostgresSource
from tests.contracts._children import children
from tests.contracts.restore import reader
from tests.contracts.source import dumped
from tests.servers.postgres import Postgres
from tests.sources.test_postgres import source_of
from tests.sources.test_postgres_restore_faults import END, HEAD, TABLE

# What pg_dump and pg_restore of PostgreSQL 17 and newer say first, whatever server it is for.
TIMEOUT = "SET transaction_timeout = 0;"
REFUSED = (
    'pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"'
)
NEWER = f"""#!/bin/sh
case "$*" in
    --version) echo "pg_restore (PostgreSQL) 17.6" ;;
    *--file=-*) "{{real}}" "$@" | sed 's/^SET lock_timeout = 0;/{TIMEOUT}/' ;;
    *) echo '{REFUSED}
Command was: {TIMEOUT}' >&2; exit 1 ;;
esac
"""


@pytest.fixture
def target(postgres: Postgres) -> Iterator[str]:
    yield "brought_back"
    postgres.drop_database("brought_back")


@pytest.fixture
def newer(
    postgres: Postgres, postgres_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> PostgresSource:
    """A source with a pg_restore of PostgreSQL 17, on a server that is older."""
    postgres.psql(
        postgres_database,
        "CREATE TABLE t AS SELECT generate_series(1, 10) AS x; CREATE TABLE u (x text);SELECT lo_from_bytea(4711, 'x')",
    )
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("psql", "pg_dump"):
        (place / name).symlink_to(postgres.bin / name)
    (place / "pg_restore").write_text(NEWER.format(real=postgres.bin / "pg_restore"))
    (place / "pg_restore").chmod(0o755)
    monkeypatch.setattr(Server, "major", lambda server: 15)
    return source_of(postgres, db_name=postgres_database, format="custom").model_copy(update={"tool_path": place})


def of_the_same(source: PostgresSource, postgres: Postgres, folder: Path) -> bytes:
    """The dump of a source by the programs that are there."""
    _, data = dumped(source.model_copy(update={"tool_path": postgres.bin}), folder)
    return data


def test_a_plain_dump_of_newer_programs_comes_back(postgres: Postgres, target: str, tmp_path: Path) -> None:
    source = source_of(postgres, databases="all")
    script = HEAD + f"SET lock_timeout = 0;\n{TIMEOUT}\n".encode() + TABLE + END
    assert source.restore(reader(script), Origin("shop", ".sql"), Target(target), tmp_path) == []
    assert source.scalar(target, "SELECT count(*) FROM t", 10) == "1"


def test_only_what_a_dump_begins_with_is_left_out(postgres: Postgres, target: str, tmp_path: Path) -> None:
    source = source_of(postgres, databases="all")
    script = HEAD + f"CREATE TABLE t (x text);\nCOPY t FROM stdin;\n{TIMEOUT}\n\\.\n".encode() + END
    assert source.restore(reader(script), Origin("shop", ".sql"), Target(target), tmp_path) == []
    assert source.scalar(target, "SELECT x FROM t", 10) == TIMEOUT


def test_the_rules_of_icu_come_back(postgres: Postgres, target: str, tmp_path: Path) -> None:
    with postgres.connect() as connection:
        knows = connection.info.server_version >= 160000
        made = (
            "CREATE DATABASE ruled TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'und'"
        )
        connection.execute(f"{made} ICU_RULES '&a < ''g'''" if knows else "CREATE DATABASE ruled")
    source = source_of(postgres, db_name="ruled")
    rules = "SELECT to_jsonb(d)->>'daticurules' FROM pg_database d WHERE datname = current_database()"
    try:
        dump, data = dumped(source, tmp_path)
        source.restore(reader(data), Origin("ruled", ".sql", dump.facts), Target(target), tmp_path)
        assert source.scalar(target, rules, 10) == ("&a < 'g'" if knows else None)
    finally:
        postgres.drop_database("ruled")


def test_the_rules_of_icu_are_asked_of_the_new_database(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Server, "psql", lambda server, script: said.append(script))
    facts = {"encoding": "UTF8", "collate": "C", "locale_provider": "icu", "locale": "und", "icu_rules": "&a < 'g'"}
    Server("Shop", "postgres", None, lambda database: nullcontext(Login("", {}, ()))).create("shop", facts)
    assert said[0].endswith("\"icu_locale\" E'und' ICU_RULES E'&a < ''g''';")


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_archive_of_newer_programs_comes_back(
    newer: PostgresSource, postgres: Postgres, target: str, tmp_path: Path, jobs: int
) -> None:
    data = of_the_same(newer, postgres, tmp_path)
    origin = Origin(newer.db_name or "", ".dump")
    assert newer.restore(reader(data), origin, Target(target, jobs=jobs), tmp_path) == []
    assert {table.name: table.rows for table in newer.count_rows(target)} == {"public.t": 10, "public.u": 0}
    assert newer.scalar(target, "SELECT lo_get(4711)", 10) == "\\x78"


def test_single_tables_of_such_an_archive_come_back(
    newer: PostgresSource, postgres: Postgres, target: str, tmp_path: Path
) -> None:
    data = of_the_same(newer, postgres, tmp_path)
    [warning] = newer.restore(reader(data), Origin("shop", ".dump"), Target(target, tables=["public.t"]), tmp_path)
    assert "no index, key, trigger or right" in warning
    assert {table.name: table.rows for table in newer.count_rows(target)} == {"public.t": 10}


def test_such_an_archive_that_cannot_be_read_is_explained(newer: PostgresSource, target: str, tmp_path: Path) -> None:
    data = b"PGDMP" + b"\x63" * 40 + b"\0" * 5
    with pytest.raises(RestoreError, match=r"made by a newer pg_dump: .* unsupported version"):
        newer.restore(reader(data), Origin("shop", ".dump"), Target(target), tmp_path)
    assert not newer.exists(target)
    assert children() == []


@pytest.mark.parametrize(
    ("suffix", "facts", "said"),
    [
        (".sql", {"server_version": "99.1"}, r"the dump is of PostgreSQL 99, and the server is"),
        (".dump", {"tool_version": "99devel"}, r"pg_dump 99 made the dump, and pg_restore is .*install"),
    ],
)
def test_what_is_too_old_here_says_nothing_of_the_copy_that_is_drilled(
    postgres: Postgres, target: str, tmp_path: Path, suffix: str, facts: dict[str, str], said: str
) -> None:
    source = source_of(postgres, databases="all")
    with pytest.raises(BackupmanError, match=said) as raised:
        source.restore(reader(b""), Origin("shop", suffix, facts), Target(target, drill=True), tmp_path)
    assert not isinstance(raised.value, RestoreError | SourceError)


@pytest.mark.parametrize("database", ["shop", GLOBALS])
def test_a_psql_that_is_too_old_says_nothing_of_the_copy_that_is_drilled(
    postgres: Postgres, target: str, tmp_path: Path, database: str
) -> None:
    old = tmp_path / "psql"
    old.write_text(f"""#!/bin/sh
exec {postgres.bin}/psql "$@" <<end
$(sed 's/^.restrict/\\\\old&/')
end
""")
    old.chmod(0o755)
    source = source_of(postgres, databases="all").model_copy(update={"tool_path": tmp_path})
    to = GLOBALS if database == GLOBALS else target
    with pytest.raises(BackupmanError, match=r"update postgresql-client to") as raised:
        source.restore(reader(HEAD + END), Origin(database, ".sql"), Target(to, drill=True), tmp_path)
    assert not isinstance(raised.value, RestoreError | SourceError)


def test_an_archive_that_is_too_new_to_be_looked_at_is_not_called_bad(postgres: Postgres, tmp_path: Path) -> None:
    source, data = source_of(postgres, databases="all"), b"PGDMP" + b"\x63" * 40 + b"\0" * 5
    with pytest.raises(BackupmanError, match="pg_dump 99 made the dump") as raised:
        source.inspect(reader(data), Origin("shop", ".dump", {"tool_version": "99.1"}), tmp_path)
    assert not isinstance(raised.value, RestoreError | SourceError)
    with pytest.raises(RestoreError, match="unsupported version"):
        source.inspect(reader(data), Origin("shop", ".dump", {"tool_version": "9.6"}), tmp_path)


def test_a_drill_takes_programs_that_are_new_enough_for_the_dump(postgres: Postgres, tmp_path: Path) -> None:
    source = source_of(postgres, databases="all")
    for made, there in (("9.6.1", True), ("99.1", False)):
        with source.scratch(tmp_path, Origin("shop", ".dump", {"tool_version": made})) as server:
            assert isinstance(server, PostgresSource)
            assert (server.tool_path is not None) is there


def test_what_options_leave_out_by_any_version() -> None:
    assert leave_out_definitions(["--no-schema"]) == "--no-schema"
    assert leave_out_definitions(["--no-sync", "--schema=public"]) == ""
    assert leave_out_tables(["--no-schema"])
    assert not leave_out_rows(["--no-schema"])


def test_the_rows_of_a_chosen_schema_are_counted(postgres: Postgres, postgres_database: str, tmp_path: Path) -> None:
    postgres.psql(postgres_database, "CREATE TABLE t AS SELECT generate_series(1, 10) AS x; CREATE TABLE u (x text)")
    source = source_of(postgres, db_name=postgres_database, options=["--schema=public", "--exclude-table=u"])
    dump, _ = dumped(source, tmp_path)
    assert dump.manifest is not None
    assert [(table.name, table.rows, table.exact) for table in dump.manifest.tables] == [("public.t", 10, True)]


def test_who_asks_in_a_drill_is_noted_by_no_trigger_of_the_dump(postgres: Postgres, tmp_path: Path) -> None:
    with postgres.connect() as connection:
        event = "login" if connection.info.server_version >= 170000 else "ddl_command_end"
    body = f"""CREATE TABLE logins (at timestamptz);
CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql
    AS 'BEGIN INSERT INTO public.logins VALUES (now()); END';
CREATE EVENT TRIGGER noted ON {event} EXECUTE FUNCTION noted();
ALTER EVENT TRIGGER noted ENABLE ALWAYS;
"""
    origin = Origin("shop", ".sql")
    with source_of(postgres, db_name="shop").scratch(tmp_path, origin) as server:
        server.restore(reader(HEAD + body.encode() + END), origin, Target("shop", drill=True), tmp_path)
        assert [(table.name, table.rows) for table in server.count_rows("shop")] == [("public.logins", 0)]
        assert server.scalar("shop", "SELECT count(*) FROM logins", 10) == "0"
