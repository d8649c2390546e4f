"""In the child: a stored dump brought back into a database, from the first copy that is good."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import BaseModel

from backupman.data_plane.dumping import source_of
from backupman.data_plane.messages import Phase, Restored, Restoring
from backupman.data_plane.restoring import Checked, opened, tell_bad
from backupman.data_plane.tasks import Copy, FillTask
from backupman.data_plane.throttle import Throttle
from backupman.errors import DriveError, PipelineError, RestoreError
from backupman.pipeline._sink import CHUNK, Pieces
from backupman.sources import GLOBALS, Source

Tell = Callable[[BaseModel], None]


def fill(task: FillTask, tell: Tell) -> None:
    """Fill the target from the first copy that is good; where one is not, the next begins anew.

    What replaces something is read whole before the first statement.

    Raises:
        RestoreError: no copy is good, or the server or its client refuses.
    """
    source = source_of(task.source)
    errors, spoiled = [], False
    for copy in task.copies:
        filling = _Filling(task, source, copy, tell)
        try:
            filling.run()
        except (DriveError, PipelineError) as error:
            errors.append(tell_bad(copy, error, tell))
            spoiled = spoiled or filling.begun
        else:
            return
    sentence = f"{task.label}: no copy can be restored: {'; '.join(errors)}"
    if spoiled and _replaces(task):
        sentence += f"; {task.target.database} was being replaced by then: look at it before you use it"
    raise RestoreError(sentence, permanent=True)


def _replaces(task: FillTask) -> bool:
    return task.target.overwrite or task.target.database == GLOBALS


class _Filling:
    """One try, with one copy."""

    def __init__(self, task: FillTask, source: Source, copy: Copy, tell: Tell) -> None:
        self._task = task
        self._source = source
        self._copy = copy
        self._tell = tell
        self.begun = False

    def run(self) -> None:
        """Raises DriveError or PipelineError where the copy is not good; what was made new is gone then."""
        if _replaces(self._task):
            self._tell(Phase(phase="verifying"))
            with opened(self._copy, self._task) as dump:
                while dump.read(CHUNK):
                    pass
        self._tell(Phase(phase="restoring"))
        task = self._task
        with opened(self._copy, task) as dump, _workspace(task.folder) as folder:
            watched = _Watched(dump, self._copy.drive.label, self._tell)
            stream = cast(BinaryIO, watched)
            self.begun = True
            warnings = self._source.restore(stream, task.origin, task.target, folder)
            self._read_the_rest(stream)
        self._tell(Restored(label=self._copy.drive.label, size=watched.size, warnings=warnings))

    def _read_the_rest(self, stream: BinaryIO) -> None:
        """Only the end of the stream says that it was good: what a source leaves unread is read here."""
        try:
            while stream.read(CHUNK):
                pass
        except (DriveError, PipelineError):
            if not _replaces(self._task):
                self._source.remove(self._task.target.database)
            raise


@contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """The source's own folder, new and empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Watched(Pieces):
    """A dump, of which is told how far it is read."""

    def __init__(self, dump: Checked, label: str, tell: Tell) -> None:
        self._dump = dump
        self._label = label
        self._tell = tell
        self._throttle = Throttle()
        self.size = 0

    def _next(self) -> bytes:
        chunk = self._dump.read(CHUNK)
        self.size += len(chunk)
        if self._throttle.due() or not chunk:
            self._tell(Restoring(label=self._label, read=self._dump.taken, written=self.size))
        return chunk
