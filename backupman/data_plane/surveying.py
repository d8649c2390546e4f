"""In the child: what a drive holds, told in small heaps, so that a bucket of any size is looked at in little memory."""

from collections.abc import Callable

from pydantic import BaseModel

from backupman.data_plane.messages import Held, Listed, Unlisted
from backupman.data_plane.tasks import ListTask
from backupman.data_plane.uploading import drive_of
from backupman.drives import Drive, Entry
from backupman.errors import DriveError, ObjectNotFound
from backupman.naming import is_object

_AT_ONCE = 200
_TEXT_AT_ONCE = 2**20
_LONGEST = 32 * 2**20
"""Bytes of a sidecar that are read; one of a hundred thousand tables has ten million."""

Tell = Callable[[BaseModel], None]


def survey(task: ListTask, tell: Tell) -> None:
    """Tell what the drive holds; where it cannot be listed, which of the objects on record it holds.

    Raises:
        DriveError: it cannot be reached, or answers neither.
    """
    drive = drive_of(task.drive, task.retry)
    heap = _Heap(tell)
    objects, sidecars = set(task.objects), set(task.sidecars)
    try:
        if not drive.capabilities.lists:
            raise DriveError(f"{drive.label}: it cannot list what it holds", permanent=True)
        missed = objects | sidecars
        for entry in drive.entries():
            missed.discard(entry.ref)
            _look(drive, entry, objects, sidecars, heap)
        for ref in sorted(missed):  # lists leave out what is behind some links, and on some servers what is quite new
            heap.add(_held(drive, Entry(ref, "")))
    except DriveError as error:
        if heap.told or not error.permanent or not task.objects:  # nothing on record: nothing could be looked at
            raise
        tell(Unlisted(error=error.sentence))
        for ref in (*task.objects, *task.sidecars):
            heap.add(_held(drive, Entry(ref, "")))
    heap.tell()


def _look(drive: Drive, entry: Entry, objects: set[str], sidecars: set[str], heap: "_Heap") -> None:
    if entry.ref in sidecars or not (entry.ref in objects or is_object(entry.name)):
        heap.add(Held(ref=entry.ref, name=entry.name))
    elif entry.ref not in objects and entry.name.endswith(".json"):
        heap.add(_with_text(drive, entry))
    else:
        heap.add(_held(drive, entry))


def _held(drive: Drive, entry: Entry) -> Held | None:
    """The object as the drive knows it; nothing when it has gone meanwhile."""
    try:
        stat = drive.stat(entry.ref)
    except ObjectNotFound:
        return None
    return Held(ref=entry.ref, name=entry.name, size=stat.size, checksums=dict(stat.checksums))


def _with_text(drive: Drive, entry: Entry) -> Held | None:
    """The sidecar with its text; one that is no text, or may not be read, comes without."""
    held = _held(drive, entry)
    if held is None or (held.size or 0) > _LONGEST:
        return held
    try:
        with drive.open(entry.ref) as source:
            text = b"".join(iter(lambda: source.read(_TEXT_AT_ONCE), b"")).decode()
    except ObjectNotFound:
        return None
    except UnicodeDecodeError:
        return held
    except DriveError as error:
        if not error.permanent:
            raise
        return held.model_copy(update={"unreadable": error.sentence})
    return held.model_copy(update={"sidecar": text})


class _Heap:
    """Objects that are told together."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._objects: list[Held] = []
        self._text = 0
        self.told = False

    def add(self, held: Held | None) -> None:
        """One more."""
        if held:
            self._objects.append(held)
            self._text += len(held.sidecar or "")
        if len(self._objects) >= _AT_ONCE or self._text >= _TEXT_AT_ONCE:
            self.tell()

    def tell(self) -> None:
        """Those that have come."""
        if self._objects:
            self._tell(Listed(objects=self._objects))
            self._objects, self._text, self.told = [], 0, True
