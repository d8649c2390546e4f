"""The local drive on the disk of the spool: it takes the spool's file itself, for one drive, whole or not at all."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from backupman.drives import Stored
from backupman.drives.local import Local
from backupman.errors import DriveError, DumpError
from backupman.pipeline.spool import Spool, SpoolReader
from tests.contracts.objects import NAME, content
from tests.drives.test_local import local
from tests.drives.test_local_disk import disk, place

__all__ = ["disk", "place"]

BODY = os.urandom(3 * 2**20)
GRACE = 60


@pytest.fixture
def drive(tmp_path: Path) -> Local:
    return local(tmp_path / "drive")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool" / "dump")
    yield spool
    spool.close()


@contextmanager
def uploading(drive: Local, reader: SpoolReader) -> Iterator[Future[Stored]]:
    """An upload in a thread of its own, which has ended behind the `with`."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(drive.upload, cast(BinaryIO, reader), NAME, {}, None)


def upload(drive: Local, reader: SpoolReader) -> Stored:
    return drive.upload(cast(BinaryIO, reader), NAME, {}, None)


def same(one: str, other: str | Path) -> bool:
    return Path(one).samefile(other)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*")]


def test_the_file_is_taken_while_it_grows_and_named_after_the_commit(drive: Local, spool: Spool) -> None:
    told: list[int] = []
    with uploading(drive, spool.reader(told.append)) as upload:
        spool.write(BODY[:1000])
        while not Path(f"{drive.path(NAME)}.part").exists():
            assert not upload.done()
        spool.write(BODY[1000:])
        assert list(drive.list()) == []
        spool.commit()
        stored = upload.result(GRACE)
    assert same(drive.path(NAME), spool.path)
    assert stored == Stored(NAME, len(BODY), {"sha256": hashlib.sha256(BODY).hexdigest()})
    assert told[-1] == len(BODY)
    spool.path.unlink()
    assert content(drive, NAME) == BODY
    assert names(Path(drive.path(NAME)).parent) == [Path(NAME).name]


def test_a_kept_spool_is_taken_too(drive: Local, spool: Spool) -> None:
    spool.write(BODY)
    spool.commit()
    kept = Spool.kept(spool.path)
    assert upload(drive, kept.reader()).checksums == {"sha256": hashlib.sha256(BODY).hexdigest()}
    kept.close()
    assert same(drive.path(NAME), spool.path)


def test_two_drives_never_share_a_file(drive: Local, spool: Spool, tmp_path: Path) -> None:
    second = local(tmp_path / "second")
    spool.write(BODY)
    spool.commit()
    assert upload(drive, spool.reader()).checksums == upload(second, spool.reader()).checksums
    assert not same(drive.path(NAME), second.path(NAME))
    assert content(drive, NAME) == content(second, NAME) == BODY


def test_who_keeps_a_pace_copies(drive: Local, spool: Spool) -> None:
    paid: list[int] = []
    spool.write(BODY)
    spool.commit()
    upload(drive, spool.reader(pace=paid.append))
    assert sum(paid) == len(BODY)
    assert not same(drive.path(NAME), spool.path)


def test_a_dump_that_has_failed_already_leaves_no_folder(drive: Local, spool: Spool) -> None:
    spool.fail(DumpError("the tool failed"))
    with pytest.raises(DumpError, match="the tool failed"):
        upload(drive, spool.reader())
    assert not drive.folder.exists()


def test_nothing_of_a_failed_dump_is_left(drive: Local, spool: Spool) -> None:
    with uploading(drive, spool.reader()) as upload:
        spool.write(BODY)
        spool.fail(DumpError("the tool failed"))
        with pytest.raises(DumpError, match="the tool failed"):
            upload.result(GRACE)
    assert names(drive.folder) == names(spool.path.parent) == []


def test_another_disk_gets_a_copy(disk: Path, spool: Spool) -> None:
    drive = local(disk)
    spool.write(BODY)
    spool.commit()
    upload(drive, spool.reader())
    assert content(drive, NAME) == BODY
    assert not same(drive.path(NAME), spool.path)


def test_what_leaves_too_little_room_is_not_kept(disk: Path) -> None:
    drive, spool = local(disk / "drive", min_free="20MiB"), Spool(disk / "spool" / "dump")
    with uploading(drive, spool.reader()) as upload:
        for _ in range(25):
            spool.write(bytes(2**20))
        spool.commit()
        with pytest.raises(DriveError, match=r"only \d+ MiB are free on the disk of .*, and min_free wants 20 MiB"):
            upload.result(GRACE)
    spool.close()
    assert names(disk / "drive") == []
