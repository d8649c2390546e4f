"""What goes wrong when a PostgreSQL dump is brought back: hostile dumps, refusals, a server that goes away."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from backupman.errors import DumpError, RestoreError
from backupman.sources import GLOBALS, Origin, Target
from backupman.sources.postgres import Postgres as PostgresSource
from tests.contracts._children import children
from tests.contracts.restore import Reader, reader
from tests.contracts.source import dumped
from tests.e2e.world import wait_for
from tests.servers.postgres import Postgres
from tests.sources.test_postgres import source_of

END = b"\n--\n-- PostgreSQL database dump complete\n--\n\n"
PLAIN = Origin("shop", ".sql", {})
HEAD = b"--\n-- PostgreSQL database dump\n--\n\n\\restrict abc123\n\nSET standard_conforming_strings = on;\n"
TABLE = b"CREATE TABLE t (x text);\nCOPY t FROM stdin;\n\\\\! id\n\\.\n"

Restore = Callable[[bytes], list[str]]


@pytest.fixture
def source(postgres: Postgres) -> PostgresSource:
    return source_of(postgres, databases="all")


@pytest.fixture
def target(postgres: Postgres) -> Iterator[str]:
    name = "brought_back"
    yield name
    postgres.drop_database(name)


@pytest.fixture
def restore(source: PostgresSource, target: str, tmp_path: Path) -> Restore:
    """Restores a script as plain SQL."""

    def run(script: bytes) -> list[str]:
        return source.restore(reader(script), PLAIN, Target(target), tmp_path)

    return run


@pytest.fixture
def refused(restore: Restore, source: PostgresSource, target: str) -> Callable[[bytes], str]:
    """Restores a script that is refused, and gives the sentence."""

    def run(script: bytes) -> str:
        with pytest.raises(RestoreError, match=r"^Shop: ") as raised:
            restore(script)
        assert not source.exists(target)
        assert children() == []
        return raised.value.sentence

    return run


HOSTILE = {
    "a shell": b"\\! touch %s\n",
    "a shell behind SQL": b"SELECT 1 \\! touch %s\n",
    "a shell inside of a statement": b"SELECT\n  1,\\! touch %s\n 2;\n",
    "a program that is copied from": b"CREATE TABLE u (x text);\n\\copy u from program 'touch %s'\n",
    "a program that is written to": b"\\o |touch %s\nSELECT 1;\n",
    "backticks": b"\\set x `touch %s`\n",
    "a generated command": b"SELECT 'SELECT 1' \\gexec\n-- %s\n",
    "another file": b"\\i /etc/passwd\n-- %s\n",
    "another database": b"\\connect postgres\n-- %s\n",
    "the end of psql": b"\\q\n-- %s\n",
    "behind the rows": b"COPY t FROM stdin;\nrow\n\\.\n\\! touch %s\n",
    "a key of its own": b"\\unrestrict abc123\n\\! touch %s\n",
    "a second key": b"\\restrict xyz\n\\unrestrict xyz\n\\! touch %s\n",
    "quotes that another setting reads otherwise": (
        b"SET standard_conforming_strings = off;\nSELECT '\\'' \\! touch %s\n';\n"
    ),
    "quotes that another encoding reads otherwise": b"SET client_encoding = 'SJIS';\nSELECT '\x83'' \\! touch %s\n';\n",
    "a comment that a carriage return ends": b"-- nothing\r\\! touch %s\n",
    "a quote behind an identifier": b"SELECT 1 AS a$$ \\! touch %s\n$$;\n",
    "behind the end": END + b"\\! touch %s\n",
    "a variable": b"\\setenv PAGER 'touch %s'\n\\pset pager always\nSELECT 1;\n",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_dump_runs_no_command(refused: Callable[[bytes], str], body: bytes, tmp_path: Path) -> None:
    pwned = tmp_path / "pwned"
    said = refused(HEAD + TABLE + body % str(pwned).encode() + END)
    assert "it holds a command of psql" in said or "wrong key" in said
    assert not pwned.exists()


def test_what_a_sidecar_tells_of_a_database_runs_no_command(
    source: PostgresSource, target: str, tmp_path: Path
) -> None:
    pwned = tmp_path / "pwned"
    facts = {"encoding": "UTF8", "locale_provider": f"libc;\n\\! touch {pwned}\n"}
    with pytest.raises(RestoreError, match=r"^Shop: "):
        source.restore(reader(HEAD + TABLE + END), Origin("shop", ".sql", facts), Target(target), tmp_path)
    assert not pwned.exists()
    assert not source.exists(target)


def test_a_database_of_icu_comes_back_as_one(
    source: PostgresSource, postgres: Postgres, target: str, tmp_path: Path
) -> None:
    facts = {"encoding": "UTF8", "collate": "C", "locale_provider": "icu", "locale": "de"}
    source.restore(reader(HEAD + TABLE + END), Origin("shop", ".sql", facts), Target(target), tmp_path)
    with postgres.connect(target) as connection:
        [found] = connection.execute(
            "SELECT datlocprovider, coalesce(row->>'datlocale', row->>'daticulocale'), datctype "
            "FROM pg_database, to_jsonb(pg_database) row WHERE datname = current_database()"
        ).fetchall()
    assert found == ("i", "de", "C")


def test_backslashes_that_are_no_commands_come_back(restore: Restore, postgres: Postgres, target: str) -> None:
    body = b"""CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$
/*
\\! id
*/
SELECT '\\d' || $$
\\connect x
$$;
$_$;
COMMENT ON TABLE t IS 'first
\\! second';
CREATE TABLE "a
\\! b" ();
SELECT E'it\\'s
\\! fine';
/* \\! this
\\! too */
-- \\! and this
"""
    assert restore(HEAD + TABLE + body + END + b"\\unrestrict abc123\n\n") == []
    with postgres.connect(target) as connection:
        assert connection.execute("SELECT x, f(), obj_description('t'::regclass) FROM t").fetchall() == [
            ("\\! id", "\\d\n\\connect x\n", "first\n\\! second")
        ]


def test_a_psql_that_cannot_be_restricted_is_not_used(
    postgres: Postgres, source: PostgresSource, target: str, tmp_path: Path
) -> None:
    old = tmp_path / "psql"
    old.write_text(f"""#!/bin/sh
exec {postgres.bin}/psql "$@" <<end
$(sed 's/^.restrict/\\\\old&/')
end
""")
    old.chmod(0o755)
    with pytest.raises(RestoreError, match=r"update postgresql-client to .*15\.14") as raised:
        source.model_copy(update={"tool_path": tmp_path}).restore(reader(HEAD + END), PLAIN, Target(target), tmp_path)
    assert raised.value.permanent
    assert not source.exists(target)


def test_the_first_error_comes_with_its_statement(refused: Callable[[bytes], str]) -> None:
    said = refused(HEAD + TABLE + b"SELECT 1 /\n  0;\nSELECT nonsense;\n" + END)
    assert said == "Shop: the dump cannot be restored: division by zero; the statement: SELECT 1 / 0;"
    said = refused(HEAD + b"CREATE TABLE n (x integer);\nCOPY n FROM stdin;\n1\nzwei\n\\.\n" + END)
    assert said.endswith('"zwei" (COPY n, line 2, column x); the statement: COPY n FROM stdin;')
    said = refused(HEAD + TABLE + b"ALTER TABLE t OWNER TO nobody_there;\n" + END)
    assert said.startswith("Shop: the dump cannot be restored: restore the roles first (the part _globals), or CREATE")
    said = refused(HEAD + b"CREATE SUBSCRIPTION s CONNECTION 'host=x password=hush' PUBLICATION p, 1;\n" + END)
    assert "password='…'" in said
    assert "hush" not in said
    said = refused(HEAD + b"CREATE EXTENSION no_such;\n" + END)
    assert "install the extension's package on the server" in said
    said = refused(HEAD + b"SET no_such_setting = 0;\n" + END)
    assert "made by a pg_dump that is newer than the server" in said


def test_what_is_filled_before_what_it_reads_is_named(
    source: PostgresSource, postgres: Postgres, target: str, tmp_path: Path
) -> None:
    name = postgres.create_database()
    with postgres.connect(name) as connection:
        connection.execute("CREATE MATERIALIZED VIEW z AS SELECT 1 AS x")
        many = "CREATE FUNCTION many() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.z'"
        connection.execute(f"{many}; CREATE MATERIALIZED VIEW a AS SELECT many()")
    made = source.model_copy(update={"format": "plain"})
    _, data = dumped(made, tmp_path, name)
    postgres.drop_database(name)
    with pytest.raises(RestoreError, match=r"reads another one by a function, .*: try --jobs 1, or have it read"):
        made.restore(reader(data), Origin(name, ".sql"), Target(target), tmp_path)


@pytest.mark.parametrize(("form", "suffix"), [("plain", ".sql"), ("custom", ".dump")])
def test_what_leans_on_the_search_path_is_named(
    source: PostgresSource, postgres: Postgres, target: str, tmp_path: Path, form: str, suffix: str
) -> None:
    name = postgres.create_database()
    with postgres.connect(name) as connection:
        connection.execute("CREATE TABLE t (x integer)")
        connection.execute("CREATE FUNCTION many() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t'")
        if connection.info.server_version < 170000:
            connection.execute("CREATE MATERIALIZED VIEW v AS SELECT many()")
        else:  # which fills one with an empty search_path from the start
            connection.execute("CREATE TABLE v (x integer CHECK (many() >= 0)); INSERT INTO v VALUES (1)")
    made = source.model_copy(update={"format": form})
    _, data = dumped(made, tmp_path, name)
    postgres.drop_database(name)
    with pytest.raises(RestoreError) as raised:
        made.restore(reader(data), Origin(name, suffix), Target(target), tmp_path)
    assert "dumps are restored with an empty search_path" in raised.value.sentence
    assert 'relation "t" does not exist' in raised.value.sentence


@pytest.mark.parametrize("cut", [b"", HEAD, HEAD + TABLE, HEAD + TABLE[:-4]], ids=["empty", "head", "no end", "rows"])
def test_a_dump_without_its_end_is_not_restored(
    refused: Callable[[bytes], str], source: PostgresSource, cut: bytes, tmp_path: Path
) -> None:
    assert "cut off" in refused(cut)
    with pytest.raises(DumpError, match="cut off"):
        source.inspect(reader(cut), PLAIN, tmp_path)


@pytest.mark.parametrize(
    ("suffix", "facts", "said"),
    [
        (".sql", {"server_version": "99.1"}, "the dump is of PostgreSQL 99, and the server is"),
        (
            ".dump",
            {"server_version": "9.6.1", "tool_version": "99devel"},
            "pg_dump 99 made the dump, and pg_restore is",
        ),
    ],
)
def test_what_is_newer_is_refused_before_anything_is_read(
    source: PostgresSource, target: str, tmp_path: Path, suffix: str, facts: dict[str, str], said: str
) -> None:
    stream = Reader(b"", AssertionError("was read"))
    with pytest.raises(RestoreError, match=said) as raised:
        source.restore(cast(BinaryIO, stream), Origin("shop", suffix, facts), Target(target), tmp_path)
    assert raised.value.permanent
    assert not source.exists(target)


def test_a_server_that_goes_away_half_way(
    source: PostgresSource, postgres: Postgres, target: str, tmp_path: Path
) -> None:
    class Ending(Reader):
        def read(self, size: int | None = -1) -> bytes:
            chunk = super().read(size)
            if not chunk:
                query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{target}'"
                wait_for(lambda: "t" in postgres.psql("postgres", query))  # psql may not be connected yet
            return chunk

    script = HEAD + TABLE + b"SELECT pg_sleep(0);\n" * 20000 + END
    with pytest.raises(RestoreError, match="ended the connection"):
        source.restore(cast(BinaryIO, Ending(script)), PLAIN, Target(target), tmp_path)
    assert not source.exists(target)


@pytest.mark.parametrize("name", ["../evil", "dump/../../evil", "/tmp/evil", "dump/a/b", "other/toc.dat", "dump/.x"])
def test_a_tar_file_cannot_leave_its_folder(source: PostgresSource, target: str, tmp_path: Path, name: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    self_made = reader(packed.getvalue())
    with pytest.raises(RestoreError, match="nothing that pg_dump writes"):
        source.restore(self_made, Origin("shop", ".tar", {}), Target(target), tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["dump"]


def test_a_link_in_a_tar_file_is_refused(source: PostgresSource, tmp_path: Path) -> None:
    link = tarfile.TarInfo("dump/toc.dat")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(DumpError, match="nothing that pg_dump writes"):
        source.inspect(reader(link.tobuf() + bytes(1024)), Origin("shop", ".tar", {}), tmp_path)


def test_roles_come_back_and_those_that_exist_are_a_warning(
    source: PostgresSource, postgres: Postgres, tmp_path: Path
) -> None:
    postgres.psql("postgres", "CREATE ROLE globe LOGIN PASSWORD 'right'; CREATE ROLE wide; GRANT wide TO globe")
    _, data = dumped(source, tmp_path, GLOBALS)
    postgres.psql("postgres", "DROP ROLE globe")
    origin = Origin(GLOBALS, ".sql", {})
    [warning] = source.restore(reader(data), origin, Target(GLOBALS), tmp_path)
    assert 'role "wide" already exists' in warning
    with postgres.connect(user="globe", password="right") as connection:
        connection.execute("SET ROLE wide")
    broken = data.replace(b"CREATE ROLE globe;", b"CREATE ROLE globe;\nALTER ROLE nobody_there PASSWORD 'hush';")
    with pytest.raises(RestoreError, match=r"nobody_there.*PASSWORD '…'"):
        source.restore(reader(broken), origin, Target(GLOBALS), tmp_path)
    with pytest.raises(RestoreError, match="go with the whole server"):
        source.restore(reader(data), origin, Target("shop"), tmp_path)
    source.remove(GLOBALS)
    assert source.exists(GLOBALS)
    postgres.psql("postgres", "DROP ROLE globe, wide")
