"""No damaged copy passes any level: not one of hundreds of mutations, in any packing, of any format."""

import io
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyrage
import pytest

from backupman.errors import BackupmanError, CopyError, NoKey, NoRoom
from backupman.pipeline import Pipeline
from backupman.sources import Dump, Source
from backupman.sources.command import Command
from backupman.sources.sqlite import Sqlite
from tests.data_plane.stored import Stored, dumped, stored

KEY = pyrage.x25519.Identity.generate()
PACKINGS: dict[str, dict[str, Any]] = {
    "none": {"compression": {"method": "none"}},
    "gzip": {"compression": {"method": "gzip"}},
    "zstd": {"compression": {"method": "zstd"}},
    "none, age": {"compression": {"method": "none"}, "encryption": {"recipients": [str(KEY.to_public())]}},
    "gzip, age": {"compression": {"method": "gzip"}, "encryption": {"recipients": [str(KEY.to_public())]}},
    "zstd, age": {"compression": {"method": "zstd"}, "encryption": {"recipients": [str(KEY.to_public())]}},
}
Mutation = Callable[[bytes, random.Random], bytes]


def _flip(whole: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(whole))
    return whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :]


def _cut(whole: bytes, chance: random.Random) -> bytes:
    return whole[: chance.choice([0, 1, len(whole) - 1, len(whole) - 8, chance.randrange(len(whole))])]


def _swap(whole: bytes, chance: random.Random) -> bytes:
    first, second = sorted(chance.sample(range(len(whole) - 64), 2))
    a, b = whole[first : first + 64], whole[second : second + 64]
    return whole[:first] + b + whole[first + 64 : second] + a + whole[second + 64 :]


def _insert(whole: bytes, chance: random.Random) -> bytes:
    place = chance.choice([0, len(whole), chance.randrange(len(whole))])
    return whole[:place] + chance.randbytes(chance.randrange(1, 40)) + whole[place:]


def _leave_out(whole: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(whole))
    return whole[:place] + whole[place + chance.randrange(1, 600) :]


def _blank(whole: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(whole))
    return whole[:place] + bytes(min(512, len(whole) - place)) + whole[place + 512 :]


def _twice(whole: bytes, chance: random.Random) -> bytes:
    return whole + whole


MUTATIONS: list[Mutation] = [_flip, _cut, _swap, _insert, _leave_out, _blank, _twice]


def mutated(whole: bytes, count: int) -> Iterator[bytes]:
    """So many damaged ones, the same each time."""
    chance = random.Random(20261121)  # noqa: S311 - the same mutations each time
    for number in range(count):
        damaged = MUTATIONS[number % len(MUTATIONS)](whole, chance)
        if damaged != whole:
            yield damaged


def passing(copy: Stored, level: str, count: int) -> int:
    """How many of the damaged copies pass; whatever refuses them says so in a sentence of ours."""
    passed = 0
    for damaged in mutated(copy.whole, count):
        copy.place.write_bytes(damaged)
        try:
            drill = copy.verify(level)
        except BackupmanError:
            continue
        passed += not (drill and drill.problems)
    copy.place.write_bytes(copy.whole)
    copy.verify(level)
    return passed


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Sqlite:
    """A SQLite source with a few rows."""
    folder = tmp_path_factory.mktemp("notes")
    with closing(sqlite3.connect(folder / "notes.sqlite")) as database, database:
        database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
        database.executemany("INSERT INTO notes (text) VALUES (?)", [(f"note {n} " * 3,) for n in range(300)])
    return Sqlite(provider="sqlite", label="Notes", db_path=folder / "notes.sqlite")


@pytest.fixture(scope="module")
def taken(notes: Sqlite, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dump, bytes]:
    return dumped(notes, "notes", tmp_path_factory.mktemp("dump"))


def copy_of(source: Source, database: str, taken: tuple[Dump, bytes], packing: str, folder: Path) -> Stored:
    pipeline = Pipeline.model_validate(PACKINGS[packing])
    return stored(source, database, *taken, pipeline, [str(KEY)], folder)


@pytest.mark.parametrize("packing", PACKINGS)
def test_no_mutation_of_a_sqlite_file_passes(
    notes: Sqlite, taken: tuple[Dump, bytes], packing: str, tmp_path: Path
) -> None:
    copy = copy_of(notes, "notes", taken, packing, tmp_path)
    assert {level: passing(copy, level, 63) for level in ("checksum", "structure", "restore")} == {
        "checksum": 0,
        "structure": 0,
        "restore": 0,
    }
    assert not copy.task.folder.exists()


@pytest.mark.parametrize("packing", ["gzip", "zstd, age"])
def test_no_mutation_of_a_script_passes(packing: str, tmp_path: Path) -> None:
    script = b"".join(b"INSERT INTO t VALUES (%d);\n" % n for n in range(2000)) + b"-- Dump completed\n"
    source = Command(provider="command", label="Shop", argv=["false"], suffix=".sql", trailer="-- Dump completed")
    copy = copy_of(source, "shop", (Dump(io.BytesIO()), script), packing, tmp_path)
    assert [passing(copy, level, 140) for level in ("checksum", "structure")] == [0, 0]


def test_another_whole_object_in_its_place_passes_nowhere(
    notes: Sqlite, taken: tuple[Dump, bytes], tmp_path: Path
) -> None:
    copy = copy_of(notes, "notes", taken, "zstd", tmp_path / "one")
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as database, database:
        database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
    other = Sqlite(provider="sqlite", label="Notes", db_path=tmp_path / "other.sqlite")
    another = copy_of(other, "other", dumped(other, "other", tmp_path / "dump"), "zstd", tmp_path / "two")
    copy.place.write_bytes(another.whole)
    for level in ("checksum", "structure", "restore"):
        with pytest.raises(CopyError, match=r"^Disk: .*/object: "):
            copy.verify(level)


def test_a_copy_that_is_gone_is_said_to_be(notes: Sqlite, taken: tuple[Dump, bytes], tmp_path: Path) -> None:
    copy = copy_of(notes, "notes", taken, "gzip", tmp_path)
    copy.place.unlink()
    for level in ("checksum", "structure", "restore", "key"):
        with pytest.raises(CopyError, match=r"^Disk: .*/object is gone"):
            copy.verify(level)


def test_the_wrong_key_is_said_at_every_level_that_needs_one(
    notes: Sqlite, taken: tuple[Dump, bytes], tmp_path: Path
) -> None:
    copy = copy_of(notes, "notes", taken, "gzip, age", tmp_path)
    copy.verify("checksum", identities=[])
    copy.verify("key")
    for level in ("structure", "restore", "key"):
        with pytest.raises(NoKey, match=r"^Disk: .*object"):
            copy.verify(level, identities=[str(pyrage.x25519.Identity.generate())])


def test_a_copy_whose_head_was_altered_is_bad_although_no_key_fits_it(
    notes: Sqlite, taken: tuple[Dump, bytes], tmp_path: Path
) -> None:
    copy = copy_of(notes, "notes", taken, "gzip, age", tmp_path)
    place = copy.whole.index(b"X25519 ") + 12
    copy.place.write_bytes(copy.whole[:place] + b"?" + copy.whole[place + 1 :])
    for level in ("structure", "restore"):
        with pytest.raises(CopyError, match=r"SHA-256 differs|cannot be decrypted"):
            copy.verify(level)


def test_a_full_disk_ends_it_before_it_is_full(notes: Sqlite, taken: tuple[Dump, bytes], tmp_path: Path) -> None:
    copy = copy_of(notes, "notes", taken, "gzip", tmp_path)
    for level in ("structure", "restore"):
        with pytest.raises(NoRoom, match=r"free for the drill in .*set verify.folder"):
            copy.verify(level, keep_free=2**60)
    assert not copy.task.folder.exists()
