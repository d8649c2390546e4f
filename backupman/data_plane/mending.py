"""In the child: an object that is missing or damaged on one drive, copied anew from another, checked on its way."""

import hashlib
import io
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Any, BinaryIO, cast

from pydantic import BaseModel

from backupman.data_plane.messages import Phase, Uploaded
from backupman.data_plane.pacing import Pace, pace_of
from backupman.data_plane.tasks import Copy, MendTask
from backupman.data_plane.uploading import drive_of, text_of
from backupman.drives import Drive, Stored
from backupman.errors import BackupmanError, CopyError, DriveError, ObjectNotFound
from backupman.naming import sidecar_name
from backupman.pipeline._sink import CHUNK

Tell = Callable[[BaseModel], None]


def mend(task: MendTask, tell: Tell, opened: Callable[[str, str], None]) -> None:
    """Let the drive hold the object with its sidecar; tells it as an upload is told.

    What stands there is read first (`task.read`), and stays when it is right. It is removed only after another copy was
    read from end to end and is good.

    Raises:
        CopyError: what stands there is not good, and no other copy is.
        DriveError: the drive fails.
        Retained: what stands there is kept by the drive itself.
    """
    drive = drive_of(task.drive, task.retry)
    ref = _ref(drive, task)
    if not task.sha256:
        tell(_learned(drive, ref, task))
        return
    stored = _as_it_is(drive, ref, task) if ref else None
    if stored is None:
        tell(Phase(phase="copying"))
        stored = _from_the_first_good(drive, ref, task, partial(opened, drive.label))
    uploaded = Uploaded(label=drive.label, ref=stored.ref, size=stored.size, checksums=dict(stored.checksums))
    stays = task.foreign and stored.ref == task.ref
    tell(uploaded if stays else uploaded.model_copy(update=_with_sidecar(drive, task)))


def _ref(drive: Drive, task: MendTask) -> str | None:
    """Where something stands under the object's name, by the ref on record or by the name."""
    if task.ref:
        try:
            drive.stat(task.ref)
        except ObjectNotFound:
            pass
        else:
            return task.ref
    return drive.find(task.object_name)


def _as_it_is(drive: Drive, ref: str, task: MendTask) -> Stored | None:
    """What stands there, if it is what was stored."""
    stat = drive.stat(ref)
    if task.size is not None and stat.size != task.size:
        return None
    right = not task.read or _sha256(drive, ref) == task.sha256
    return Stored(ref, stat.size, stat.checksums) if right else None


def _learned(drive: Drive, ref: str | None, task: MendTask) -> Uploaded:
    """What stands there, as it is."""
    if ref is None:
        raise ObjectNotFound(f"{drive.label}: {task.object_name} is gone", permanent=True)
    sha256, size = _read(drive, ref)
    checksums = {**drive.stat(ref).checksums, "sha256": sha256}
    return Uploaded(label=drive.label, ref=ref, size=size, checksums=checksums)


def _sha256(drive: Drive, ref: str) -> str:
    return _read(drive, ref)[0]


def _read(drive: Drive, ref: str) -> tuple[str, int]:
    """The sha256 and the size of all bytes."""
    digest, size = hashlib.sha256(), 0
    with closing(drive.open(ref)) as source:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _from_the_first_good(drive: Drive, bad: str | None, task: MendTask, opened: Callable[[str], None]) -> Stored:
    errors = []
    for copy in task.copies:
        origin = drive_of(copy.drive, task.retry)
        try:
            if bad:
                _must_be_good(origin, copy, task)
        except BackupmanError as error:
            errors.append(error.sentence)
            continue
        if bad:
            drive.delete(bad)
            bad = None
        try:
            return task.retry.call(lambda: _copied(origin, copy, drive, task, opened))  # noqa: B023 - called at once
        except _NotGood as error:
            errors.append(error.sentence)
    raise CopyError("; ".join(errors) or f"{drive.label}: no other drive holds a copy of it", permanent=True)


def _must_be_good(origin: Drive, copy: Copy, task: MendTask) -> None:
    if _sha256(origin, copy.ref) != task.sha256:
        raise _NotGood(f"{origin.label}: the copy there is damaged too", permanent=True)


def _copied(origin: Drive, copy: Copy, drive: Drive, task: MendTask, opened: Callable[[str], None]) -> Stored:
    try:
        source = origin.open(copy.ref)
    except DriveError as error:
        raise _NotGood(error.sentence, permanent=True) from error
    _clear(drive, task.object_name, task.drive.leftover_session)
    pace = pace_of(drive.bandwidth, task.drive.pace)
    with closing(source):
        reader = cast(BinaryIO, _Checked(source, origin.label, task.sha256, pace))
        return drive.upload(reader, task.object_name, {}, opened)


def _clear(drive: Drive, name: str, session: str | None) -> None:
    """Remove what an upload of that name has left that was killed: it could stand in the way of the next one."""
    with suppress(BackupmanError):  # the upload itself shows whether it does
        drive.abort(name, session)


def _with_sidecar(drive: Drive, task: MendTask) -> dict[str, Any]:
    name = sidecar_name(task.object_name)
    try:
        if ref := drive.find(name):
            return {"sidecar_ref": ref}
        _clear(drive, name, None)
        data = text_of(task.sidecar)
        return {"sidecar_ref": task.retry.call(lambda: drive.upload(io.BytesIO(data), name, {})).ref}
    except BackupmanError as error:  # the object itself is whole
        return {"sidecar_error": error.sentence}


class _NotGood(DriveError):
    """A copy cannot be read, or is not what was stored: the next one is tried."""


class _Checked(io.RawIOBase):
    """A copy's bytes, whose end is given out only when they have the hash on record: no bad copy is ever completed."""

    def __init__(self, source: BinaryIO, label: str, sha256: str, pace: Pace | None) -> None:
        self._source = source
        self._label = label
        self._sha256 = sha256
        self._pace = pace
        self._digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """More bytes. Raises _NotGood at the end of what is not the object, or where the drive fails."""
        try:
            data = self._source.read(-1 if size is None else size)
        except DriveError as error:
            raise _NotGood(error.sentence, permanent=True) from error
        self._digest.update(data)
        if self._pace:
            self._pace(len(data))
        if not data and size != 0 and self._digest.hexdigest() != self._sha256:
            raise _NotGood(f"{self._label}: the copy there is damaged too", permanent=True)
        return data
