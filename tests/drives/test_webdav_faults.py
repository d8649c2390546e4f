"""The WebDAV drive when something goes wrong on the way or at the server: a sentence, and nothing left behind."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from backupman.drives.webdav import Webdav
from backupman.errors import DriveError, ObjectNotFound
from backupman.retry import RetryPolicy
from tests.contracts.objects import NAME, content, put
from tests.drives._proxy import Answer, Forward, Proxy, Request, proxy
from tests.drives._tcp import Way, tcp_proxy
from tests.drives.test_webdav import MIB, files, unfinished, webdav_drive
from tests.servers.webdav import Webdav as Server

pytestmark = pytest.mark.service("webdav")

QUICK = RetryPolicy(attempts=3, first_wait=0.01, max_wait=0.05)


@pytest.fixture
def folder(webdav: Server) -> Path:
    return webdav.make_folder(uuid4().hex)


@pytest.fixture
def way(webdav: Server) -> Iterator[Way]:
    with tcp_proxy(webdav.port) as way:
        yield way


@pytest.fixture
def drive(webdav: Server, folder: Path, way: Way) -> Webdav:
    """A drive behind a proxy that knows bytes only."""
    drive = webdav_drive(webdav, folder, url=f"http://127.0.0.1:{way.port}")
    drive.with_retry(QUICK)
    return drive


@pytest.fixture
def in_front(webdav: Server) -> Iterator[Proxy]:
    with proxy(webdav.url) as running:
        yield running


@pytest.fixture
def behind(webdav: Server, folder: Path, in_front: Proxy) -> Webdav:
    """A drive behind a proxy that knows requests."""
    drive = webdav_drive(webdav, folder, url=in_front.endpoint)
    drive.with_retry(QUICK)
    return drive


def test_a_connection_that_breaks_leaves_nothing(drive: Webdav, folder: Path, way: Way) -> None:
    data = os.urandom(3 * MIB)
    way.drop_at = 2 * MIB
    with pytest.raises(DriveError, match=r"^a cloud: the connection to .* broke") as raised:
        put(drive, NAME, data)
    assert not raised.value.permanent
    assert files(folder) == []
    assert content(drive, put(drive, NAME, data).ref) == data


def test_bytes_that_were_altered_without_tls_are_noticed(drive: Webdav, folder: Path, way: Way) -> None:
    way.alter_at = 2 * MIB
    with pytest.raises(DriveError, match=r"^a cloud: .* was stored differently than it was sent") as raised:
        put(drive, NAME, os.urandom(3 * MIB))
    assert not raised.value.permanent
    assert files(folder) == []


def test_a_server_that_falls_silent_is_given_up(webdav: Server, folder: Path, way: Way) -> None:
    drive = webdav_drive(webdav, folder, url=f"http://127.0.0.1:{way.port}", timeout="0.3s")
    way.stop_at = MIB
    with pytest.raises(DriveError, match=r"^a cloud: .*(does not answer|broke)") as raised:
        put(drive, NAME, os.urandom(32 * MIB))
    assert not raised.value.permanent
    assert webdav_drive(webdav, folder).find(NAME) is None


def test_a_slow_way_is_fine(drive: Webdav, way: Way) -> None:
    way.delay = 0.003
    data = os.urandom(2 * MIB + 1)
    assert content(drive, put(drive, NAME, data).ref) == data


def test_reading_goes_on_when_the_connection_breaks(drive: Webdav, way: Way) -> None:
    data = os.urandom(6 * MIB)
    ref = put(drive, NAME, data).ref
    way.reset()
    before = way.connections
    way.drop_back_at, way.times = 3 * MIB, 1
    assert content(drive, ref) == data
    assert way.connections == before + 2


def test_reading_goes_on_at_a_server_without_ranges(behind: Webdav, in_front: Proxy) -> None:
    def without_ranges(request: Request, forward: Forward) -> Answer:
        request.headers.pop("range", None)
        return forward()

    data = os.urandom(2 * MIB)
    ref = put(behind, NAME, data).ref
    in_front.rule = without_ranges
    with behind.open(ref) as stream:
        stream.seek(MIB + 5)
        assert stream.read() == data[MIB + 5 :]


@pytest.mark.parametrize("status", [404, 503])
def test_a_refused_read_is_tried_again(behind: Webdav, in_front: Proxy, status: int) -> None:
    left = [1]

    def once(request: Request, forward: Forward) -> Answer:
        if request.method == "GET" and left[0]:
            left[0] -= 1
            return Answer(status)
        return forward()

    ref = put(behind, NAME, b"body").ref
    in_front.rule = once
    assert content(behind, ref) == b"body"
    assert left == [0]


def test_what_is_not_there_cannot_be_read(behind: Webdav) -> None:
    put(behind, NAME, b"body")
    with pytest.raises(ObjectNotFound, match=rf"^a cloud: there is no {NAME}2 in http"):
        behind.open(f"{NAME}2")


def test_an_object_that_was_replaced_while_it_was_read_is_noticed(drive: Webdav, folder: Path, way: Way) -> None:
    ref = put(drive, NAME, os.urandom(6 * MIB)).ref
    way.reset()
    with drive.open(ref) as stream:
        stream.read(10)
        (folder / NAME).write_bytes(bytes(5 * MIB))
        stream.seek(4 * MIB)
        with pytest.raises(DriveError, match="was replaced while it was read") as raised:
            stream.read()
    assert raised.value.permanent


@pytest.mark.parametrize(("method", "of"), [("MOVE", ""), ("MKCOL", ""), ("MKCOL", ".lock.part/")])
def test_an_answer_that_got_lost_does_no_harm(
    behind: Webdav, folder: Path, in_front: Proxy, method: str, of: str
) -> None:
    left = [1]

    def lose(request: Request, forward: Forward) -> Answer | None:
        answer = forward()
        if request.method == method and request.target.endswith(of) and left[0]:
            left[0] -= 1
            return None
        return answer

    in_front.rule = lose
    assert content(behind, put(behind, NAME, b"body").ref) == b"body"
    assert left == [0]
    assert unfinished(folder) == []


STATUS = {
    403: (r"shop may not do that in http", True),
    404: (r"is not there: make it, or correct url and folder", False),
    413: (r"takes no object of that size: raise its limit \(nginx: client_max_body_size", True),
    423: (r"somebody has locked it", False),
    429: (r"cannot answer now \(429", False),
    405: (r"did not store the object \(405.*\): its log says why, such as a full disk", False),
    500: (r"cannot answer now \(500.*\): its log says why, such as no right to write in http", False),
    501: (r"speaks no WebDAV: correct url", True),
    507: (r"the disk or the quota of .* is full: make room", False),
    302: (r"sends us elsewhere: set url to the address that it names \(302, https://elsewhere", True),
}


@pytest.mark.parametrize("status", STATUS)
def test_what_a_server_refuses_is_explained(behind: Webdav, folder: Path, in_front: Proxy, status: int) -> None:
    def refuse(request: Request, forward: Forward) -> Answer:
        if request.method != "PUT":
            return forward()
        assert request.body
        return Answer(status, b"", {"location": "https://elsewhere"} if status == 302 else {})

    in_front.rule = refuse
    sentence, permanent = STATUS[status]
    with pytest.raises(DriveError, match=rf"^a cloud: .*{sentence}") as raised:
        put(behind, NAME, b"body")
    assert raised.value.permanent is permanent
    assert files(folder) == []


def test_a_server_may_say_how_long_to_wait(behind: Webdav, in_front: Proxy) -> None:
    behind.with_retry(RetryPolicy(attempts=1))
    in_front.rule = lambda *_: Answer(503, b"", {"retry-after": "7"}, close=True)
    with pytest.raises(DriveError) as raised:
        behind.find(NAME)
    assert raised.value.retry_after == 7


def test_a_page_that_is_no_webdav_is_told(behind: Webdav, in_front: Proxy) -> None:
    in_front.rule = lambda *_: Answer(200, b"<html><p>Welcome", {"content-type": "text/html"}, close=True)
    with pytest.raises(DriveError, match=r"^a cloud: .* refused the call \(200, and no XML\)"):
        behind.check()


MEASURE = """
import json, re, sys
from pathlib import Path
from backupman.drives.webdav import Webdav

class Zeros:
    def __init__(self, size):
        self.left = size
    def seekable(self):
        return False
    def read(self, size):
        given = min(size, self.left)
        self.left -= given
        return bytes(given)

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

drive = Webdav.model_validate(json.loads(sys.stdin.read()))
drive.upload(Zeros(1), "warm", {})
before = peak()
stored = drive.upload(Zeros(100 * 2**20), "large", {})
print(json.dumps([stored.size, peak() - before]))
"""


def test_memory_is_bounded(webdav: Server, folder: Path) -> None:
    settings = json.dumps(webdav_drive(webdav, folder).revealed())
    run = subprocess.run([sys.executable, "-c", MEASURE], input=settings.encode(), capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    size, grown = json.loads(run.stdout)
    assert size == 100 * MIB
    assert grown < 10 * MIB


@pytest.mark.parametrize(("name", "ours"), [("@eaDir", False), ("shop", True)])
def test_a_folder_that_may_not_be_read_is_left_out_where_nothing_of_ours_can_be_in_it(
    behind: Webdav, folder: Path, in_front: Proxy, name: str, *, ours: bool
) -> None:
    put(behind, NAME, b"body")
    (folder / name).mkdir(exist_ok=True)

    def refuse(request: Request, forward: Forward) -> Answer:
        return Answer(403, b"", close=True) if request.target.rstrip("/").endswith(quote(name)) else forward()

    in_front.rule = refuse
    if ours:
        with pytest.raises(DriveError, match="may not do that"):
            list(behind.list())
    else:
        assert list(behind.list()) == [NAME]
