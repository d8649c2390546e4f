"""Links in a drive's folder: what stands behind them is found too, and they lead nowhere else."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from backupman.drives import Drive
from tests.contracts.objects import put
from tests.drives.test_local import local
from tests.drives.test_sftp import sftp_drive
from tests.servers.sftp import Sftp as Server

Place = tuple[Callable[[Path], Drive], Path, Path]


@pytest.fixture(params=["local", pytest.param("sftp", marks=pytest.mark.service("sftp"))])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """What makes a drive of a folder, a folder for one, and another on the same machine."""
    if request.param == "local":
        for name in ("folder", "elsewhere"):
            (tmp_path / name).mkdir()
        return local, tmp_path / "folder", tmp_path / "elsewhere"
    server: Server = request.getfixturevalue("sftp")
    return partial(sftp_drive, server), server.make_folder(uuid4().hex), server.make_folder(uuid4().hex)


def test_what_stands_behind_a_link_to_another_disk_is_listed(place: Place) -> None:
    make, folder, elsewhere = place
    drive = make(folder)
    names = ["blog/backup-3", "server/shop/backup-2", "shop/backup-1"]
    for name in names:
        put(drive, name, b"body")
    for name in ("shop", "server/shop"):
        moved = (folder / name).rename(elsewhere / name.replace("/", "-"))
        (folder / name).symlink_to(moved)
    assert sorted(drive.list()) == names
    assert list(drive.list("server/")) == ["server/shop/backup-2"]


def test_a_drive_may_itself_be_a_link(place: Place) -> None:
    make, folder, elsewhere = place
    put(make(folder), "shop/backup-1", b"body")
    (elsewhere / "link").symlink_to(folder)
    assert list(make(elsewhere / "link").list()) == ["shop/backup-1"]


def test_a_link_leads_neither_far_nor_in_a_circle(place: Place) -> None:
    make, folder, elsewhere = place
    drive = make(folder)
    put(drive, "shop/backup-1", b"body")
    for name in ("near", "near/far", "near/far/away"):
        (elsewhere / name).mkdir()
        (elsewhere / name / "file").touch()
    (elsewhere / "again").symlink_to(elsewhere)
    (folder / "more").symlink_to(elsewhere)
    (folder / "Desktop").symlink_to(elsewhere)
    (folder / "alias").symlink_to(folder / "shop")
    (folder / "shop/up").symlink_to(folder)
    assert sorted(drive.list()) == ["more/near/file", "shop/backup-1"]
