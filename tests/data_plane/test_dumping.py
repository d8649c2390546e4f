"""A dump from its source onto the drives: nothing gets its name before the gate has spoken, or without it."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from backupman.data_plane import dumping
from backupman.data_plane.dumping import back_up
from backupman.data_plane.messages import Dumped, Phase, Uploaded, UploadFailed
from backupman.data_plane.tasks import BackupTask, DriveTask
from backupman.drives.local import Local
from backupman.errors import DumpError
from backupman.pipeline import Pipeline
from backupman.pipeline.compression import Compression
from backupman.retry import NO_RETRY
from backupman.sources import Dump
from backupman.sources.command import Command
from tests.test_sidecar import KNOWN

OBJECT = "app/backup.dump"
DUMP = b"a whole dump"


class Judged(Command):
    """A source whose gate notes what has its name by then, and refuses the dump if it is told to."""

    looks_at: list[Path]
    """The spool and the object on the drive."""
    refuses: bool = False

    def accept(self, database: str, dump: Dump) -> None:
        super().accept(database, dump)
        SEEN.extend(path.name for path in self.looks_at if path.exists())
        if self.refuses:
            raise DumpError(f"{self.label}: it is not whole")


SEEN: list[str] = []


@pytest.fixture(autouse=True)
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    SEEN.clear()
    monkeypatch.setattr(dumping, "source_of", Judged.model_validate)


def task(folder: Path, **settings: Any) -> BackupTask:
    """A dump by a program, onto a local drive on the spool's disk."""
    disk = Local(provider="local", label="disk", folder=folder / "drive")
    source = {
        "provider": "command",
        "label": "app",
        "argv": [sys.executable, "-c", f"import sys; sys.stdout.buffer.write({DUMP!r})"],
        "looks_at": [folder / "spool" / "dump", folder / "drive" / OBJECT],
        **settings,
    }
    return BackupTask(
        source=source,
        pace=folder / "pace",
        database="app",
        pipeline=Pipeline(compression=Compression(method="none")).model_dump(),
        spool=folder / "spool" / "dump",
        keep_free=0,
        max_size=None,
        object_name=OBJECT,
        sidecar=KNOWN | {"Object": OBJECT},
        drives=[DriveTask(label="disk", settings=disk.revealed())],
        parallel=None,
        retry=NO_RETRY,
    )


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_nothing_has_its_name_before_the_gate_has_spoken(tmp_path: Path) -> None:
    told: list[BaseModel] = []
    back_up(task(tmp_path), told.append, lambda label, session: None)
    assert SEEN == []
    assert files(tmp_path) == [f"drive/{OBJECT}", f"drive/{OBJECT}.json", "spool/dump"]
    assert (tmp_path / "drive" / OBJECT).read_bytes() == DUMP
    [dumped] = [message for message in told if isinstance(message, Dumped)]
    assert (dumped.size, dumped.sha256) == (len(DUMP), hashlib.sha256(DUMP).hexdigest())
    kinds = [message.phase if isinstance(message, Phase) else type(message) for message in told]
    order = [kind for kind in kinds if kind in ("dumping", "checking", Dumped, "uploading", Uploaded)]
    assert order[:3] == ["dumping", "checking", Dumped], "and no upload was over by then"


def test_nothing_is_left_of_a_dump_that_the_gate_refuses(tmp_path: Path) -> None:
    told: list[BaseModel] = []
    with pytest.raises(DumpError, match=r"^app: it is not whole$"):
        back_up(task(tmp_path, refuses=True), told.append, lambda label, session: None)
    assert files(tmp_path) == []
    assert not [message for message in told if isinstance(message, Dumped | Uploaded)]
    [failed] = [message for message in told if isinstance(message, UploadFailed)]
    assert failed.error == "app: it is not whole"
