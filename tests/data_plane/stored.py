"""A dump as it is stored: packed, on a local drive, and the task that reads it back."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from backupman.data_plane import verifying
from backupman.data_plane.messages import Drilled
from backupman.data_plane.tasks import Copy, DriveTask, VerifyTask
from backupman.drills import DrillReport
from backupman.pipeline import Pipeline, Sink
from backupman.retry import RetryPolicy
from backupman.sources import Dump, Origin, Source


@dataclass
class Stored:
    """An object on a drive, with all that is on record of it."""

    place: Path
    task: VerifyTask
    whole: bytes

    def verify(self, level: str, **changes: Any) -> DrillReport | None:
        """What a drill found; raises BackupmanError where the copy is not good."""
        told: list[Any] = []
        verifying.verify(self.task.model_copy(update={"level": level, **changes}), told.append)
        return next((message.report for message in told if isinstance(message, Drilled)), None)


def dumped(source: Source, database: str, folder: Path) -> tuple[Dump, bytes]:
    """One dump, with what is known of it."""
    folder.mkdir(exist_ok=True)
    with source.dump(database, folder) as dump:
        data = b"".join(iter(lambda: dump.stream.read(2**16), b""))
    return dump, data


def stored(
    source: Source, database: str, dump: Dump, data: bytes, pipeline: Pipeline, identities: Sequence[str], folder: Path
) -> Stored:
    """The dump through the pipeline onto a local drive in the folder."""
    packed = io.BytesIO()
    with pipeline.encode(cast(Sink, packed)) as sink:
        sink.write(data)
    whole = packed.getvalue()
    drive = folder / "drive"
    drive.mkdir(parents=True)
    place = drive / "object"
    place.write_bytes(whole)
    return Stored(
        place,
        VerifyTask(
            level="checksum",
            held=Copy(
                drive=DriveTask(label="Disk", settings={"provider": "local", "label": "Disk", "folder": str(drive)}),
                ref="object",
            ),
            path=str(place),
            size=len(whole),
            source=source.for_drill(),
            origin=Origin(database, source.suffix_of(database), dump.facts),
            folder=folder / "work",
            database="drilled",
            manifest=dump.manifest,
            sha256=hashlib.sha256(whole).hexdigest(),
            ending=pipeline.suffix,
            identities=list(identities),
            retry=RetryPolicy(attempts=1, first_wait=0.0, max_wait=0.0),
        ),
        whole,
    )
