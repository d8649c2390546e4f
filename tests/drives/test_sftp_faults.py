"""The SFTP drive when something goes wrong on the way or at the server: a sentence, and nothing left behind."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

import pytest

from backupman.drives.sftp import Sftp
from backupman.errors import DriveError
from backupman.pipeline.spool import Spool
from backupman.retry import RetryPolicy
from tests.contracts.objects import NAME, content, put
from tests.drives._tcp import Way, tcp_proxy
from tests.drives.test_sftp import MIB, sftp_drive, unfinished
from tests.e2e.world import wait_for
from tests.servers.disk import mounted_disk
from tests.servers.sftp import Sftp as Server

pytestmark = pytest.mark.service("sftp")

QUICK = RetryPolicy(attempts=3, first_wait=0.01, max_wait=0.05)


@pytest.fixture
def way(sftp: Server) -> Iterator[Way]:
    with tcp_proxy(sftp.port) as way:
        yield way


@pytest.fixture
def folder(sftp: Server) -> Path:
    return sftp.make_folder(uuid4().hex)


@pytest.fixture
def drive(sftp: Server, folder: Path, way: Way) -> Sftp:
    """A drive behind the proxy."""
    drive = sftp_drive(sftp, folder, port=way.port)
    drive.with_retry(QUICK)
    return drive


@pytest.mark.parametrize("fault", ["drop_at", "alter_at"])
def test_a_connection_that_breaks_or_alters_bytes_leaves_nothing(
    drive: Sftp, folder: Path, way: Way, fault: str
) -> None:
    data = os.urandom(3 * MIB)
    setattr(way, fault, 2 * MIB)
    with pytest.raises(DriveError, match=r"^a server: the connection to .* broke") as raised:
        put(drive, NAME, data)
    assert not raised.value.permanent
    assert way.connections > 1, "it was removed over another connection"
    assert list(folder.iterdir()) == []
    assert content(drive, put(drive, NAME, data).ref) == data


def test_a_server_that_falls_silent_is_given_up(sftp: Server, folder: Path, way: Way) -> None:
    drive = sftp_drive(sftp, folder, port=way.port, timeout="1s")
    way.stop_at = MIB
    with pytest.raises(DriveError, match=r"^a server: .*(does not answer|broke)") as raised:
        put(drive, NAME, os.urandom(8 * MIB))
    assert not raised.value.permanent
    assert sftp_drive(sftp, folder).find(NAME) is None


def test_a_slow_way_is_fine(drive: Sftp, way: Way) -> None:
    way.delay = 0.005
    data = os.urandom(2 * MIB + 1)
    assert content(drive, put(drive, NAME, data).ref) == data


def test_a_server_that_is_away_is_tried_again(drive: Sftp, way: Way) -> None:
    way.refuse = True
    with pytest.raises(DriveError, match=r"^a server: ") as raised:
        drive.check()
    assert not raised.value.permanent
    way.refuse, way.drop_back_at, way.times = False, 10, 2
    drive.check()
    assert way.connections == 3


def test_reading_goes_on_when_the_connection_breaks(drive: Sftp, way: Way) -> None:
    data = os.urandom(6 * MIB)
    ref = put(drive, NAME, data).ref
    way.reset()
    before = way.connections
    way.drop_back_at, way.times = 3 * MIB, 1
    assert content(drive, ref) == data
    assert way.connections == before + 2


def test_an_object_that_was_replaced_while_it_was_read_is_noticed(drive: Sftp, folder: Path, way: Way) -> None:
    ref = put(drive, NAME, os.urandom(6 * MIB)).ref
    way.reset()
    with drive.open(ref) as stream:
        stream.read(10)
        (folder / NAME).write_bytes(bytes(5 * MIB))
        way.drop_back_at = 1
        with pytest.raises(DriveError, match=r"was replaced while it was read|ended after"):
            stream.read()


def test_a_rename_whose_answer_got_lost_has_happened(
    drive: Sftp, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asyncssh import SFTPClient, SFTPConnectionLost

    rename = SFTPClient.rename

    async def lose_the_answer(self: SFTPClient, old: str, new: str) -> None:
        await rename(self, old, new)
        raise SFTPConnectionLost("Connection lost")

    monkeypatch.setattr(SFTPClient, "rename", lose_the_answer)
    assert content(drive, put(drive, NAME, b"body").ref) == b"body"
    assert unfinished(folder) == []


def test_the_connection_stays_alive_while_the_dump_is_slow(
    sftp: Server, folder: Path, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keepalives are answered, and sent, while the reader waits for longer than the timeout."""
    monkeypatch.setattr("backupman.drives._sftp_login._KEEPALIVE_SECONDS", 1.0)
    drive = sftp_drive(sftp, folder, port=way.port, timeout="3s")
    spool = Spool(tmp_path / "spool" / "dump")
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(drive.upload, cast(BinaryIO, spool.reader()), NAME, {}, None)
        spool.write(bytes(MIB))
        wait_for(lambda: upload.done() or [path for path in folder.rglob("*.part") if path.stat().st_size == MIB])
        quiet = way.sent
        wait_for(lambda: upload.done() or way.sent >= quiet + 200)  # four keepalives: nothing else is there to send
        assert not upload.done()
        spool.write(b"end")
        spool.commit()
        assert upload.result(60).size == MIB + 3
    spool.close()


def test_a_full_disk_is_named(sftp: Server, folder: Path) -> None:
    with mounted_disk(folder, "2m"):
        with pytest.raises(DriveError, match=r"^a server: the disk of .* is full: make room") as raised:
            put(sftp_drive(sftp, folder), NAME, bytes(4 * MIB))
        assert not raised.value.permanent
        assert list(folder.iterdir()) == []


MEASURE = """
import json, re, sys
from pathlib import Path
from backupman.drives.sftp import Sftp

class Zeros:
    def __init__(self, size):
        self.left = size
    def read(self, size):
        given = min(size, self.left)
        self.left -= given
        return bytes(given)

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

drive = Sftp.model_validate(json.loads(sys.stdin.read()))
drive.upload(Zeros(1), "warm", {})
drive.open("warm").close()
before = peak()
stored = drive.upload(Zeros(150 * 2**20), "large", {})
with drive.open(stored.ref) as stream:
    read = sum(len(chunk) for chunk in iter(lambda: stream.read(2**20), b""))
print(json.dumps([stored.size, read, peak() - before]))
"""


def test_memory_is_bounded(sftp: Server, folder: Path) -> None:
    settings = sftp_drive(sftp, folder).model_dump_json(exclude_unset=True)
    run = subprocess.run([sys.executable, "-c", MEASURE], input=settings.encode(), capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    size, read, grown = json.loads(run.stdout)
    assert size == read == 150 * MIB
    assert grown < 40 * MIB


@pytest.mark.parametrize(("name", "ours"), [("lost+found", False), ("shop", True)])
def test_a_folder_that_may_not_be_read_is_left_out_where_nothing_of_ours_can_be_in_it(
    drive: Sftp, folder: Path, name: str, *, ours: bool
) -> None:
    put(drive, NAME, b"body")
    closed = folder / name
    closed.mkdir(exist_ok=True)
    shutil.chown(closed, folder.owner())
    closed.chmod(0)
    try:
        if ours:
            with pytest.raises(DriveError, match="may not do that"):
                list(drive.list())
        else:
            assert list(drive.list()) == [NAME]
    finally:
        closed.chmod(0o700)
