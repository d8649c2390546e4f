"""A database is filled from the first copy that is good, and from nothing else."""

import gzip
import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from pydantic import BaseModel

from backupman.data_plane import filling
from backupman.data_plane.messages import CopyFailed, Phase, Restored, Restoring
from backupman.data_plane.tasks import Copy, DriveTask, FillTask
from backupman.errors import DriveError, PipelineError, RestoreError
from backupman.retry import RetryPolicy
from backupman.sources import GLOBALS, Origin, Target
from backupman.sources.sqlite import Sqlite

DUMP = b"".join(b"%d: some words of a dump\n" % number for number in range(100_000))
PACKED = gzip.compress(DUMP, 1)


class Filled(Sqlite):
    """A source that keeps what it is filled with, and obeys the contract in nothing else."""

    lazy: bool = False
    """Whether it leaves the end of the dump unread."""

    def restore(self, dump: BinaryIO, origin: Origin, target: Target, folder: Path) -> list[str]:
        assert list(folder.iterdir()) == []
        (folder / "litter").touch()
        place = Path(target.database)
        try:
            place.write_bytes(dump.read(1000) if self.lazy else dump.read())
        except (DriveError, PipelineError):
            place.unlink(missing_ok=True)
            raise
        return [f"{origin.database} was dumped as {origin.suffix}"]

    def remove(self, database: str) -> None:
        Path(database).unlink()


@pytest.fixture
def said() -> list[BaseModel]:
    return []


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "source_of", Filled.model_validate)


def task(folder: Path, stored: Sequence[bytes | None], *, overwrite: bool = False, lazy: bool = False) -> FillTask:
    """A task with a local drive for each stored object; None is one that is gone."""
    copies = []
    for number, content in enumerate(stored):
        drive = folder / f"drive{number}"
        drive.mkdir()
        if content is not None:
            (drive / "object").write_bytes(content)
        settings = {"provider": "local", "label": f"Disk{number}", "folder": str(drive)}
        copies.append(Copy(drive=DriveTask(label=f"Disk{number}", settings=settings), ref="object"))
    return FillTask(
        label="App",
        copies=copies,
        source={"provider": "sqlite", "label": "App", "db_path": str(folder / "app.db"), "lazy": lazy},
        origin=Origin("app", ".sqlite"),
        target=Target(str(folder / "target"), overwrite=overwrite),
        folder=folder / "work",
        sha256=hashlib.sha256(PACKED).hexdigest(),
        ending=".gz",
        identities=[],
        retry=RetryPolicy(attempts=1, first_wait=0.01, max_wait=0.01),
    )


def flipped(where: float) -> bytes:
    """The object with one bit flipped, that far into it."""
    data = bytearray(PACKED)
    data[int(len(data) * where)] ^= 1
    return bytes(data)


def kinds(said: Sequence[BaseModel]) -> list[type]:
    """What was said, progress once in a row."""
    found: list[type] = []
    for message in said:
        if type(message) is not Restoring or found[-1:] != [Restoring]:
            found.append(type(message))
    return found


def test_the_dump_gets_there_whole(tmp_path: Path, said: list[BaseModel]) -> None:
    filling.fill(task(tmp_path, [PACKED]), said.append)
    assert (tmp_path / "target").read_bytes() == DUMP
    assert kinds(said) == [Phase, Restoring, Restored]
    last = [message for message in said if isinstance(message, Restoring)][-1]
    assert (last.read, last.written) == (len(PACKED), len(DUMP))
    assert said[-1] == Restored(label="Disk0", size=len(DUMP), warnings=["app was dumped as .sqlite"])
    assert not (tmp_path / "work").exists()


BAD = {
    "flipped": flipped(0.5),
    "cut": PACKED[:-1],
    "longer": PACKED + b"\0",
    "other": gzip.compress(b"x"),
    "gone": None,
}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("damage", BAD)
def test_the_next_copy_is_taken(tmp_path: Path, said: list[BaseModel], damage: str, lazy: bool) -> None:
    filling.fill(task(tmp_path, [BAD[damage], PACKED], lazy=lazy), said.append)
    assert (tmp_path / "target").read_bytes() == (DUMP[:1000] if lazy else DUMP)
    [failed] = [message for message in said if isinstance(message, CopyFailed)]
    assert failed.label == "Disk0"
    assert failed.error.startswith("Disk0: ")
    assert isinstance(said[-1], Restored)
    assert said[-1].label == "Disk1"


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("damage", BAD)
def test_nothing_is_left_of_a_copy_that_is_not_good(
    tmp_path: Path, said: list[BaseModel], damage: str, lazy: bool
) -> None:
    with pytest.raises(RestoreError, match=r"^App: no copy can be restored: Disk0: [^;]*$"):
        filling.fill(task(tmp_path, [BAD[damage]], lazy=lazy), said.append)
    assert not (tmp_path / "target").exists()
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("damage", BAD)
def test_what_replaces_something_is_read_whole_before_anything_is_touched(
    tmp_path: Path, said: list[BaseModel], damage: str
) -> None:
    (tmp_path / "target").write_text("mine")
    with pytest.raises(RestoreError, match=r"^App: no copy can be restored: Disk0: [^;]*$"):
        filling.fill(task(tmp_path, [BAD[damage]], overwrite=True), said.append)
    assert (tmp_path / "target").read_text() == "mine"
    assert kinds(said) == [Phase, CopyFailed]


def test_a_copy_that_breaks_after_it_was_verified_is_said_to_have_spoiled_the_target(
    tmp_path: Path, said: list[BaseModel]
) -> None:
    wanted = task(tmp_path, [PACKED], overwrite=True)

    def tell(message: BaseModel) -> None:
        said.append(message)
        if message == Phase(phase="restoring"):
            (tmp_path / "drive0/object").write_bytes(flipped(0.5))

    with pytest.raises(RestoreError, match=r"target was being replaced by then: look at it before you use it$"):
        filling.fill(wanted, tell)


def test_what_belongs_to_the_whole_server_is_read_whole_first(tmp_path: Path, said: list[BaseModel]) -> None:
    wanted = task(tmp_path, [flipped(0.5)]).model_copy(update={"target": Target(GLOBALS)})
    with pytest.raises(RestoreError):
        filling.fill(wanted, said.append)
    assert kinds(said) == [Phase, CopyFailed]


def test_a_server_that_refuses_is_not_asked_again(
    tmp_path: Path, said: list[BaseModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> list[str]:
        raise RestoreError("App: the server has gone away") from sqlite3.Error()

    monkeypatch.setattr(Filled, "restore", refuse)
    with pytest.raises(RestoreError, match=r"^App: the server has gone away$"):
        filling.fill(task(tmp_path, [PACKED, PACKED]), said.append)
    assert kinds(said) == [Phase]
    assert not (tmp_path / "work").exists()
