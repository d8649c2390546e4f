"""In the child: uploads follow the spool, side by side; a failed one is tried again from the spool's start."""

import hashlib
import io
import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, BinaryIO, cast

from pydantic import BaseModel

from backupman.data_plane.beside import put_restore_txt, remove_unfinished
from backupman.data_plane.messages import Phase, Progress, Retrying, Uploaded, UploadFailed
from backupman.data_plane.pacing import pace_of
from backupman.data_plane.tasks import AbortTask, DriveTask, UploadTask
from backupman.data_plane.throttle import Throttle
from backupman.drives import Drive, Stored
from backupman.errors import BackupmanError, DriveError, Interrupted, PipelineError, Retained
from backupman.naming import sidecar_name
from backupman.pipeline.spool import Spool
from backupman.registry import provider_class
from backupman.retry import RetryPolicy

Tell = Callable[[BaseModel], None]


def drive_of(task: DriveTask, retry: RetryPolicy) -> Drive:
    """The drive that the settings describe, with the policy for its parts."""
    cls = provider_class("drives", Drive, task.settings["provider"])  # type: ignore[type-abstract]
    return cls.model_validate(task.settings).with_retry(retry)


def paces_of(drives: Sequence[DriveTask]) -> dict[str, Path | None]:
    """The files that keep the drives' pace, by their labels."""
    return {about.label: about.pace for about in drives}


class Uploads:
    """The uploads of one spool onto its drives; one drive's failure never stops another.

    `parallel` drives are written to at once, all of them by default; the others wait in their order. `paces` are the
    files that keep the pace of drives with a bandwidth, by their labels. `restore_txt` is put beside the object.
    """

    def __init__(
        self,
        drives: Sequence[Drive],
        spool: Spool,
        name: str,
        retry: RetryPolicy,
        tell: Tell,
        opened: Callable[[str, str], None],
        sent: Callable[[str, int], None],
        sessions: Mapping[str, str] | None = None,
        *,
        paces: Mapping[str, Path | None] | None = None,
        parallel: int | None = None,
        restore_txt: str | None = None,
    ) -> None:
        self._spool = spool
        self._name = name
        self._retry = retry
        self._tell = tell
        self._opened = opened
        self._sent = sent
        self._sessions = dict(sessions or {})
        self._sidecar: bytes | None = None
        self._restore_txt = restore_txt
        self._accepted = Event()
        self._paces = dict(paces or {})
        self._waiting = deque(drives)
        self._threads = [
            Thread(target=self._work, name=f"upload-{number}", daemon=True)
            for number in range(min(len(drives), parallel or len(drives)))
        ]

    def start(self) -> None:
        """Let every drive follow the spool."""
        for thread in self._threads:
            thread.start()

    def may_complete(self, sidecar: dict[str, Any]) -> None:
        """The dump is good: this is what stands beside the object."""
        self._sidecar = text_of(sidecar)
        self._accepted.set()

    def give_up(self, error: BaseException) -> None:
        """End them, and wait for the end of every abort."""
        self._spool.fail(error if isinstance(error, BackupmanError) else Interrupted("the backup was interrupted"))
        self._accepted.set()
        self.wait()

    def wait(self) -> None:
        """Wait for the end of every upload."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _work(self) -> None:
        with suppress(IndexError):
            while True:
                self._upload(self._waiting.popleft())

    def _upload(self, drive: Drive) -> None:
        started, attempts = time.monotonic(), 0
        pace = pace_of(drive.bandwidth, self._paces.get(drive.label), self._spool.pause)

        def attempt() -> Stored:
            nonlocal attempts
            attempts += 1
            reader = self._spool.reader(lambda position: self._sent(drive.label, position), pace)
            try:
                if not drive.capabilities.follows:
                    reader.wait_for_the_end()
                return self._put(drive, cast(BinaryIO, reader))
            except BackupmanError as error:
                if self._spool.error:  # the dump failed, or all is being given up: no drive can help that
                    raise DriveError(self._spool.error.sentence, permanent=True) from error
                if attempts > 1 and error.permanent and (stored := self._stored_before(drive)):
                    return stored
                raise

        try:
            stored = self._retry.call(attempt, before_sleep=lambda error: self._retrying(drive, error))
            uploaded = self._with_sidecar(drive, stored)
            if self._restore_txt:  # before it is told: what a crash leaves of it is removed with what it left of this
                put_restore_txt(drive, self._name, self._restore_txt)
        except Exception as error:  # noqa: BLE001 - a drive's fault of any kind stays that drive's
            sentence = error.sentence if isinstance(error, BackupmanError) else _unexpected(drive, error)
            seconds = time.monotonic() - started
            self._tell(UploadFailed(label=drive.label, error=sentence, attempts=attempts, seconds=seconds))
        else:
            seconds = time.monotonic() - started
            self._tell(uploaded.model_copy(update={"attempts": attempts, "seconds": seconds}))

    def _put(self, drive: Drive, reader: BinaryIO) -> Stored:
        """The first try goes on with the session of a dead process, where there is one."""
        opened = partial(self._opened, drive.label)
        if session := self._sessions.pop(drive.label, None):
            return drive.resume(reader, self._name, {}, session, opened)
        return drive.upload(reader, self._name, {}, opened)

    def _stored_before(self, drive: Drive) -> Stored | None:
        """The object, where it stands there whole: of an earlier try of ours, of which only the answer got lost."""
        with suppress(BackupmanError):
            if self._spool.committed and (ref := drive.find(self._name)):
                stat, sha256 = drive.stat(ref), self._spool.sha256
                if (stat.size, stat.checksums.get("sha256", sha256)) == (self._spool.size, sha256):
                    return Stored(ref, stat.size, stat.checksums)
        return None

    def _retrying(self, drive: Drive, error: BackupmanError) -> None:
        self._tell(Retrying(label=drive.label, error=error.sentence))

    def _with_sidecar(self, drive: Drive, stored: Stored) -> Uploaded:
        self._accepted.wait()
        uploaded = Uploaded(label=drive.label, ref=stored.ref, size=stored.size, checksums=dict(stored.checksums))
        content = self._sidecar
        if content is None:  # all was given up after the object was whole, and before that was known
            return uploaded.model_copy(update={"sidecar_error": "the backup was interrupted"})
        try:
            sidecar = self._retry.call(lambda: drive.upload(io.BytesIO(content), sidecar_name(self._name), {}))
        except BackupmanError as error:  # the object itself is whole: a warning, not a failure
            return uploaded.model_copy(update={"sidecar_error": error.sentence})
        return uploaded.model_copy(update={"sidecar_ref": sidecar.ref})


def upload_kept(task: UploadTask, tell: Tell, opened: Callable[[str, str], None]) -> None:
    """Put the spool of an earlier run onto drives, after what it left there was looked at.

    Raises:
        PipelineError: the spool is gone, or is not what was dumped any more.
    """
    spool = Spool.kept(task.spool)
    try:
        with task.spool.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != task.sha256:
                raise PipelineError(f"the spooled dump {task.spool} is damaged: make a new backup", permanent=True)
        tell(Phase(phase="uploading"))
        drives = [drive_of(drive, task.retry) for drive in task.drives]
        unseen: dict[str, str] = {}
        open_still = [
            drive
            for drive, about in zip(drives, task.drives, strict=True)
            if not _there_already(drive, about, task, spool, tell, unseen)
        ]

        def tell_what_matters(message: BaseModel) -> None:
            # What the look met with is nobody's concern where the upload can do it, as with a folder that it makes.
            if isinstance(message, Retrying | UploadFailed) and (error := unseen.pop(message.label, None)):
                tell(Retrying(label=message.label, error=error))
            tell(message)

        sent: dict[str, int] = {}
        throttle = Throttle()

        def progress(label: str, position: int) -> None:
            sent[label] = position
            if throttle.due() or position == spool.size:
                tell(Progress(read=0, stored=spool.size, sent=dict(sent)))

        sessions = {
            about.label: about.leftover_session
            for drive, about in zip(drives, task.drives, strict=True)
            if about.leftover_session and drive.capabilities.resumes
        }
        uploads = Uploads(
            open_still,
            spool,
            task.object_name,
            task.retry,
            tell_what_matters,
            opened,
            progress,
            sessions,
            paces=paces_of(task.drives),
            parallel=task.parallel,
            restore_txt=task.restore_txt,
        )
        uploads.may_complete(task.sidecar)
        uploads.start()
        try:
            uploads.wait()
        except BaseException as error:
            uploads.give_up(error)
            raise
    finally:
        spool.close()


def abort(task: AbortTask) -> None:
    """Remove what dead uploads left, on every drive: a session, a part, or an object that nobody recorded.

    Raises:
        DriveError: what went wrong on one or more of the drives, after all were tried.
    """
    errors = []
    for about in task.drives:
        drive = drive_of(about, task.retry)
        try:
            drive.abort(task.object_name, about.leftover_session)
            remove_unfinished(drive, task.object_name)
            for name in (task.object_name, sidecar_name(task.object_name)):
                if ref := drive.find(name):
                    with suppress(Retained):
                        drive.delete(ref)
        except BackupmanError as error:
            errors.append(error.sentence)
    if errors:
        raise DriveError("; ".join(errors))


def _there_already(
    drive: Drive, about: DriveTask, task: UploadTask, spool: Spool, tell: Tell, unseen: dict[str, str]
) -> bool:
    """Whether the exact object of this backup is there, whole; an unequal leftover of our own is removed.

    Where it cannot be seen, `unseen` gets the reason.
    """
    try:
        if not (about.leftover_session and drive.capabilities.resumes):
            drive.abort(task.object_name, about.leftover_session)
        if (ref := drive.find(task.object_name)) is None:
            return False
        stat = drive.stat(ref)
        if stat.size == spool.size and stat.checksums.get("sha256", task.sha256) == task.sha256:
            remove_unfinished(drive, task.object_name)
            uploaded = Uploaded(label=drive.label, ref=ref, size=stat.size, checksums=dict(stat.checksums))
            tell(_completed(drive, task, uploaded))
            return True
        drive.delete(ref)
    except BackupmanError as error:  # the upload itself will show whether the drive can be used
        unseen[drive.label] = error.sentence
    return False


def _completed(drive: Drive, task: UploadTask, uploaded: Uploaded) -> Uploaded:
    """What is told of an object that is there, with what belongs beside it: its upload may have died in between."""
    name = sidecar_name(task.object_name)
    try:
        ref = drive.find(name) or drive.upload(io.BytesIO(text_of(task.sidecar)), name, {}).ref
        if task.restore_txt:
            put_restore_txt(drive, task.object_name, task.restore_txt)
    except BackupmanError as error:  # the object itself is whole: a warning, not a failure
        return uploaded.model_copy(update={"sidecar_error": error.sentence})
    return uploaded.model_copy(update={"sidecar_ref": ref})


def text_of(sidecar: dict[str, Any]) -> bytes:
    """A sidecar as it is stored."""
    return json.dumps(sidecar, indent=2, ensure_ascii=False).encode()


def _unexpected(drive: Drive, error: Exception) -> str:
    return drive.redact(f"{drive.label}: unexpected {type(error).__name__}: {error}; please report it")
