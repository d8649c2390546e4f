"""Filesystems of fsspec that are not what they should be: nothing is believed that could cost a backup."""

from collections.abc import Callable
from pathlib import Path

import fsspec as library
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from backupman.errors import DriveError, ObjectNotFound
from tests.contracts.objects import NAME, put
from tests.drives._fsspec import fsspec_drive


@pytest.fixture
def registered() -> None:
    """Filesystems that are not what they should be."""
    for cls in (Lossy, Changing, Copying, Blind, HalfBlind):
        library.register_implementation(cls.protocol, cls, clobber=True)


class Lossy(LocalFileSystem):  # type: ignore[misc]  # it has no types
    """Loses the end of what it is given."""

    protocol = "lossy"

    def mv(self, path1: str, path2: str, **kwargs: object) -> None:
        raise AssertionError("what is not whole gets no name")

    def info(self, path: str, **kwargs: object) -> dict[str, object]:
        about: dict[str, object] = super().info(path, **kwargs)
        return about | ({"size": int(str(about["size"])) - 1} if about["type"] == "file" else {})


class Changing(LocalFileSystem):  # type: ignore[misc]  # as above
    """Gives back other bytes than it was given."""

    protocol = "changing"

    def cat_file(self, path: str, **kwargs: object) -> bytes:
        data: bytes = super().cat_file(path, **kwargs)
        return bytes([data[0] ^ 1]) + data[1:]


class Copying(MemoryFileSystem):  # type: ignore[misc]  # as above
    """Can move only by a copy."""

    protocol = "copying"


class Blind(LocalFileSystem):  # type: ignore[misc]  # as above
    """Says "not found" for whatever goes wrong, as that for FTP does."""

    protocol = "blind"

    def ls(self, path: str, detail: bool = False, **kwargs: object) -> list[object]:
        raise FileNotFoundError(path)

    info = ls


class HalfBlind(LocalFileSystem):  # type: ignore[misc]  # as above
    """Says "not found" for one folder that it may not look into, and for all that stands there."""

    protocol = "halfblind"

    def ls(self, path: str, detail: bool = False, **kwargs: object) -> object:
        self._hide(path)
        return super().ls(path, detail, **kwargs)

    def info(self, path: object, **kwargs: object) -> object:
        self._hide(str(path))
        return super().info(path, **kwargs)

    def _hide(self, path: str) -> None:
        if "/shop/" in f"{path}/":
            raise FileNotFoundError(path)


def test_what_is_not_whole_gets_no_name(registered: None, tmp_path: Path) -> None:
    drive = fsspec_drive(f"lossy://{tmp_path}/x")
    with pytest.raises(DriveError, match=r"holds 99 bytes, and 100 were sent; it was removed") as raised:
        put(drive, NAME, bytes(100))
    assert not raised.value.permanent
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_was_changed_on_its_way_is_noticed_by_reading_it_back(registered: None, tmp_path: Path) -> None:
    with pytest.raises(DriveError, match="holds other bytes than were sent; it was removed"):
        put(fsspec_drive(f"changing://{tmp_path}/x", verify=True), NAME, bytes(100))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_filesystem_that_shows_half_a_copy_is_refused(registered: None) -> None:
    drive = fsspec_drive("copying://x")
    with pytest.raises(DriveError, match="some place: copying is not safe for backups") as raised:
        drive.check()
    assert raised.value.permanent
    assert list(drive.list()) == []


def test_a_filesystem_that_finds_nothing_is_not_believed(registered: None, tmp_path: Path) -> None:
    drive = fsspec_drive(f"blind://{tmp_path}")
    calls: list[Callable[[], object]] = [
        lambda: drive.find(NAME),
        lambda: drive.stat(NAME),
        lambda: drive.delete(NAME),
        lambda: list(drive.list()),
    ]
    for call in calls:
        with pytest.raises(DriveError, match="is said to be missing, and its folder does not say so") as raised:
            call()
        assert not isinstance(raised.value, ObjectNotFound)
        assert not raised.value.permanent


def test_a_folder_that_cannot_be_listed_hides_no_backup(registered: None, tmp_path: Path) -> None:
    ref = put(fsspec_drive(f"file://{tmp_path}"), "shop/dump", b"body").ref
    drive = fsspec_drive(f"halfblind://{tmp_path}")
    for call in (lambda: drive.find("shop/dump"), lambda: drive.delete(ref), lambda: list(drive.list())):
        with pytest.raises(DriveError, match="is said to be missing, and its folder does not say so") as raised:
            call()
        assert not isinstance(raised.value, ObjectNotFound)
    assert drive.find("nothing/dump") is None


def test_folders_that_others_make_meanwhile_are_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = LocalFileSystem.ls

    def ls(self: LocalFileSystem, path: str, **options: object) -> object:
        missing = [folder for folder in ("shop", "shop/2026", "shop/2026/11") if not (tmp_path / folder).is_dir()]
        if missing and Path(path).is_dir():
            (tmp_path / missing[0]).mkdir()
        return listed(self, path, **options)

    monkeypatch.setattr(LocalFileSystem, "ls", ls)
    assert fsspec_drive(f"file://{tmp_path}").find("shop/2026/11/dump") is None
    assert (tmp_path / "shop/2026/11").is_dir()
