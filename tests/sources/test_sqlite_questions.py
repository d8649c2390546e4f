"""SQLite: what is noted of a dump, and what may be asked of a restored file."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backupman.errors import RestoreError
from backupman.sources import Origin, Target
from backupman.sources._sqlite_content import beside, opened
from tests.contracts.restore import reader
from tests.contracts.source import dumped
from tests.sources.test_sqlite import sqlite
from tests.sources.test_sqlite_restore import held, made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made(tmp_path / "app.db", "CREATE TABLE t (x); INSERT INTO t VALUES (1), (2), (3)")


def test_questions_about_a_database_in_wal_mode_leave_nothing_beside_it(path: Path) -> None:
    search = "CREATE VIRTUAL TABLE words USING fts5 (text); CREATE VIRTUAL TABLE boxes USING rtree (id, low, high);"
    made(
        path,
        "PRAGMA journal_mode = wal;" + search,
        "INSERT INTO words VALUES ('found'); INSERT INTO boxes VALUES (1, 2, 3)",
    )
    source = sqlite(path)
    assert source.scalar("app", "SELECT text FROM words WHERE words MATCH 'found'", 30) == "found"
    assert source.scalar("app", "SELECT high FROM boxes WHERE low > 1", 30) == "3.0"
    assert {table.name: table.rows for table in source.count_rows("app")}["t"] == 3
    assert [file.name for file in path.parent.iterdir()] == ["app.db"]
    with held(path, "INSERT INTO t VALUES (4)"):
        assert source.scalar("app", "SELECT count(*) FROM t", 30) == "4"


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH 'other.db' AS other",
        "PRAGMA query_only = off",
        "PRAGMA user_version = 3",
        "PRAGMA journal_mode = wal",
        "CREATE TEMP TABLE t2 (x)",
        "VACUUM",
        "VACUUM INTO 'other.db'",
        "SELECT load_extension('x')",
        "INSERT INTO t VALUES (4) RETURNING x",
        "WITH x AS (SELECT 1) DELETE FROM t RETURNING x",
        "-- nothing",
        "SELECT * FROM nowhere",
    ],
)
def test_a_question_can_do_nothing_but_read(path: Path, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    before = path.read_bytes()
    with pytest.raises(RestoreError, match=r"^Files: app does not answer: "):
        sqlite(path).scalar("app", sql, 30)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_rows_that_cannot_be_counted(path: Path, tmp_path: Path) -> None:
    odd = 'CREATE TABLE "a""b [c] `d`; --" (x); CREATE VIRTUAL TABLE words USING fts5 (text)'
    made(path, odd, "ANALYZE; INSERT INTO t SELECT 4; PRAGMA user_version = 7")
    folder = tmp_path / "copies"
    folder.mkdir()
    rows = {}
    for counting in ("exact", "estimate", "none"):
        dump, _ = dumped(sqlite(path, manifest={"rows": counting}), folder)
        assert dump.manifest is not None
        rows[counting] = {table.name: (table.rows, table.exact) for table in dump.manifest.tables}
        (folder / "copy.sqlite").unlink()
    assert rows["exact"]["t"] == (4, True)
    assert rows["exact"]['a"b [c] `d`; --'] == (0, True)
    assert rows["exact"]["words"] == (None, False)
    assert rows["estimate"]["t"] == (3, False)
    assert rows["none"]["t"] == (None, False)
    dump, _ = dumped(sqlite(path, manifest={"timeout": 0}), folder)
    assert dump.manifest is not None
    assert {table.exact for table in dump.manifest.tables} == {False}
    assert dump.facts == dump.manifest.facts
    assert {"encoding": "UTF-8", "user_version": "7", "page_size": "4096"}.items() <= dump.facts.items()
    assert dump.manifest.same_snapshot


@pytest.mark.parametrize(
    ("table", "version"),
    [
        ("CREATE TABLE u (x)", "3.7.0"),
        ("CREATE TABLE u (x INTEGER) STRICT", "3.37.0"),
        ("CREATE TABLE u (x, y AS (x))", "3.31.0"),
        ("CREATE TABLE u (x PRIMARY KEY) WITHOUT ROWID", "3.8.2"),
    ],
)
def test_who_can_read_it(path: Path, tmp_path: Path, table: str, version: str) -> None:
    (tmp_path / "copies").mkdir()
    dump, _ = dumped(sqlite(made(path, table)), tmp_path / "copies")
    assert dump.manifest is not None
    assert dump.manifest.restorable_by == version


def test_a_dump_that_is_given_up_ends_the_look_at_its_copy(path: Path) -> None:
    endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with (
        opened(path) as database,
        pytest.raises(KeyboardInterrupt),
        beside(database, lambda: database.execute(endless).fetchall()) as looking,
    ):
        raise KeyboardInterrupt
    assert isinstance(looking.exception(), sqlite3.OperationalError)


def test_orders_and_functions_that_only_the_databases_own_program_knows(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    with closing(sqlite3.connect(path)) as program:
        program.create_collation("icu_root", lambda one, other: (one < other) - (one > other))
        program.create_function("sortable", 1, lambda text: text, deterministic=True)
        program.executescript(
            """CREATE TABLE t (title TEXT COLLATE icu_root); INSERT INTO t VALUES ('a'), ('z'), ('b');
            CREATE INDEX titles ON t (title); CREATE TABLE u (x); INSERT INTO u VALUES (1);
            CREATE INDEX sorted ON u (sortable(x))"""
        )
    source = sqlite(path)
    (tmp_path / "work").mkdir()
    dump, data = dumped(source, tmp_path / "work")
    assert dump.manifest is not None
    assert {table.name: table.rows for table in dump.manifest.tables} == {"t": 3, "u": 1}
    with source.scratch(tmp_path / "work", Origin("library", ".sqlite", dump.facts)) as server:
        place = server.target_of("drill")
        server.restore(reader(data), Origin("library", ".sqlite", dump.facts), Target(place), tmp_path)
        assert server.count_rows(place) == dump.manifest.tables
