"""SQLite on its way back: a file gets its name when it is whole, and nothing that is there is put at risk."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from backupman.errors import DumpError, Interrupted, PipelineError, RestoreError, SourceError
from backupman.manifest import TableRows
from backupman.sources import Origin, Target
from backupman.sources.sqlite import Sqlite
from tests.contracts.restore import Reader, RestoreContract, reader
from tests.contracts.source import dumped
from tests.flushes import flushes
from tests.sources.test_sqlite import AWKWARD, everything, sqlite

ORIGIN = Origin("app", ".sqlite")


def made(path: Path, *scripts: str) -> Path:
    with closing(sqlite3.connect(path)) as database:
        for script in scripts:
            database.executescript(script)
    return path


@pytest.mark.service("sqlite3")
class TestRestore(RestoreContract):
    writes = "DELETE FROM child"
    endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, tmp_path_factory: pytest.TempPathFactory) -> Sqlite:
        filler = "CREATE TABLE filler AS SELECT value, zeroblob(2000) AS b FROM json_each('[1,2,3,4,5,6,7,8,9]')"
        return sqlite(made(tmp_path_factory.mktemp("source") / "app.db", AWKWARD, filler))

    @pytest.fixture
    def content(self, source: Sqlite) -> Callable[[str], Any]:
        return lambda database: everything(source.place_of(database))

    @pytest.fixture
    def target(self, tmp_path: Path) -> str:
        return str(tmp_path / "it's restored?.db")

    def nothing_is_left(self, source: Any, target: str) -> None:
        super().nothing_is_left(source, target)
        assert [path.name for path in Path(target).parent.iterdir() if path.is_file()] == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made(tmp_path / "app.db", "CREATE TABLE t (x); INSERT INTO t VALUES (1), (2), (3)")


@pytest.fixture
def data(path: Path, tmp_path: Path) -> bytes:
    folder = tmp_path / "copies"
    folder.mkdir()
    return dumped(sqlite(path), folder)[1]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder / "back.db"


def restore(source: Sqlite, data: bytes, place: Path, **how: Any) -> list[str]:
    return source.restore(reader(data), ORIGIN, Target(str(place), **how), place.parent)


def refused(source: Sqlite, data: bytes, place: Path, **how: Any) -> str:
    """What a restore says that must leave everything as it was."""
    before = {path: path.read_bytes() for path in place.parent.iterdir() if path.is_file()}
    with pytest.raises(RestoreError, match=r"^Files: ") as raised:
        restore(source, data, place, **how)
    after = {path: path.read_bytes() for path in place.parent.iterdir() if path.is_file()}
    assert {name: after[name] for name in before} == before
    assert {path.name for path in set(after) - set(before)} <= {f"{place.name}-shm"}
    return str(raised.value)


def test_names_of_targets(path: Path) -> None:
    source = sqlite(path)
    assert source.target_of("app") == str(path)
    assert source.target_of("new") == str(path.with_name("new.db"))
    assert source.exists(source.target_of("app"))
    assert source.target_of("/srv/new") == "/srv/new"
    assert source.exists("app")
    assert not source.exists("new.db")


def test_nobody_else_may_read_what_was_restored(path: Path, data: bytes, place: Path) -> None:
    restore(sqlite(path), data, place)
    assert place.stat().st_mode & 0o777 == 0o600
    assert list(place.parent.iterdir()) == [place]


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_thereafter(
    path: Path, data: bytes, place: Path
) -> None:
    with flushes(place) as found:
        restore(sqlite(path), data, place)
    assert [there for _, there in found] == [False] * (len(found) - 1) + [True]
    assert len({file for file, there in found if not there}) == 1
    assert found[-1] == (place.parent, True)


@pytest.mark.parametrize("damage", ["cut", "longer", "flipped", "text", "empty"])
def test_a_damaged_dump_never_gets_a_name(path: Path, data: bytes, place: Path, tmp_path: Path, damage: str) -> None:
    page = bytearray(data)
    page[4096:4200] = b"\x7f" * 104
    bad = {
        "cut": data[:-1],
        "longer": data + b"\0",
        "flipped": bytes(page),
        "text": b"-- SQL\n" * 999,
        "empty": b"",
    }[damage]
    assert "is no whole SQLite database" in refused(sqlite(path), bad, place)
    assert list(place.parent.iterdir()) == []
    with pytest.raises(DumpError, match="is no whole SQLite database"):
        sqlite(path).inspect(reader(bad), ORIGIN, place.parent)
    assert list(place.parent.iterdir()) == []


def test_a_log_of_another_database_is_not_taken_for_a_part_of_this_one(path: Path, data: bytes, place: Path) -> None:
    place.with_name("back.db-wal").write_bytes(b"left")
    assert "back.db-wal is left of another database" in refused(sqlite(path), data, place)


HOLDER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.argv[2].split(";"):
    database.execute(line).fetchall()
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path, script: str) -> Iterator[None]:
    """The database while another program has it open."""
    argv = [sys.executable, "-c", HOLDER, str(path), script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        holder.stdout.readline()
        yield
        holder.stdin.close()


@pytest.mark.parametrize("script", ["SELECT * FROM old", "BEGIN EXCLUSIVE", "PRAGMA journal_mode = wal"])
def test_a_file_that_others_have_open_is_not_replaced(path: Path, data: bytes, place: Path, script: str) -> None:
    made(place, "CREATE TABLE old (x)")
    with held(place, script):
        said = refused(sqlite(path), data, place, overwrite=True)
    assert f"{place} is open in " in said
    restore(sqlite(path), data, place, overwrite=True)
    assert sqlite(path).count_rows(str(place)) == [TableRows(name="t", rows=3)]


def test_the_old_one_is_replaced_with_all_that_lies_beside_it(path: Path, data: bytes, place: Path) -> None:
    code = "import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    code += "for line in sys.argv[2].split(';'): d.execute(line)\nos._exit(0)"
    for script in (
        "PRAGMA journal_mode = wal; CREATE TABLE old (x)",
        "CREATE TABLE late (x); INSERT INTO late SELECT 1",
    ):
        subprocess.run([sys.executable, "-c", code, str(place), script], check=True)
    assert place.with_name("back.db-wal").stat().st_size
    place.chmod(0o640)
    assert restore(sqlite(path), data, place, overwrite=True) == []
    assert [file.name for file in place.parent.iterdir()] == ["back.db"]
    assert place.stat().st_mode & 0o777 == 0o640
    assert place.read_bytes() == data


@pytest.mark.parametrize("old", [b"", b"no database\n" * 999])
def test_what_is_no_database_any_more_is_replaced(path: Path, data: bytes, place: Path, old: bytes) -> None:
    place.write_bytes(old)
    place.with_name("back.db-wal").write_bytes(b"left")
    restore(sqlite(path), data, place, overwrite=True)
    assert place.read_bytes() == data
    assert [file.name for file in place.parent.iterdir()] == ["back.db"]


def test_what_a_link_leads_to_is_replaced(path: Path, data: bytes, place: Path) -> None:
    real = made(place.with_name("real.db"), "CREATE TABLE old (x)")
    place.symlink_to(real)
    restore(sqlite(path), data, place, overwrite=True)
    assert place.is_symlink()
    assert real.read_bytes() == data


def test_the_owner_stays_the_owner(path: Path, data: bytes, place: Path) -> None:
    made(place, "CREATE TABLE old (x)")
    # Nobody but root can give a file away.
    owner = (65534, 65534) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    os.chown(place, *owner)
    assert restore(sqlite(path), data, place, overwrite=True) == []
    assert (place.stat().st_uid, place.stat().st_gid) == owner


def test_what_a_killed_restore_has_left_is_in_nobodys_way(path: Path, data: bytes, place: Path) -> None:
    source = sqlite(path)
    left = place.with_name(".back.db.part")
    left.write_bytes(data * 3)
    source.remove(str(place))
    assert not left.exists()
    left.write_bytes(data * 3)
    restore(source, data, place)
    assert place.read_bytes() == data
    assert list(place.parent.iterdir()) == [place]


def test_two_restores_into_one_place(path: Path, data: bytes, place: Path) -> None:
    class Meanwhile(Reader):
        """While the first one reads, a second one begins."""

        said = ""

        def read(self, size: int | None = -1) -> bytes:
            if self.said:
                return b""
            self.said = refused(sqlite(path), data, place)
            return data

    meanwhile = Meanwhile(data)
    sqlite(path).restore(cast(BinaryIO, meanwhile), ORIGIN, Target(str(place)), place.parent)
    assert "another restore writes" in meanwhile.said
    assert place.read_bytes() == data


def test_a_name_that_somebody_takes_meanwhile_is_not_overwritten(path: Path, data: bytes, place: Path) -> None:
    class Slow(Reader):
        def read(self, size: int | None = -1) -> bytes:
            if place.exists():
                return b""
            place.write_bytes(b"somebody else's")
            return data

    with pytest.raises(RestoreError, match="was made by somebody else meanwhile"):
        sqlite(path).restore(cast(BinaryIO, Slow(data)), ORIGIN, Target(str(place)), place.parent)
    assert place.read_bytes() == b"somebody else's"
    assert list(place.parent.iterdir()) == [place]


def test_places_that_cannot_be(path: Path, data: bytes, place: Path) -> None:
    source = sqlite(path)
    with pytest.raises(RestoreError, match="there is no folder"):
        restore(source, data, place.parent / "none" / "x.db")
    assert "is not a file" in refused(source, data, place.parent, overwrite=True)
    assert "is there already" in refused(source, data, path)
    free = shutil.disk_usage(place.parent).free
    huge = Origin("app", ".sqlite", {"page_count": str(free), "page_size": "4096"})
    with pytest.raises(RestoreError, match="make room"):
        source.restore(reader(data), huge, Target(str(place)), place.parent)
    with pytest.raises(SourceError, match="make room"):
        source.inspect(reader(data), huge, place.parent)


def test_what_sqlite_cannot_do_is_said(path: Path, data: bytes, place: Path) -> None:
    assert "is restored whole" in refused(sqlite(path), data, place, tables=["t"])
    with pytest.raises(RestoreError, match="is no SQLite database"):
        sqlite(path).restore(reader(data), Origin("app", ".sql"), Target(str(place)), place.parent)
    assert list(place.parent.iterdir()) == []


def test_an_unreadable_dump_keeps_its_own_error(path: Path, data: bytes, place: Path) -> None:
    for error in (PipelineError("damaged"), Interrupted("given up"), OSError("lost")):
        with pytest.raises(type(error)) as raised:
            sqlite(path).inspect(reader(data, error), ORIGIN, place.parent)
        assert raised.value is error
        assert list(place.parent.iterdir()) == []
