"""Google Cloud Storage when something goes wrong, or the process dies: nothing is left, and uploads go on."""

import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from backupman.drives.google_cloud_storage import GoogleCloudStorage
from backupman.errors import DriveError, DumpError
from backupman.retry import RetryPolicy
from tests.contracts.objects import NAME, Reader, content, put
from tests.drives._gcs import CHUNK, gcs_drive, gcs_of
from tests.drives._memory import grown
from tests.drives._proxy import Answer, Forward, Proxy, Request, Rule, proxy
from tests.servers.gcs import Storage

Accident = Callable[[Request, Forward], Answer | None]


@pytest.fixture
def between(gcs: Storage) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    with proxy(gcs.endpoint) as running:
        yield running


@pytest.fixture
def drive(gcs: Storage, between: Proxy, tmp_path: Path) -> GoogleCloudStorage:
    """A drive behind the proxy, with three tries of each call."""
    drive = gcs_drive(gcs, tmp_path, gcs.make_bucket(), endpoint=between.endpoint)
    drive.with_retry(RetryPolicy(attempts=3, first_wait=0.01, max_wait=0.05))
    return drive


def kind_of(request: Request) -> str:
    """What a request is for."""
    if "upload_id" in request.query:
        if request.method == "DELETE":
            return "cancel"
        return "ask" if request.headers.get("content-range") == "bytes */*" else "chunk"
    if request.target.startswith("/upload/"):
        return "begin"
    if request.query.get("alt") == ["media"]:
        return "media"
    listing = request.target.split("?")[0].endswith("/o")
    return {"GET": "list" if listing else "get", "DELETE": "delete"}[request.method]


def some(kind: str, what: Accident, times: int = 2, after: int = 0) -> Rule:
    """Do something else with some requests of a kind: `times` of them, after the first `after`."""
    came = 0

    def rule(request: Request, forward: Forward) -> Answer | None:
        nonlocal came
        if kind_of(request) != kind:
            return forward()
        came += 1
        return what(request, forward) if after < came <= after + times else forward()

    return rule


def refusing(status: int, reason: str) -> Accident:
    """Answer with an error of Google's."""
    body = json.dumps({"error": {"code": status, "message": "said so", "errors": [{"reason": reason}]}}).encode()

    def answer(request: Request, _: Forward) -> Answer:
        request.read(request.length)
        return Answer(status, body)

    return answer


def drop_half_way(request: Request, _: Forward) -> None:
    request.read(request.length // 2)


def lose_the_answer(_: Request, forward: Forward) -> Answer | None:
    forward()
    return None


def flip_a_bit(request: Request, forward: Forward) -> Answer | None:
    body = bytearray(request.body)
    body[len(body) // 2] ^= 1
    request._body = bytes(body)
    return forward()


ACCIDENTS: dict[str, Accident] = {
    "429": refusing(429, "rateLimitExceeded"),
    "503": refusing(503, "backendError"),
    "dropped": drop_half_way,
    "answer lost": lose_the_answer,
}


@pytest.mark.parametrize("kind", ["get", "begin", "chunk", "list", "media", "delete"])
@pytest.mark.parametrize("accident", ACCIDENTS)
def test_what_passes_is_tried_again(
    gcs: Storage, drive: GoogleCloudStorage, between: Proxy, accident: str, kind: str
) -> None:
    data = os.urandom(3 * CHUNK + 7)
    between.rule = some(kind, ACCIDENTS[accident])
    stored = put(drive, NAME, data)
    assert content(drive, stored.ref) == data
    assert list(drive.list()) == [stored.ref]
    drive.delete(stored.ref)
    assert gcs.objects(drive.bucket) == {}


@pytest.mark.parametrize(("kind", "after"), [("begin", 0), ("chunk", 0), ("chunk", 1)])
def test_what_does_not_pass_ends_in_a_sentence_and_leaves_nothing(
    gcs: Storage, drive: GoogleCloudStorage, between: Proxy, kind: str, after: int
) -> None:
    between.rule = some(kind, drop_half_way, times=100, after=after)
    with pytest.raises(DriveError, match=r"^a bucket: the connection to Google broke") as raised:
        put(drive, NAME, os.urandom(3 * CHUNK))
    assert not raised.value.permanent
    between.rule = lambda request, forward: forward()
    assert (gcs.open_sessions(), gcs.objects(drive.bucket)) == ([], {})
    assert content(drive, put(drive, NAME, b"the next try").ref) == b"the next try"


def test_a_whole_upload_whose_answers_are_lost_is_not_left_under_its_name(
    gcs: Storage, drive: GoogleCloudStorage, between: Proxy
) -> None:
    def losing(request: Request, forward: Forward) -> Answer | None:
        """The last chunk arrives; nobody hears of it, and asking does not help."""
        last = kind_of(request) == "chunk" and not request.headers["content-range"].endswith("*")
        return lose_the_answer(request, forward) if last or kind_of(request) == "ask" else forward()

    between.rule = losing
    with pytest.raises(DriveError, match="connection to Google broke"):
        put(drive, NAME, os.urandom(CHUNK + 1))
    assert gcs.objects(drive.bucket) == {}


def test_what_another_put_there_is_never_cleaned_up(gcs: Storage, drive: GoogleCloudStorage, between: Proxy) -> None:
    def losing(request: Request, forward: Forward) -> Answer | None:
        if kind_of(request) in ("chunk", "ask"):
            gcs.storage.bucket(drive.bucket).setdefault(
                drive.path(NAME), gcs.storage.store(drive.bucket, {"name": drive.path(NAME)}, b"theirs", {})
            )
            return None
        return forward()

    between.rule = losing
    with pytest.raises(DriveError):
        put(drive, NAME, os.urandom(CHUNK + 1))
    assert gcs.objects(drive.bucket) == {drive.path(NAME): b"theirs"}


def test_what_arrives_changed_is_removed(gcs: Storage, drive: GoogleCloudStorage, between: Proxy) -> None:
    between.rule = some("chunk", flip_a_bit, times=1)
    with pytest.raises(DriveError, match="was stored differently than it was sent") as raised:
        put(drive, NAME, os.urandom(CHUNK + 1))
    assert not raised.value.permanent
    assert gcs.objects(drive.bucket) == {}


def test_the_address_of_a_session_is_said_nowhere(
    drive: GoogleCloudStorage, between: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sessions: list[str] = []
    between.rule = some("chunk", drop_half_way, times=100)
    with pytest.raises(DriveError) as raised:
        drive.upload(cast(BinaryIO, Reader(bytes(2 * CHUNK))), NAME, {}, sessions.append)
    [secret] = [session.partition("upload_id=")[2] for session in sessions]
    assert secret not in raised.value.sentence + caplog.text
    assert "ya29." not in caplog.text
    assert raised.value.__cause__ is None, "a trace would print the library's error too"


class Died(BaseException):
    """The process dies here."""


def begun(drive: GoogleCloudStorage, between: Proxy, data: bytes, chunks: int) -> str:
    """The session of an upload whose process died after so many chunks: nothing was aborted."""
    told: list[str] = []

    class Dying(Reader):
        def read(self, size: int = -1) -> bytes:
            if len(self.asked) >= 2 * chunks:  # a chunk is sent when it and the byte behind it were read
                between.rule = lambda request, forward: None
                raise Died
            return super().read(size)

    with pytest.raises(Died):
        drive.upload(cast(BinaryIO, Dying(data)), NAME, {}, told.append)
    between.rule = lambda request, forward: forward()
    between.seen.clear()
    [session] = told
    return session


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_it_goes_on_where_google_stands(gcs: Storage, drive: GoogleCloudStorage, between: Proxy, chunks: int) -> None:
    data = os.urandom(3 * CHUNK + 5)
    session = begun(drive, between, data, chunks)
    stored = gcs_of(drive).resume(io.BytesIO(data), NAME, {}, session)
    assert content(drive, stored.ref) == data
    assert [kind_of(request) for request in between.seen].count("chunk") == 4 - chunks
    assert gcs.open_sessions() == []


def test_one_that_is_whole_is_only_compared(drive: GoogleCloudStorage, between: Proxy) -> None:
    data, told = os.urandom(3 * CHUNK), list[str]()
    ref = drive.upload(io.BytesIO(data), NAME, {}, told.append).ref
    between.seen.clear()
    stored = drive.resume(io.BytesIO(data), NAME, {}, told[0])
    assert (stored.ref, stored.size) == (ref, len(data))
    assert [kind_of(request) for request in between.seen] == ["ask"]


def test_one_that_is_gone_begins_anew(gcs: Storage, drive: GoogleCloudStorage, between: Proxy) -> None:
    data = os.urandom(3 * CHUNK)
    session = begun(drive, between, data, 2)
    gcs.storage.sessions.clear()
    told: list[str] = []
    stored = drive.resume(io.BytesIO(data), NAME, {}, session, told.append)
    assert content(drive, stored.ref) == data
    assert told != [session]


def test_one_that_fails_again_leaves_nothing(gcs: Storage, drive: GoogleCloudStorage, between: Proxy) -> None:
    data = os.urandom(3 * CHUNK)
    session = begun(drive, between, data, 2)
    assert len(gcs.open_sessions()) == 1
    with pytest.raises(DumpError):
        drive.resume(cast(BinaryIO, Reader(data, error=DumpError("it broke"))), NAME, {}, session)
    assert (gcs.open_sessions(), gcs.objects(drive.bucket)) == ([], {})


def test_abort_ends_exactly_the_session(gcs: Storage, drive: GoogleCloudStorage, between: Proxy) -> None:
    sessions = [begun(drive, between, os.urandom(3 * CHUNK), 2) for _ in range(2)]
    for _ in range(2):
        drive.abort(NAME, sessions[0])
        assert len(gcs.open_sessions()) == 1
    drive.abort(NAME, None)
    assert len(gcs.open_sessions()) == 1


def test_memory_is_bounded_by_the_chunk(drive: GoogleCloudStorage, between: Proxy) -> None:
    def sink(request: Request, forward: Forward) -> Answer:
        """A server that takes everything and keeps nothing."""
        if kind_of(request) != "chunk":
            return forward()
        left = request.length
        while left:
            left -= len(request.read(min(left, 2**16)))
        end = request.headers["content-range"].removeprefix("bytes ").split("/")
        if end[1] == "*":
            return Answer(308, b"", {"range": f"bytes=0-{end[0].rpartition('-')[2]}"})
        return Answer(200, json.dumps({"name": "n", "generation": "1", "size": end[1]}).encode())

    between.rule = sink
    assert grown(gcs_of(drive, chunk_size="4MiB"), 100 * 2**20) < 6 * 4 * 2**20
