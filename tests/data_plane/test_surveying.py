"""What a drive holds is told in small heaps; where it cannot be listed, what is on record is still looked at."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from pydantic import BaseModel

from backupman.data_plane.messages import Held, Listed, Unlisted
from backupman.data_plane.surveying import survey
from backupman.data_plane.tasks import DriveTask, ListTask
from backupman.drives import Capabilities
from backupman.drives.local import Local
from backupman.errors import DriveError
from backupman.retry import NO_RETRY

NAME = "shop/backup-20261121010000-0a0b0c0d.sql.gz"


@pytest.fixture
def drive(tmp_path: Path) -> Local:
    return Local(provider="local", label="disk", folder=tmp_path / "drive")


def looked_at(drive: Local, objects: list[str], sidecars: list[str]) -> list[BaseModel]:
    told: list[BaseModel] = []
    task = DriveTask(label=drive.label, settings=drive.revealed())
    survey(ListTask(drive=task, objects=objects, sidecars=sidecars, retry=NO_RETRY), told.append)
    return told


def put(drive: Local, name: str, data: bytes) -> None:
    drive.upload(io.BytesIO(data), name, {})


def held(told: list[BaseModel]) -> list[Held]:
    return [each for message in told if isinstance(message, Listed) for each in message.objects]


def test_a_sidecar_is_read_where_it_is_not_on_record(drive: Local) -> None:
    put(drive, NAME, b"12345")
    put(drive, f"{NAME}.json", b'{"a": 1}')
    put(drive, "photos/1.json", b"not ours")
    assert [(each.name, each.size, each.sidecar) for each in held(looked_at(drive, [], []))] == [
        ("photos/1.json", None, None),
        (NAME, 5, None),
        (f"{NAME}.json", 8, '{"a": 1}'),
    ]
    known = held(looked_at(drive, [NAME], [f"{NAME}.json"]))
    assert [(each.name, each.size, each.sidecar) for each in known[1:]] == [
        (NAME, 5, None),
        (f"{NAME}.json", None, None),
    ]


def test_what_is_on_record_is_not_missing_because_a_list_leaves_it_out(drive: Local, tmp_path: Path) -> None:
    name = NAME.replace("shop", "Shop")  # links in place of folders of ours are followed
    put(drive, name, b"12345")
    put(drive, f"{name}.json", b"{}")
    (tmp_path / "drive/Shop").rename(tmp_path / "a larger disk")
    (tmp_path / "drive/Shop").symlink_to(tmp_path / "a larger disk")
    told = held(looked_at(drive, [name, "gone"], [f"{name}.json"]))
    assert [(each.ref, each.size) for each in told] == [(name, 5), (f"{name}.json", 2)]


def test_what_is_no_text_is_an_object_like_any(drive: Local) -> None:
    put(drive, f"{NAME}.json", b"\xff")
    assert [(each.size, each.sidecar) for each in held(looked_at(drive, [], []))] == [(1, None)]


def test_many_objects_are_told_in_heaps(drive: Local, tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    for number in range(1000):
        (tmp_path / f"drive/{number:04}").touch()
    told = looked_at(drive, [], [])
    assert [len(message.objects) for message in told if isinstance(message, Listed)] == [200] * 5


@pytest.mark.parametrize("how", ["it says so", "it is refused"])
def test_where_it_cannot_be_listed_the_objects_on_record_are_looked_at(
    drive: Local, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def refused(*_: Any) -> Any:
        raise DriveError("disk: the key may not list", permanent=True)

    put(drive, NAME, b"12345")
    put(drive, "unknown", b"")
    if how == "it says so":
        monkeypatch.setattr(Local, "capabilities", Capabilities(lists=False))
    else:
        monkeypatch.setattr(Local, "entries", refused)
    unlisted, listed = looked_at(drive, [NAME, "gone"], [f"{NAME}.json"])
    assert isinstance(unlisted, Unlisted) and "list" in unlisted.error
    assert isinstance(listed, Listed)
    assert [(each.ref, each.name, each.size) for each in listed.objects] == [(NAME, "", 5)]
    with pytest.raises(DriveError, match="list"):
        looked_at(drive, [], [])


def test_a_drive_that_is_away_is_not_taken_for_one_that_cannot_list(drive: Local) -> None:
    with pytest.raises(DriveError, match="is not there"):
        looked_at(drive, [NAME], [])


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_what_is_no_file_is_neither_an_object_nor_read(
    drive: Local, tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    put(drive, NAME, b"12345")
    make(tmp_path / f"drive/{NAME}.json")
    assert [(each.name, each.size) for each in held(looked_at(drive, [], []))] == [(NAME, 5)]


def test_a_sidecar_that_may_not_be_read_keeps_nothing_else_from_being_told(
    drive: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    def archived(self: Local, ref: str) -> BinaryIO:
        if ref.startswith("theirs/"):
            raise DriveError("disk: it is in an archive class", permanent=permanent)
        return opened(self, ref)

    opened, permanent = Local.open, True
    monkeypatch.setattr(Local, "open", archived)
    put(drive, f"{NAME}.json", b"ours")
    put(drive, f"theirs/{NAME}.json", b"not ours")
    told = [(each.name, each.sidecar, each.unreadable) for each in held(looked_at(drive, [], []))]
    assert told == [
        (f"{NAME}.json", "ours", None),
        (f"theirs/{NAME}.json", None, "disk: it is in an archive class"),
    ]
    permanent = False
    with pytest.raises(DriveError, match="archive"):  # it may be read the next time
        looked_at(drive, [], [])
