"""The spool is followed while it grows, ends only with the commit, and never takes the disk's last room."""

import hashlib
import io
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from pathlib import Path

import pytest

from backupman.errors import DumpError, PipelineError
from backupman.pipeline.spool import Spool
from tests.flushes import flushes

MIB = 2**20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool" / "dump.sql.gz"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    spool = Spool(path)
    yield spool
    spool.close()


def test_a_commit_gives_the_file_its_name(spool: Spool, path: Path) -> None:
    spool.write(b"a dump")
    assert not path.exists()
    assert (spool.part.read_bytes(), spool.committed, spool.size) == (b"a dump", False, 6)
    spool.commit()
    assert not spool.part.exists()
    assert (path.read_bytes(), spool.committed, spool.size) == (b"a dump", True, 6)
    assert spool.sha256 == hashlib.sha256(b"a dump").hexdigest()


def test_what_has_its_name_is_on_the_disk(spool: Spool, path: Path) -> None:
    spool.write(b"a dump")
    with flushes(path) as found:
        spool.commit()
    assert (spool.part, False) in found


def test_only_the_owner_can_read(path: Path) -> None:
    old = os.umask(0)
    try:
        spool = Spool(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(spool.part.stat().st_mode) == 0o600
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)] == [0o700, 0o700]
    spool.commit()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    spool.close()


@pytest.mark.parametrize("readers", [1, 4])
def test_readers_follow_and_end_with_the_commit(spool: Spool, readers: int) -> None:
    data = os.urandom(3 * MIB + 17)
    with ThreadPoolExecutor(readers) as pool:
        reads = [pool.submit(spool.reader().read) for _ in range(readers)]
        for start in range(0, len(data), 70_000):
            spool.write(data[start : start + 70_000])
        for read in reads:
            with pytest.raises(StillRunning):
                read.result(0.05)
        spool.commit()
        assert [read.result(10) == data for read in reads] == [True] * readers


def test_a_reader_takes_whole_chunks_only(spool: Spool) -> None:
    reader = spool.reader()
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(reader.read, 1000)
        spool.write(bytes(999))
        with pytest.raises(StillRunning):
            read.result(0.05)
        spool.write(bytes(2))
        assert read.result(10) == bytes(1000)
        rest = pool.submit(reader.read, 1000)
        with pytest.raises(StillRunning):
            rest.result(0.05)
        spool.commit()
        assert rest.result(10) == b"\0"
        assert reader.read(1000) == b""


@pytest.mark.parametrize("at", [0, 10, MIB])
def test_a_failed_dump_raises_in_every_reader(spool: Spool, at: int) -> None:
    error = DumpError("the tool was killed")
    with ThreadPoolExecutor(2) as pool:
        reads = [pool.submit(spool.reader().read) for _ in range(2)]
        spool.write(bytes(at))
        spool.fail(error)
        for read in reads:
            with pytest.raises(DumpError) as raised:
                read.result(10)
            assert raised.value is error
    with pytest.raises(DumpError, match="the tool was killed"):
        spool.reader().read(1)
    with pytest.raises(DumpError, match="the tool was killed"):
        spool.write(b"more")
    assert not spool.part.exists()
    assert not spool.path.exists()


def test_the_first_failure_is_the_one_that_is_told(spool: Spool) -> None:
    spool.fail(DumpError("first"))
    spool.fail(DumpError("second"))
    with pytest.raises(DumpError, match="first"):
        spool.reader().read(1)


def test_giving_up_after_the_commit_keeps_the_dump(spool: Spool, path: Path) -> None:
    spool.write(b"a dump")
    spool.commit()
    spool.fail(DumpError("interrupted"))
    with pytest.raises(DumpError, match="interrupted"):
        spool.reader().read(1)
    assert path.read_bytes() == b"a dump"


def test_closing_an_unfinished_spool_removes_it(path: Path) -> None:
    spool = Spool(path)
    reader = spool.reader()
    spool.write(b"half")
    spool.close()
    assert list(path.parent.iterdir()) == []
    with pytest.raises(PipelineError, match="the dump was given up"):
        reader.read(1)


def test_a_kept_spool_is_read_again(spool: Spool, path: Path) -> None:
    data = os.urandom(MIB + 1)
    spool.write(data)
    spool.commit()
    kept = Spool.kept(path)
    assert (kept.size, kept.committed, kept.sha256) == (len(data), True, spool.sha256)
    assert kept.reader().read() == data
    kept.close()
    assert path.read_bytes() == data


def test_a_kept_spool_that_is_gone(path: Path) -> None:
    with pytest.raises(PipelineError, match=r"the spooled dump .*dump.sql.gz cannot be read: No such file") as raised:
        Spool.kept(path)
    assert raised.value.permanent


def test_a_reader_can_go_back(spool: Spool) -> None:
    spool.write(b"0123456789")
    reader = spool.reader()
    assert reader.read(4) == b"0123"
    assert (reader.seek(2), reader.read(3)) == (2, b"234")
    assert (reader.seek(-1, io.SEEK_CUR), reader.tell(), reader.read(1)) == (4, 4, b"4")
    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(reader.seek, -3, io.SEEK_END)
        with pytest.raises(StillRunning):
            end.result(0.05)
        spool.commit()
        assert end.result(10) == 7
    assert reader.read() == b"789"
    assert reader.seek(100) == 100
    assert reader.read(1) == b""


def test_a_reader_waits_for_the_end_alone(spool: Spool) -> None:
    reader = spool.reader()
    assert not reader.committed
    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(reader.wait_for_the_end)
        spool.write(b"a dump")
        with pytest.raises(StillRunning):
            end.result(0.05)
        spool.commit()
        end.result(10)
    assert (reader.committed, reader.size, reader.tell()) == (True, 6, 0)


def test_progress_is_told_after_each_read(spool: Spool) -> None:
    spool.write(bytes(25))
    spool.commit()
    positions: list[int] = []
    reader = spool.reader(positions.append)
    while reader.read(10):
        pass
    assert positions == [10, 20, 25, 25]


def test_a_reader_serves_a_buffer(spool: Spool) -> None:
    spool.write(b"one\ntwo\n")
    spool.commit()
    assert list(io.BufferedReader(spool.reader())) == [b"one\n", b"two\n"]


def test_a_name_is_never_taken_twice(spool: Spool, path: Path) -> None:
    with pytest.raises(PipelineError, match=r"the spool .*\.part cannot be made: File exists"):
        Spool(path)
    spool.write(b"mine")
    spool.commit()
    assert path.read_bytes() == b"mine"


def test_writers_and_readers_agree_under_load(spool: Spool) -> None:
    data = os.urandom(4 * MIB)
    seen: list[bytes] = []

    def follow(size: int) -> None:
        reader = spool.reader()
        seen.append(b"".join(iter(lambda: reader.read(size), b"")))

    threads = [threading.Thread(target=follow, args=(size,)) for size in (1_000, 65_536, 999_999)]
    for thread in threads:
        thread.start()
    for start in range(0, len(data), 3_333):
        spool.write(data[start : start + 3_333])
    spool.commit()
    for thread in threads:
        thread.join(20)
    assert [one == data for one in seen] == [True] * 3
