"""The local drive on a disk that is away, full, read-only or broken: a sentence for each fault."""

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backupman.drives import Drive
from backupman.drives.local import Local
from backupman.errors import DriveError, ObjectNotFound
from tests.contracts.objects import NAME, content, put
from tests.drives.test_local import drive, folder, local
from tests.servers.disk import mounted_disk

__all__ = ["drive", "folder"]

NOBODY = 65534


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk with room for 64 KiB."""
    with mounted_disk(tmp_path / "disk", "64k") as place:
        yield place


USES: dict[str, Callable[[Drive], object]] = {
    "upload": lambda drive: put(drive, NAME, b"body"),
    "open": lambda drive: drive.open(NAME),
    "delete": lambda drive: drive.delete(NAME),
    "stat": lambda drive: drive.stat(NAME),
    "list": lambda drive: list(drive.list()),
    "find": lambda drive: drive.find(NAME),
    "check": lambda drive: drive.check(),
}


@pytest.mark.parametrize("use", ["open", "delete", "stat", "list", "find"])
def test_a_folder_that_is_away_is_no_empty_folder(tmp_path: Path, use: str) -> None:
    with pytest.raises(DriveError, match=r"^a disk: .*is not there: mount its disk") as raised:
        USES[use](local(tmp_path / "away"))
    assert not isinstance(raised.value, ObjectNotFound)
    assert not raised.value.permanent


@pytest.mark.parametrize("use", USES)
def test_nothing_is_done_while_the_mount_is_missing(tmp_path: Path, use: str) -> None:
    (tmp_path / "usb").mkdir()
    with pytest.raises(DriveError, match=r"^a disk: nothing is mounted at .*usb: mount its disk"):
        USES[use](local(tmp_path / "usb" / "backups", mount=tmp_path / "usb"))
    assert list((tmp_path / "usb").iterdir()) == []


def test_a_link_to_a_disk_that_is_away_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "usb/backups")
    for use in USES.values():
        with pytest.raises(DriveError, match=r"^a disk: .*link is not there: mount its disk") as raised:
            use(local(tmp_path / "link"))
        assert not raised.value.permanent


@pytest.mark.parametrize("use", ["upload", "open", "delete", "stat", "find"])
def test_an_object_behind_a_link_to_a_disk_that_is_away_is_not_gone(drive: Local, folder: Path, use: str) -> None:
    (folder / "shop").symlink_to(folder.parent / "usb")
    with pytest.raises(DriveError, match=r"^a disk: .*/shop is not there: mount its disk") as raised:
        USES[use](drive)
    assert not isinstance(raised.value, ObjectNotFound)
    assert not raised.value.permanent


@pytest.mark.parametrize("below", [".", "shops"])
def test_a_file_where_the_folder_should_be_is_said(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DriveError, match=r"^a disk: .*something on the way to it, is a file and not a folder"):
        USES["upload"](local(tmp_path / "file" / below))


def test_a_mount_that_is_there_is_used(folder: Path) -> None:
    drive = local(folder, mount="/")
    assert content(drive, put(drive, NAME, b"body").ref) == b"body"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_may_not_grow(drive: Local, folder: Path) -> None:
    with largest_file(100_000), pytest.raises(DriveError, match=r"^a disk: .*takes no files of that size") as raised:
        put(drive, NAME, bytes(200_000))
    assert raised.value.permanent
    assert list(folder.iterdir()) == []


def test_a_full_disk(disk: Path) -> None:
    drive = local(disk / "backups")
    with pytest.raises(DriveError, match=r"^a disk: the disk of .*backups is full: make room") as raised:
        put(drive, NAME, bytes(100_000))
    assert not raised.value.permanent
    assert list(disk.iterdir()) == []
    assert content(drive, put(drive, NAME, bytes(10_000)).ref) == bytes(10_000)


def test_a_disk_that_is_read_only(disk: Path) -> None:
    ref = put(local(disk), NAME, b"body").ref
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    drive = local(disk)
    for use in ("check", "delete"):
        with pytest.raises(
            DriveError, match=r"^a disk: the disk of .* is mounted read-only: .*`backupman inst"
        ) as raised:
            USES[use](drive)
        assert raised.value.permanent
    with pytest.raises(DriveError, match="read-only"):
        put(drive, "another", b"body")
    assert content(drive, ref) == b"body"


@contextmanager
def ordinary_account() -> Iterator[None]:
    """Root may write anywhere, so that its tests need to be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("use", ["upload", "check", "delete"])
def test_a_folder_that_may_not_be_written(use: str) -> None:
    folder = Path(f"/var/tmp/backupman-{os.getpid()}")  # pytest's own folders are closed to other accounts
    (folder / "shop").mkdir(parents=True)
    try:
        put(local(folder), NAME, b"body")
        for inner in [folder, *folder.rglob("*")]:
            inner.chmod(0o555)
        with ordinary_account(), pytest.raises(DriveError, match=r"^a disk: the account may not write in") as raised:
            USES[use](local(folder)) if use != "upload" else put(local(folder), f"{NAME}.json", b"")
        assert raised.value.permanent
        assert (folder / NAME).read_bytes() == b"body"
    finally:
        for inner in [folder, *folder.rglob("*")]:
            inner.chmod(0o755)
        local(folder).delete(NAME)
        folder.rmdir()


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_that_may_not_be_entered(use: str, *, linked: bool) -> None:
    around = Path(f"/var/tmp/backupman-{os.getpid()}")  # pytest's own folders are closed to other accounts
    folder = around / "shut" / "drive"
    try:
        put(local(folder), NAME, b"body")
        around.chmod(0o755)
        (around / "link").symlink_to(folder)
        (around / "shut").chmod(0o600)
        with ordinary_account(), pytest.raises(DriveError, match=r"^a disk: the account may not write in") as raised:
            USES[use](local(around / "link" if linked else folder))
        assert not isinstance(raised.value, ObjectNotFound)
        assert raised.value.permanent
    finally:
        (around / "shut").chmod(0o700)
        shutil.rmtree(around)


def test_a_disk_that_fails_while_it_is_read(drive: Local, folder: Path) -> None:
    (folder / "broken").symlink_to("/proc/self/mem")  # address 0 can be opened, and not read
    for size in (10, -1):
        with drive.open("broken") as stream, pytest.raises(DriveError, match=r"^a disk: the disk of .* has errors"):
            stream.read(size)


@pytest.mark.parametrize(("name", "ours"), [("lost+found", False), (".Trash-1000", False), ("shop", True)])
def test_a_folder_that_may_not_be_read_is_left_out_where_nothing_of_ours_can_be_in_it(name: str, *, ours: bool) -> None:
    folder = Path(f"/var/tmp/backupman-{os.getpid()}")
    try:
        put(local(folder), NAME, b"body")
        for inner in [folder, *folder.rglob("*")]:
            inner.chmod(0o777)
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(0)
        with ordinary_account():
            if ours:
                with pytest.raises(DriveError, match="the account may not"):
                    USES["list"](local(folder))
            else:
                assert USES["list"](local(folder)) == [NAME]
    finally:
        shutil.rmtree(folder)


def test_a_whole_drive_that_may_not_be_read_is_no_empty_one() -> None:
    folder = Path(f"/var/tmp/BACKUPMAN-{os.getpid()}")
    folder.mkdir(mode=0o300)
    try:
        with ordinary_account(), pytest.raises(DriveError, match="the account may not"):
            USES["list"](local(folder))
    finally:
        folder.rmdir()
