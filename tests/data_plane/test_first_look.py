"""What a retry's first look at a drive met with is told where the upload meets with it too, and only there."""

from pathlib import Path

from pydantic import BaseModel

from backupman.data_plane.messages import Retrying, Uploaded, UploadFailed
from backupman.data_plane.uploading import upload_kept
from backupman.drives.local import Local
from tests.data_plane.test_uploading import NAME, again, disk

__all__ = ["disk"]


def told_of(task_folder: Path, drive: Local) -> list[BaseModel]:
    told: list[BaseModel] = []
    upload_kept(again(task_folder, drive), told.append, lambda label, session: None)
    return told


def test_a_folder_that_the_upload_makes_is_nothing_to_warn_of(tmp_path: Path, disk: Local) -> None:
    told = told_of(tmp_path, disk)
    assert [message.label for message in told if isinstance(message, Uploaded)] == ["disk"]
    assert [message for message in told if isinstance(message, Retrying)] == []
    with disk.open(NAME) as stored:
        assert stored.read() == b"dump"


def test_a_drive_that_cannot_be_used_is_told_as_it_was_seen(tmp_path: Path) -> None:
    drive = Local(provider="local", label="disk", folder=tmp_path / "drive", mount=tmp_path)
    seen, failed = [each for each in told_of(tmp_path, drive) if isinstance(each, Retrying | UploadFailed)]
    assert isinstance(seen, Retrying)
    assert isinstance(failed, UploadFailed)
    assert seen.error == failed.error == f"disk: nothing is mounted at {tmp_path}: mount its disk"
