"""SQLite: the file that comes out is whole, whatever another program does to the one that went in."""

import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backupman.errors import DumpError, SourceError
from backupman.sources.sqlite import Sqlite
from tests.contracts.source import SIZE, SourceContract, dumped

AWKWARD = """
    CREATE TABLE "order" (id INTEGER PRIMARY KEY AUTOINCREMENT, "a ""quoted"" name" TEXT, twice INT AS (id * 2) STORED);
    CREATE TABLE [we ird; --] (k TEXT PRIMARY KEY, v BLOB, r REAL) WITHOUT ROWID;
    CREATE TABLE exact (i INTEGER, b BLOB, t TEXT) STRICT;
    CREATE TABLE child (id INT REFERENCES "order" (id) ON DELETE CASCADE, note TEXT COLLATE NOCASE DEFAULT 'it''s');
    CREATE INDEX partly ON child (lower(note)) WHERE note IS NOT NULL;
    CREATE VIEW both AS SELECT o.id, c.note FROM "order" o LEFT JOIN child c USING (id);
    CREATE TRIGGER grows AFTER INSERT ON child BEGIN
        UPDATE "order" SET "a ""quoted"" name" = 'seen' WHERE id = NEW.id; END;
    CREATE VIRTUAL TABLE words USING fts5 (text);
    INSERT INTO words VALUES ('full text search');
    INSERT INTO "order" ("a ""quoted"" name")
        VALUES ('C:\\new\\tmp\\'), ('😀 ß' || char(0) || 'after NUL'), (NULL), ('');
    DELETE FROM "order" WHERE id = 4;
    INSERT INTO child VALUES (1, 'x'), (2, NULL);
    INSERT INTO exact VALUES (-9223372036854775808, NULL, '{"a": [1, 2.50]}'), (9223372036854775807, x'', '
');
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with every awkward thing and more than SIZE bytes."""
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(AWKWARD)
        every_byte = bytes(range(256))
        rows = [("bytes", every_byte, math.inf), ("real", None, -0.1), ("filler", b"\0" * SIZE, 5e-324)]
        database.executemany('INSERT INTO "we ird; --" VALUES (?, ?, ?)', rows)
        database.commit()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder


def sqlite(path: Path, **settings: object) -> Sqlite:
    return Sqlite.model_validate({"provider": "sqlite", "label": "Files", "db_path": path, **settings})


def everything(path: Path) -> list[str]:
    """The whole content as the plain `sqlite3` program prints it."""
    argv = ["sqlite3", "-readonly", str(path), ".dump"]
    return subprocess.run(argv, capture_output=True, check=True).stdout.decode().splitlines()


@pytest.mark.service("sqlite3")
class TestSqlite(SourceContract):
    @pytest.fixture
    def source(self, path: Path) -> Sqlite:
        return sqlite(path)

    @pytest.fixture
    def rows(self, path: Path) -> list[str]:
        return everything(path)

    @pytest.fixture
    def restored_rows(self, tmp_path: Path) -> Callable[[bytes], list[str]]:
        def restore(data: bytes) -> list[str]:
            copy = tmp_path / "restored.db"
            copy.write_bytes(data)
            return everything(copy)

        return restore


WRITER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
number = 0
while True:
    number += 1
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT INTO debit VALUES (?, zeroblob(3000))", (number,))
    database.execute("INSERT INTO credit VALUES (?, zeroblob(3000))", (number,))
    database.execute("COMMIT")
    print(number, flush=True)
"""


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_file_that_is_written_to_comes_out_whole(tmp_path: Path, folder: Path, journal: str) -> None:
    path = tmp_path / "busy.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        # A log that is never moved into the main file: a plain copy of that one would be empty.
        database.execute("PRAGMA wal_autocheckpoint = 0")
        for table in ("debit", "credit"):
            database.execute(f"CREATE TABLE {table} (number INT, filler BLOB)")
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            before = [int(writer.stdout.readline()) for _ in range(50)][-1]
            _, data = dumped(sqlite(path), folder)
            assert int(writer.stdout.readline()) >= before, "the writer did not go on"
            writer.kill()
    copy = tmp_path / "restored.db"
    copy.write_bytes(data)
    with closing(sqlite3.connect(copy)) as restored:
        debit, credit = (restored.execute(f"SELECT number FROM {table}").fetchall() for table in ("debit", "credit"))
        assert debit == credit == [(number,) for number in range(1, len(debit) + 1)]
        assert len(debit) >= before
        assert restored.execute("PRAGMA journal_mode").fetchone() == (journal,)


@pytest.mark.parametrize("name", ["my app.db", "a?mode=rwc&x=.db", "100% #1.db", "ß😀'\".db", "a%41.db"])
def test_odd_file_names(path: Path, folder: Path, name: str) -> None:
    odd = path.rename(path.with_name(name))
    source = sqlite(odd)
    dumped(source, folder)
    assert source.list_databases() == [odd.stem]


def refused(source: Sqlite, folder: Path) -> str:
    """The sentence that a dump ends in, and `check` too."""
    with pytest.raises(DumpError, match=r"^Files: ") as raised, source.dump("app", folder):
        pass
    assert not list(folder.glob("*-journal"))
    return str(raised.value)


def test_a_missing_file_is_named_and_never_made(tmp_path: Path, folder: Path) -> None:
    source = sqlite(tmp_path / "gone.db")
    assert source.list_databases() == ["gone"]
    assert refused(source, folder) == f"Files: {tmp_path}/gone.db does not exist: correct db_path"
    with pytest.raises(SourceError, match="does not exist"):
        source.check()
    assert not (tmp_path / "gone.db").exists()


def test_files_that_are_no_database(tmp_path: Path, folder: Path) -> None:
    assert "is not a file" in refused(sqlite(tmp_path), folder)
    text = tmp_path / "text.db"
    for content, said in [(b"", "is an empty file"), (b"hello", "is no SQLite"), (b"hello\n" * 999, "encrypted")]:
        text.write_bytes(content)
        assert said in refused(sqlite(text), folder)
        assert text.read_bytes() == content
        with pytest.raises(SourceError, match=said):
            sqlite(text).check()
        (folder / "copy.sqlite").unlink(missing_ok=True)


def test_a_damaged_database_is_refused(path: Path, folder: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\x7f" * 8192)
    assert "is damaged" in refused(sqlite(path), folder)
    (folder / "copy.sqlite").unlink()
    with pytest.raises(DumpError, match="is damaged"), sqlite(path).dump("app", folder) as dump:
        assert len(dump.stream.read()) == path.stat().st_size


def test_a_database_without_tables_gives_a_warning(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "bare.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 1")
    dump, _ = dumped(sqlite(path), folder)
    assert dump.warnings == [f"Files: {path} holds no tables"]


@pytest.fixture
def locked(path: Path) -> Iterator[Path]:
    """The database while another program holds it alone."""
    script = "import sqlite3, sys; database = sqlite3.connect(sys.argv[1], isolation_level=None); "
    script += "database.execute('BEGIN EXCLUSIVE'); print(flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as locker:
        assert locker.stdout is not None and locker.stdin is not None
        locker.stdout.readline()
        yield path
        locker.stdin.close()


def test_a_locked_database_is_waited_for_so_long(locked: Path, folder: Path) -> None:
    assert "stayed locked by another program for 0.1 s" in refused(sqlite(locked, lock_timeout="100ms"), folder)


def test_a_wait_for_a_lock_can_be_interrupted(locked: Path, folder: Path) -> None:
    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    previous = signal.signal(signal.SIGUSR1, stop)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        with pytest.raises(Stop):
            timer.start()
            with sqlite(locked, lock_timeout="1h").dump("app", folder):
                pass
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, previous)


def test_a_copy_without_room_is_not_begun(path: Path, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    pages = min(free // 4096 * 2, 2**32 - 2)
    with path.open("r+b") as file:
        file.seek(28)
        file.write(pages.to_bytes(4, "big"))
        file.truncate(pages * 4096)
    assert "make room there, or set tmp_folder" in refused(sqlite(path), folder)
    assert list(folder.iterdir()) == []


def bound_by_rights(code: str, *args: Path) -> str:
    """What a script prints when the rights of files and folders hold for it, as they do not for root."""
    argv = [sys.executable, "-c", code, *map(str, args)]
    if os.geteuid() == 0:
        without = "-dac_override,-dac_read_search"
        argv = ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}", *argv]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


DUMPER = """
import sys, tempfile
from pathlib import Path
from backupman.errors import SourceError
from backupman.sources.sqlite import Sqlite
source = Sqlite(provider="sqlite", label="Files", db_path=Path(sys.argv[1]))
with tempfile.TemporaryDirectory() as folder:
    try:
        with source.dump("app", Path(folder)) as dump:
            print("dumped", len(dump.stream.read()))
    except SourceError as error:
        print(error)
"""


def crashed(path: Path, script: str) -> None:
    """Run SQL as a program that dies without closing the file."""
    code = "import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    code += "for line in sys.argv[2].split(';'): d.execute(line)\nos._exit(0)"
    subprocess.run([sys.executable, "-c", code, str(path), script], check=True)


def test_a_log_that_nobody_keeps_open_in_a_folder_that_may_not_be_written(path: Path) -> None:
    crashed(path, "PRAGMA journal_mode = wal; CREATE TABLE late (x)")
    path.with_name("app.db-shm").unlink()
    path.parent.chmod(0o555)
    try:
        assert "to write in its folder" in bound_by_rights(DUMPER, path)
    finally:
        path.parent.chmod(0o755)


def test_a_file_that_may_not_be_read(path: Path) -> None:
    path.chmod(0o200)
    assert bound_by_rights(DUMPER, path).startswith(f"Files: the account may not read {path}")


def test_a_folder_that_may_not_be_written_to(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = wal")
    path.parent.chmod(0o500)
    told = bound_by_rights(DUMPER, path)
    assert f"to write in its folder {path.parent}" in told


def test_a_log_of_a_dead_writer_is_part_of_the_dump(path: Path, folder: Path, tmp_path: Path) -> None:
    crashed(path, "PRAGMA journal_mode = wal; CREATE TABLE late (x); INSERT INTO late VALUES (42)")
    _, data = dumped(sqlite(path), folder)
    copy = tmp_path / "restored.db"
    copy.write_bytes(data)
    with closing(sqlite3.connect(copy)) as restored:
        assert restored.execute("SELECT x FROM late").fetchall() == [(42,)]


def test_a_transaction_of_a_dead_writer_is_not_taken_for_data(path: Path, folder: Path) -> None:
    crashed(path, "PRAGMA cache_size = 1; BEGIN; UPDATE child SET note = zeroblob(9999999)")
    assert path.with_name("app.db-journal").exists()
    assert "has died in a transaction" in refused(sqlite(path), folder)
