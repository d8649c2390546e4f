"""In the child: a source's dump through the pipeline into the spool, past the gate, while the uploads follow."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from backupman import sidecar
from backupman.data_plane.messages import Dumped, Phase, Progress
from backupman.data_plane.pacing import pace_of
from backupman.data_plane.room import Room
from backupman.data_plane.tasks import BackupTask
from backupman.data_plane.throttle import Throttle
from backupman.data_plane.uploading import Uploads, drive_of, paces_of
from backupman.pipeline import Pipeline
from backupman.pipeline._sink import CHUNK
from backupman.pipeline.spool import Spool
from backupman.registry import provider_class
from backupman.sources import Dump, Source

Tell = Callable[[BaseModel], None]


def source_of(settings: dict[str, Any]) -> Source:
    """The source that the settings describe."""
    cls = provider_class("sources", Source, settings["provider"])  # type: ignore[type-abstract]
    return cls.model_validate(settings)


def back_up(task: BackupTask, tell: Tell, opened: Callable[[str, str], None]) -> None:
    """Dump, judge, commit; the uploads follow the spool and end after it.

    Raises:
        BackupmanError: the dump failed or was refused; no upload has completed and the spool is gone.
    """
    source = source_of(task.source)
    pipeline = Pipeline.model_validate(task.pipeline)
    drives = [drive_of(drive, task.retry) for drive in task.drives]
    spool = Spool(task.spool, keep_free=task.keep_free, max_size=task.max_size)
    progress = _Progress(tell, spool)
    uploads = Uploads(
        drives,
        spool,
        task.object_name,
        task.retry,
        tell,
        opened,
        progress.sent,
        paces=paces_of(task.drives),
        parallel=task.parallel,
        restore_txt=task.restore_txt,
    )
    try:
        tell(Phase(phase="dumping"))  # first, so that the parent knows of uploads that it may have to abort
        uploads.start()
        dumped = _dump(source, task, pipeline, spool, progress, tell)
        tell(dumped)
        uploads.may_complete(_sidecar(task, pipeline, dumped))
        tell(Phase(phase="uploading"))
        uploads.wait()
        progress.tell_now()
    except BaseException as error:
        uploads.give_up(error)
        raise
    finally:
        spool.close()


def _dump(
    source: Source, task: BackupTask, pipeline: Pipeline, spool: Spool, progress: "_Progress", tell: Tell
) -> Dumped:
    started = time.monotonic()
    may_go = pace_of(source.bandwidth, task.pace)
    with _workspace(spool.path) as folder, Room(folder, task.keep_free):
        with source.dump(task.database, folder) as dump, pipeline.encode(spool) as sink:
            while chunk := dump.stream.read(CHUNK):
                dump.saw(chunk)
                sink.write(chunk)
                progress.read(dump)
                if may_go:  # the tool waits meanwhile, and with it the server
                    may_go(len(chunk))
        tell(Phase(phase="checking"))
        source.accept(task.database, dump)
    spool.commit()
    return Dumped(
        size=dump.size,
        stored_size=spool.size,
        sha256=spool.sha256,
        seconds=time.monotonic() - started,
        warnings=dump.warnings,
        facts=dump.facts,
        manifest=dump.manifest,
    )


@contextmanager
def _workspace(spool: Path) -> Iterator[Path]:
    """The source's own folder beside the spool; a dead run's is found by the spool's name."""
    folder = spool.with_name(spool.name + ".work")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sidecar(task: BackupTask, pipeline: Pipeline, dumped: Dumped) -> dict[str, Any]:
    return sidecar.document(
        task.sidecar,
        stored_size=dumped.stored_size,
        sha256=dumped.sha256,
        dumped_at=datetime.now(UTC),
        content=sidecar.Content(
            size=dumped.size, facts=dumped.facts, warnings=dumped.warnings, manifest=dumped.manifest
        ),
        seal=pipeline.encryption.armored if pipeline.encryption else None,
    )


class _Progress:
    """Tells how far things are, a few times a second."""

    def __init__(self, tell: Tell, spool: Spool) -> None:
        self._tell = tell
        self._spool = spool
        self._read = 0
        self._sent: dict[str, int] = {}
        self._throttle = Throttle()

    def read(self, dump: Dump) -> None:
        """The dump was read so far."""
        self._read = dump.size
        self._maybe()

    def sent(self, label: str, position: int) -> None:
        """An upload has taken the spool up to a position."""
        self._sent[label] = position
        self._maybe()

    def _maybe(self) -> None:
        if self._throttle.due():
            self.tell_now()

    def tell_now(self) -> None:
        """Send the figures as they are."""
        self._tell(Progress(read=self._read, stored=self._spool.size, sent=dict(self._sent)))
