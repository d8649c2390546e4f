"""In the child: removes objects with their sidecars from a drive, and none while what is to stay is not there."""

from collections.abc import Callable

from pydantic import BaseModel

from backupman.data_plane.messages import Deleted
from backupman.data_plane.tasks import DeleteTask, Floor
from backupman.data_plane.uploading import drive_of
from backupman.drives import Drive
from backupman.errors import BackupmanError, ObjectNotFound, Retained

Tell = Callable[[BaseModel], None]


def remove(task: DeleteTask, tell: Tell) -> None:
    """Remove them one after the other; tells what came of each.

    Raises:
        ObjectNotFound: the drive holds none of the task's witnesses.
        DriveError: it cannot be asked just now.
    """
    drive = drive_of(task.drive, task.retry)
    if task.witnesses and not any(_is_there(drive, ref) for ref in task.witnesses):
        raise ObjectNotFound(
            f"{drive.label} holds none of what is to be removed ({len(task.refs)} on record), so nothing was: is its "
            f"disk mounted? `backupman reconcile --drive {drive.label!r}` says what it holds",
            permanent=True,
        )
    spared = {index: why for floor in task.floors if (why := _lacking(drive, floor)) for index in floor.above}
    for index, refs in enumerate(task.refs):
        tell(Deleted(index=index, error=spared[index]) if index in spared else _removed(drive, index, refs))


def _lacking(drive: Drive, floor: Floor) -> str | None:
    """Why nothing above it may go."""
    if not floor.stay or any(_is_there(drive, ref, size) for ref, size in floor.stay):
        return None
    return (
        f"{drive.label} holds none of the {floor.of} that are to stay ({len(floor.stay)} on record), so no other "
        f"was removed: `backupman reconcile --drive {drive.label!r}` says what is gone"
    )


def _removed(drive: Drive, index: int, refs: list[str]) -> Deleted:
    try:
        for ref in refs:
            drive.delete(ref)
    except Retained as retained:
        return Deleted(index=index, retained=retained.sentence)
    except BackupmanError as error:
        return Deleted(index=index, error=error.sentence)
    return Deleted(index=index)


def _is_there(drive: Drive, ref: str, size: int | None = None) -> bool:
    """Also where the drive never says: removing is a right of its own. Raises what may be over soon."""
    try:
        stat = drive.stat(ref)
    except ObjectNotFound:
        return False
    except BackupmanError as error:
        if not error.permanent:
            raise
        return True
    return size in (None, stat.size)
