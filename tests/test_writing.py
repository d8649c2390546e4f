"""What is written is brought to the disk while it grows, and no error of the disk is lost."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backupman.errors import PipelineError
from backupman.pipeline.spool import Spool
from backupman.writing import Flusher

MIB = 2**20


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def _failing(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A disk that fails at the next flush; set once it has."""
    failed = threading.Event()

    def flush(_: int) -> None:
        failed.set()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", flush)
    return failed


def test_what_was_written_is_flushed(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _: flushed.set())
    flusher = Flusher(fd)
    flusher.flush()
    assert flushed.wait(60)
    flusher.end()


def test_the_end_waits_for_no_flush_that_was_never_asked_for(fd: int) -> None:
    Flusher(fd).end()


def test_an_error_is_told_at_the_end(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = _failing(monkeypatch)
    flusher = Flusher(fd)
    flusher.flush()
    failed.wait(60)
    with pytest.raises(OSError, match="Input/output error"):
        flusher.end()


def test_a_dump_is_not_committed_after_its_disk_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells an error of writing back once: the flush of the commit would succeed."""
    failed = _failing(monkeypatch)
    spool = Spool(tmp_path / "dump")
    try:
        spool.write(bytes(33 * MIB))
        assert failed.wait(60)
        with pytest.raises(PipelineError, match=r"the spool .* cannot be written: Input/output error"):
            spool.commit()
        assert not spool.committed
    finally:
        spool.close()
    assert list(tmp_path.iterdir()) == []


def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "dump")
    spool.write(bytes(33 * MIB))
    spool.commit()
    spool.close()
    assert [thread.name for thread in threading.enumerate() if thread.name == "flushing"] == []
