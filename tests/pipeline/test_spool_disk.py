"""The spool and its disk: one that fails, is full, or must keep some room."""

import errno
import os
import resource
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from backupman.errors import PipelineError
from backupman.pipeline.spool import Spool
from tests.pipeline.test_spool import MIB, path, spool
from tests.servers.disk import mounted_disk

__all__ = ["path", "spool"]


def test_a_disk_that_fails_while_the_spool_grows_is_no_commit(
    spool: Spool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def fail(fd: int) -> None:
        failed.set()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fail)  # the system tells of it once, and no fsync thereafter
    for _ in range(33):
        spool.write(bytes(MIB))
    assert failed.wait(60)
    with pytest.raises(PipelineError, match=r"the spool .*\.part cannot be written: Input/output error"):
        spool.commit()
    assert not path.exists()


def test_a_disk_on_which_nothing_can_be_removed_hides_no_error(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "unlink", fail)
    spool.fail(PipelineError("the disk has failed"))
    with pytest.raises(PipelineError, match="the disk has failed"):
        spool.reader().read(1)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PipelineError, match="cannot be made: Not a directory; give the daemon a folder"):
        Spool(tmp_path / "file" / "folder" / "dump")


def test_the_largest_size_is_kept_to_the_byte(path: Path) -> None:
    spool = Spool(path, max_size=100)
    spool.write(bytes(100))
    with pytest.raises(PipelineError, match=r"larger than spool.max_size \(100 bytes\)") as raised:
        spool.write(b"x")
    assert raised.value.permanent
    assert spool.size == 100
    spool.close()


def test_no_spool_begins_without_the_room_to_leave(path: Path) -> None:
    with pytest.raises(PipelineError, match=r"only \d+ MiB are free for the spool in .*, and spool.min_free wants"):
        Spool(path, keep_free=2**60)
    assert list(path.parent.iterdir()) == []


def test_a_spool_fails_before_it_takes_the_room_to_leave(path: Path) -> None:
    path.parent.mkdir(parents=True)
    free = shutil.disk_usage(path.parent).free
    spool = Spool(path, keep_free=free - 100 * MIB)
    with pytest.raises(PipelineError, match=r"make room, or set spool.folder to a larger disk"):
        for _ in range(4096):  # by far enough, although others remove files from the same disk meanwhile
            spool.write(bytes(MIB))
    spool.close()
    assert list(path.parent.iterdir()) == []


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_may_not_grow(spool: Spool) -> None:
    with (
        largest_file(100_000),
        pytest.raises(PipelineError, match=r"the spool .*\.part cannot be written: File too large"),
    ):
        spool.write(bytes(200_000))


def test_a_full_disk(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk", "64k") as disk:
        spool = Spool(disk / "dump")
        error = None
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(spool.reader().read)
            try:
                spool.write(bytes(100_000))
            except PipelineError as raised:
                error = raised
                spool.fail(raised)
            with pytest.raises(PipelineError, match=r"the disk of the spool folder .*disk is full: make room"):
                read.result(10)
        assert error is not None
        assert not error.permanent
        spool.close()
        assert list(disk.iterdir()) == []
