"""RESTORE.txt stands beside the objects of a source: written once, again when it changes, and never a failure."""

import io
from pathlib import Path
from typing import Any

import pytest

from backupman.data_plane.beside import put_restore_txt, remove_unfinished
from backupman.drives.local import Local
from backupman.errors import DriveError, Retained

NAME = "shop/orders/backup-20261121010000-0a0b0c0d.sql.gz"


@pytest.fixture
def drive(tmp_path: Path) -> Local:
    return Local(provider="local", label="disk", folder=tmp_path)


def test_it_stands_in_the_source_s_folder_and_is_written_again_only_when_it_changes(
    drive: Local, tmp_path: Path
) -> None:
    file = tmp_path / "shop/RESTORE.txt"
    put_restore_txt(drive, NAME, "one")
    before = file.stat()
    put_restore_txt(drive, NAME, "one")
    assert (file.read_text(), file.stat().st_ino, file.stat().st_mtime_ns) == ("one", before.st_ino, before.st_mtime_ns)
    put_restore_txt(drive, NAME, "two")
    assert file.read_text() == "two"
    assert [path.name for path in file.parent.iterdir()] == ["RESTORE.txt"]


@pytest.mark.parametrize("error", [Retained("disk: it is locked"), DriveError("disk: no"), RuntimeError("a fault")])
def test_where_it_cannot_be_replaced_the_old_one_stays(
    drive: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refused(*_: Any) -> None:
        raise error

    put_restore_txt(drive, NAME, "one")
    monkeypatch.setattr(Local, "delete", refused)
    put_restore_txt(drive, NAME, "two")
    assert [path.read_text() for path in (tmp_path / "shop").iterdir()] == ["one"]


def test_what_a_dead_process_left_of_it_is_removed_and_nothing_else(drive: Local, tmp_path: Path) -> None:
    drive.upload(io.BytesIO(b""), NAME, {})
    (tmp_path / "shop/RESTORE.txt.part").touch()
    (tmp_path / f"{NAME}.json.part").touch()
    (tmp_path / "shop/mine.part").touch()
    remove_unfinished(drive, NAME)
    assert sorted(path.name for path in (tmp_path / "shop").iterdir()) == ["mine.part", "orders"]
    assert [path.name for path in (tmp_path / "shop/orders").iterdir()] == [NAME.rpartition("/")[2]]
