"""The uploads of a spool: their pace, their order, how many there are at once, and that one drive stops no other."""

import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from pydantic import BaseModel, PrivateAttr

from backupman.config import Config
from backupman.config.plans import plans
from backupman.data_plane import throttle, uploading
from backupman.data_plane.messages import Progress, Uploaded, UploadFailed
from backupman.data_plane.tasks import DriveTask, UploadTask
from backupman.data_plane.uploading import Uploads, upload_kept
from backupman.drives import Drive, Opened, Stored
from backupman.drives.local import Local
from backupman.errors import DriveError, DumpError, PipelineError, Terminated
from backupman.pipeline.spool import Spool
from backupman.retry import NO_RETRY, RetryPolicy
from backupman.testing import MemoryDrive

Begun = Callable[[str], None]


class Watched(MemoryDrive):
    """A drive that says when an upload begins and ends, and may fail."""

    _begin: Begun = PrivateAttr(default_factory=lambda: lambda label: None)
    _end: Begun = PrivateAttr(default_factory=lambda: lambda label: None)
    _fails: bool = PrivateAttr(default=False)

    def upload(self, reader: BinaryIO, name: str, metadata: Mapping[str, str], opened: Opened | None = None) -> Stored:
        if name.endswith(".json"):
            return super().upload(reader, name, metadata, opened)
        self._begin(self.label)
        try:
            if self._fails:
                raise DriveError(f"{self.label}: it is full", permanent=True)
            return super().upload(reader, name, metadata, opened)
        finally:
            self._end(self.label)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool" / "dump")
    yield spool
    spool.close()


def watched(place: Path, count: int, **settings: object) -> list[Watched]:
    return [
        Watched.model_validate({"provider": "memory", "label": f"d{number}", "place": f"{place}/{number}", **settings})
        for number in range(count)
    ]


def uploads(
    drives: list[Watched], spool: Spool, retry: RetryPolicy = NO_RETRY, **more: Any
) -> tuple[Uploads, list[BaseModel]]:
    told: list[BaseModel] = []

    def ignore(*_: object) -> None:
        return None

    return Uploads(drives, spool, "shop/dump", retry, told.append, ignore, ignore, **more), told


@pytest.mark.parametrize("parallel", [1, 2, 3, None])
def test_drives_are_written_to_in_their_order_so_many_at_once(
    spool: Spool, tmp_path: Path, parallel: int | None
) -> None:
    guard, order, under_way, most = threading.Lock(), list[str](), 0, 0
    first = threading.Barrier(parallel or 5)

    def begin(label: str) -> None:
        nonlocal under_way, most
        with guard:
            order.append(label)
            under_way += 1
            most = max(most, under_way)
            together = len(order) <= (parallel or 5)
        if together:
            first.wait(60)

    def end(label: str) -> None:
        nonlocal under_way
        with guard:
            under_way -= 1

    drives = watched(tmp_path, 5)
    for drive in drives:
        drive._begin, drive._end = begin, end
    running, told = uploads(drives, spool, parallel=parallel)
    running.start()
    spool.write(b"the dump")
    spool.commit()
    running.may_complete({})
    running.wait()
    assert most == (parallel or 5)
    assert sorted(message.label for message in told if isinstance(message, Uploaded)) == [f"d{n}" for n in range(5)]
    if parallel == 1:
        assert order == ["d0", "d1", "d2", "d3", "d4"]


def test_one_drive_s_failure_stops_no_other(spool: Spool, tmp_path: Path) -> None:
    drives = watched(tmp_path, 3)
    drives[0]._fails = True
    running, told = uploads(drives, spool, parallel=1)
    running.start()
    spool.write(b"the dump")
    spool.commit()
    running.may_complete({})
    running.wait()
    assert [(type(message), message.label) for message in told if isinstance(message, Uploaded | UploadFailed)] == [
        (UploadFailed, "d0"),
        (Uploaded, "d1"),
        (Uploaded, "d2"),
    ]


def test_a_dump_that_fails_fails_the_drives_that_wait_too(spool: Spool, tmp_path: Path) -> None:
    drives = watched(tmp_path, 3)
    running, told = uploads(drives, spool, parallel=1)
    running.start()
    spool.fail(DumpError("the tool was killed"))
    running.wait()
    assert [message.label for message in told if isinstance(message, UploadFailed)] == ["d0", "d1", "d2"]
    assert [list(drive.list()) for drive in drives] == [[], [], []]


def test_an_object_that_was_whole_when_all_was_given_up_gets_no_empty_sidecar(spool: Spool, tmp_path: Path) -> None:
    [drive] = watched(tmp_path, 1)
    stored = threading.Event()
    drive._end = lambda label: stored.set()
    running, told = uploads([drive], spool)
    running.start()
    spool.write(b"the dump")
    spool.commit()
    assert stored.wait(60)
    running.give_up(Terminated())
    [uploaded] = [message for message in told if isinstance(message, Uploaded)]
    assert (uploaded.sidecar_ref, uploaded.sidecar_error) == (None, "the backup was interrupted")
    assert list(drive.list()) == ["shop/dump"]


def test_a_drive_with_a_bandwidth_has_its_bytes_counted(spool: Spool, tmp_path: Path) -> None:
    [slow, fast] = [*watched(tmp_path / "slow", 1, bandwidth="1GiB"), *watched(tmp_path / "fast", 2)[1:]]
    paces: dict[str, Path | None] = {drive.label: tmp_path / drive.label for drive in (slow, fast)}
    running, told = uploads([slow, fast], spool, paces=paces)
    running.start()
    spool.write(bytes(100_000))
    spool.commit()
    running.may_complete({})
    running.wait()
    assert [type(message) for message in told if isinstance(message, Uploaded | UploadFailed)] == [Uploaded] * 2
    assert (tmp_path / "d0").exists()
    assert not (tmp_path / "d1").exists()


def test_an_upload_that_waits_for_its_turn_ends_with_the_dump(spool: Spool, tmp_path: Path) -> None:
    reached = threading.Event()

    def progress(count: int) -> None:
        reached.set()
        spool.pause(3600)

    reader = spool.reader(pace=progress)
    failed: list[BaseException] = []

    def read() -> None:
        try:
            reader.read(5)
        except DumpError as error:
            failed.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    spool.write(b"12345")
    assert reached.wait(60)
    error = DumpError("the tool was killed")
    spool.fail(error)
    thread.join(60)
    assert failed == [error]


def test_a_job_may_have_its_own_number_of_uploads(tmp_path: Path) -> None:
    config = {
        "state_folder": str(tmp_path),
        "max_parallel_uploads": 3,
        "data_sources": [{"provider": "sqlite", "label": "app", "db_path": "/srv/app.sqlite"}],
        "drives": [{"provider": "local", "label": label, "folder": f"/srv/{label}"} for label in ("b", "a")],
        "jobs": [{"label": "one", "drives": ["a", "b"]}, {"label": "two", "max_parallel_uploads": 1}],
    }
    one, two = plans(loaded(config))
    assert (one.max_parallel_uploads, two.max_parallel_uploads) == (3, 1)
    assert [drive.label for drive in one.drives] == ["b", "a"], "in the order of the config"


def loaded(config: dict[str, Any]) -> Config:
    import yaml

    from backupman.config import load

    path = Path(config["state_folder"]) / "config.yml"
    path.write_text(yaml.safe_dump(config))
    return load(path).config


NAME = "shop/backup.sql.zst"


@pytest.fixture
def disk(tmp_path: Path) -> Local:
    return Local(provider="local", label="disk", folder=tmp_path / "drive")


def again(tmp_path: Path, drive: Drive, kept: bytes = b"dump") -> UploadTask:
    """The upload of a dump that was kept as `kept`, tried once more."""
    (tmp_path / "kept").write_bytes(kept)
    return UploadTask(
        spool=tmp_path / "kept",
        object_name=NAME,
        sidecar={"Id": "1"},
        sha256=hashlib.sha256(b"dump").hexdigest(),
        drives=[DriveTask(label=drive.label, settings=drive.revealed())],
        parallel=None,
        retry=NO_RETRY,
    )


def test_what_belongs_beside_an_object_that_is_there_already_is_put_there_too(tmp_path: Path, disk: Local) -> None:
    """The process died after the object and before its sidecar."""
    sidecar = tmp_path / "drive" / f"{NAME}.json"
    disk.upload(io.BytesIO(b"dump"), NAME, {})
    sidecar.with_name(sidecar.name + ".part").write_text("{")
    told: list[BaseModel] = []
    upload_kept(again(tmp_path, disk), told.append, lambda label, session: None)
    [uploaded] = [message for message in told if isinstance(message, Uploaded)]
    assert (uploaded.ref, uploaded.sidecar_ref, uploaded.sidecar_error) == (NAME, f"{NAME}.json", None)
    assert json.loads(sidecar.read_text()) == {"Id": "1"}
    assert sorted(disk.list()) == [NAME, f"{NAME}.json"]
    assert not list((tmp_path / "drive").rglob("*.part"))


@pytest.mark.parametrize(("there", "sent"), [(b"dump", []), (b"dumb", ["d0"]), (b"dum", ["d0"]), (None, ["d0"])])
def test_only_the_very_object_is_not_sent_again(
    tmp_path: Path, there: bytes | None, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    [drive] = watched(tmp_path, 1)
    if there is not None:
        drive.upload(io.BytesIO(there), NAME, {})
    begun: list[str] = []
    drive._begin = begun.append
    monkeypatch.setattr(uploading, "drive_of", lambda about, retry: drive)
    told: list[BaseModel] = []
    upload_kept(again(tmp_path, drive), told.append, lambda label, session: None)
    [uploaded] = [message for message in told if isinstance(message, Uploaded)]
    assert uploaded.checksums == {"sha256": hashlib.sha256(b"dump").hexdigest()}
    assert drive.open(NAME).read() == b"dump"
    assert begun == sent


def test_how_far_a_kept_dump_is_sent_is_told_a_few_times_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slowly(MemoryDrive):
        def upload(self, reader: BinaryIO, *_: Any) -> Stored:
            while reader.read(1):
                pass
            return Stored(ref=NAME, size=1000, checksums={})

    drive = Slowly(provider="memory", label="d")
    monkeypatch.setattr(uploading, "drive_of", lambda about, retry: drive)
    monkeypatch.setattr(throttle, "_EVERY", 3600)
    (tmp_path / "kept").write_bytes(bytes(1000))
    sha256 = hashlib.sha256(bytes(1000)).hexdigest()
    task = again(tmp_path, drive, bytes(1000)).model_copy(update={"sha256": sha256})
    told: list[BaseModel] = []
    upload_kept(task, told.append, lambda label, session: None)
    said = [message.sent for message in told if isinstance(message, Progress)]
    assert said[0] == {"d": 1} and said[-1] == {"d": 1000} and len(said) <= 3


@pytest.mark.parametrize("damaged", [b"dum", b"dumb", b""])
def test_a_kept_dump_that_is_not_what_was_dumped_goes_nowhere(tmp_path: Path, disk: Local, damaged: bytes) -> None:
    with pytest.raises(PipelineError, match="is damaged: make a new backup"):
        upload_kept(again(tmp_path, disk, damaged), lambda message: None, lambda label, session: None)
    assert not (tmp_path / "drive").exists()
