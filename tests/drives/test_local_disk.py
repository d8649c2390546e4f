"""The local drive and the disk under it: nothing is written onto the wrong one, and none is filled to the end."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backupman.drives import _mounts
from backupman.drives.local import Local
from backupman.errors import DriveError, ObjectNotFound
from tests.contracts.objects import NAME, content, put
from tests.drives.test_local import local
from tests.servers.disk import mounted_disk

MIB = 2**20

USES: dict[str, Callable[[Local], object]] = {
    "upload": lambda drive: put(drive, NAME, b"body"),
    "open": lambda drive: drive.open(NAME),
    "stat": lambda drive: drive.stat(NAME),
    "list": lambda drive: list(drive.list()),
    "find": lambda drive: drive.find(NAME),
    "delete": lambda drive: drive.delete(NAME),
    "check": lambda drive: drive.check(),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.fixture
def disk(place: Path) -> Iterator[Path]:
    """A real disk of 40 MiB, mounted at `place`."""
    with mounted_disk(place, "40m"):
        yield place


@pytest.mark.parametrize("inside", [".", "backups/of/shops"])
def test_a_required_mount_is_used_while_it_is_there(disk: Path, inside: str) -> None:
    drive = local(disk / inside, require_mount=True)
    drive.check()
    ref = put(drive, NAME, b"body").ref
    subprocess.run(["umount", disk], check=True)
    (disk / inside).mkdir(parents=True, exist_ok=True)
    for use in USES.values():
        with pytest.raises(
            DriveError, match=r"^a disk: nothing is mounted at .* or above it: mount its disk"
        ) as raised:
            use(drive)
        assert not raised.value.permanent, "it may be mounted soon"
        assert not isinstance(raised.value, ObjectNotFound)
    assert [path for path in disk.rglob("*") if path.is_file()] == []
    assert ref == NAME


def test_the_mount_that_counts_is_that_of_what_a_link_leads_to(disk: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(disk)
    local(tmp_path / "link/backups", require_mount=True).check()
    (tmp_path / "below").mkdir()
    (disk / "out").symlink_to(tmp_path / "below")
    if not any(folder.is_mount() for folder in list(tmp_path.parents)[:-1]):
        with pytest.raises(DriveError, match=r"^a disk: nothing is mounted"):
            local(disk / "out", require_mount=True).check()


def test_the_root_file_system_is_no_required_mount(place: Path) -> None:
    outer = next(folder for folder in (place, *place.parents) if folder.is_mount())
    drive = local(place, require_mount=True)
    if outer == Path("/"):
        with pytest.raises(DriveError, match=r"^a disk: nothing is mounted"):
            drive.check()
    else:
        drive.check()


def test_an_upload_does_not_begin_without_room(disk: Path) -> None:
    drive = local(disk / "new" / "folder", min_free="41MiB")
    sentence = r"^a disk: only (39|40) MiB are free on the disk of .*folder, and min_free wants 41 MiB: make room"
    for use in ("upload", "check"):
        with pytest.raises(DriveError, match=sentence) as raised:
            USES[use](drive)
        assert not raised.value.permanent, "the retention may make room"
    assert list(disk.iterdir()) == []


def test_an_upload_is_given_up_before_the_disk_is_full(disk: Path) -> None:
    drive = local(disk, min_free="15MiB")
    with pytest.raises(DriveError, match=r"^a disk: only \d+ MiB are free .*min_free wants 15 MiB"):
        put(drive, NAME, bytes(38 * MIB))
    assert list(disk.iterdir()) == []
    data = os.urandom(20 * MIB)
    assert content(drive, put(drive, NAME, data).ref) == data


def test_a_twentieth_stays_free(disk: Path) -> None:
    (disk / "other").write_bytes(bytes(39 * MIB))
    with pytest.raises(DriveError, match=r"^a disk: only (1 MiB|\d+ KiB) are free .*min_free wants 2 MiB"):
        put(local(disk), NAME, b"body")
    put(local(disk, min_free=0), NAME, b"body")


def test_a_disk_that_may_be_away_unnoticed_is_a_warning(disk: Path, tmp_path: Path) -> None:
    (warning,) = local(disk / "backups").warnings()
    assert f"nothing says that the disk of {disk} must be mounted" in warning
    assert warning.endswith(f"add `mount: {disk}`")
    assert local(disk / "backups", mount=disk).warnings() == local(disk, require_mount=True).warnings() == []


@pytest.mark.parametrize(
    ("folder", "disk"),
    [
        ("/mnt/a disk/backups", "/mnt/a disk"),
        ("/mnt/a disk", "/mnt/a disk"),
        ("/mnt/a disks", None),
        ("/home/me/backups", None),
        ("/srv", None),
    ],
)
def test_a_disk_counts_that_is_to_be_mounted(
    folder: str, disk: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fstab").write_text(
        "UUID=1 /            ext4 defaults 0 1\n"
        "UUID=2 /home        ext4 defaults 0 2\n"
        "#UUID=3 /srv        ext4 defaults 0 2\n"
        "LABEL=4 /mnt/a\\040disk ext4 nofail 0 2\n"
        "UUID=5 none         swap sw 0 0\n"
        "\n"
    )
    monkeypatch.setattr(_mounts, "LISTS", (tmp_path / "no such list", tmp_path / "fstab"))
    assert _mounts.disk_of(Path(folder)) == (Path(disk) if disk else None)
