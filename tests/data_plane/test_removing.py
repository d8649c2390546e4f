"""What is removed from a drive, and what has to be there before."""

import pytest
from pydantic import BaseModel

from backupman.data_plane import removing
from backupman.data_plane.messages import Deleted
from backupman.data_plane.tasks import DeleteTask, DriveTask, Floor
from backupman.drives import Stat
from backupman.errors import DriveError
from backupman.retry import NO_RETRY
from backupman.testing import MemoryDrive


class Silent(MemoryDrive):
    """A drive that does not say what it holds."""

    forbidden: bool

    def stat(self, ref: str) -> Stat:
        raise DriveError(f"{self.label}: it does not say", permanent=self.forbidden)


@pytest.fixture
def told() -> list[BaseModel]:
    return []


def removed(drive: MemoryDrive, told: list[BaseModel], monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Remove `old`, while `new` of that size is to stay."""
    monkeypatch.setattr(removing, "drive_of", lambda about, retry: drive)
    drive._objects.update({"old": b"12", "new": b"345"})
    floors = [Floor(of="copies of shop", stay=[("new", size)], above=[0])]
    about = DriveTask(label="d", settings={})
    removing.remove(DeleteTask(drive=about, refs=[["old"]], floors=floors, retry=NO_RETRY), told.append)


@pytest.mark.parametrize(("size", "gone"), [(3, True), (4, False)])
def test_nothing_goes_unless_what_is_to_stay_is_there_whole(
    told: list[BaseModel], monkeypatch: pytest.MonkeyPatch, size: int, gone: bool
) -> None:
    drive = MemoryDrive(provider="memory", label=f"whole {size}")
    removed(drive, told, monkeypatch, size)
    [deleted] = told
    assert isinstance(deleted, Deleted)
    assert (deleted.error is None, "old" not in drive._objects) == (gone, gone)


def test_a_key_that_may_remove_and_not_ask_removes(told: list[BaseModel], monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Silent(provider="memory", label="forbidden", forbidden=True)
    removed(drive, told, monkeypatch, 3)
    assert (told, list(drive._objects)) == ([Deleted(index=0)], ["new"])


def test_a_drive_that_cannot_answer_now_loses_nothing(told: list[BaseModel], monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Silent(provider="memory", label="away", forbidden=False)
    with pytest.raises(DriveError, match="it does not say"):
        removed(drive, told, monkeypatch, 3)
    assert (told, sorted(drive._objects)) == ([], ["new", "old"])
