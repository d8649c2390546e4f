"""The S3 drive when something goes wrong: each fault ends in a sentence, and nothing is left behind."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from backupman.drives.s3 import S3
from backupman.errors import DriveError, DumpError
from backupman.retry import RetryPolicy
from tests.contracts.objects import NAME, Reader, content, put
from tests.drives._proxy import Answer, Forward, Proxy, Request, Rule, error, verifying
from tests.drives._s3 import PART, QUICK, objects, patient, uploads_open
from tests.servers.s3 import S3 as Server

pytestmark = pytest.mark.service("s3")


@pytest.fixture
def drive(s3: Server, bucket: str, in_front: Proxy) -> S3:
    return patient(s3, bucket, in_front)


Accident = Callable[[Request, Forward], Answer | None]


def first_time(kind: str, what: Accident, times: int = 1) -> Rule:
    """Do something else with the first requests of a kind."""
    left = [times]

    def rule(request: Request, forward: Forward) -> Answer | None:
        if kind in (request.kind, f"{request.kind} {request.part}") and left[0]:
            left[0] -= 1
            return what(request, forward)
        return verifying(request, forward)

    return rule


def break_half_way(request: Request, _: Forward) -> Answer:
    request.read(request.length // 2)
    return error(500, "InternalError", close=True)


def drop_half_way(request: Request, _: Forward) -> None:
    request.read(request.length // 2)


def flip_a_bit(request: Request, forward: Forward) -> Answer:
    body = bytearray(request.body)
    body[len(body) // 2] ^= 1
    request._body = bytes(body)
    return verifying(request, forward)


def lose_the_answer(_: Request, forward: Forward) -> None:
    assert forward().status == 200


ACCIDENTS: dict[str, Accident] = {
    "500": break_half_way,
    "dropped": drop_half_way,
    "altered": flip_a_bit,
    "lost": lose_the_answer,
    "slow down": lambda *_: error(503, "SlowDown", close=True),
}


@pytest.mark.parametrize("accident", ACCIDENTS.values(), ids=ACCIDENTS.keys())
@pytest.mark.parametrize("kind", ["UploadPart 3", "PutObject"])
def test_what_fails_once_is_sent_again(
    s3: Server,
    bucket: str,
    drive: S3,
    in_front: Proxy,
    kind: str,
    accident: Callable[[Request, Forward], Answer | None],
) -> None:
    in_front.rule = first_time(kind, accident)
    data = os.urandom(1000 if kind == "PutObject" else 3 * PART + 1)
    stored = put(drive, NAME, data)
    sent = [request for request in in_front.seen if kind in (request.kind, f"{request.kind} {request.part}")]
    assert len(sent) == 2
    assert content(drive, stored.ref) == data
    assert uploads_open(s3, bucket) == []


@pytest.mark.parametrize("accident", ["500", "dropped", "altered", "slow down"])
@pytest.mark.parametrize("kind", ["UploadPart 3", "PutObject"])
def test_what_always_fails_leaves_nothing(
    s3: Server, bucket: str, drive: S3, in_front: Proxy, kind: str, accident: str
) -> None:
    in_front.rule = first_time(kind, ACCIDENTS[accident], times=99)
    with pytest.raises(DriveError, match=r"^a bucket: ") as raised:
        put(drive, NAME, bytes(1000 if kind == "PutObject" else 4 * PART))
    assert not raised.value.permanent
    sent = [request for request in in_front.seen if kind in (request.kind, f"{request.kind} {request.part}")]
    assert len(sent) == QUICK.attempts
    assert objects(s3, bucket) == []
    assert uploads_open(s3, bucket) == []


@pytest.mark.parametrize("accident", ["500", "dropped", "lost"])
def test_completing_is_tried_again(s3: Server, bucket: str, drive: S3, in_front: Proxy, accident: str) -> None:
    in_front.rule = first_time("CompleteMultipartUpload", ACCIDENTS[accident])
    data = os.urandom(PART + 1)
    assert content(drive, put(drive, NAME, data).ref) == data
    assert uploads_open(s3, bucket) == []


@pytest.mark.parametrize("size", [1000, PART + 1])
def test_anothers_object_is_not_taken_for_an_answer_that_got_lost(
    s3: Server, bucket: str, drive: S3, in_front: Proxy, size: int
) -> None:
    def another_was_first(request: Request, _: Forward) -> None:
        assert request.body
        with closing(s3.client()) as client:
            client.put_object(Bucket=bucket, Key=request.key, Body=b"another's")

    kind = "PutObject" if size < PART else "CompleteMultipartUpload"
    in_front.rule = first_time(kind, another_was_first)
    with pytest.raises(DriveError, match="is already there, and nothing was overwritten") as raised:
        put(drive, NAME, bytes(size))
    assert raised.value.permanent
    assert content(drive, drive.path(NAME)) == b"another's"
    assert uploads_open(s3, bucket) == []


@pytest.mark.parametrize("size", [1000, PART + 1])
def test_a_server_that_knows_no_conditions_is_asked_without(drive: S3, in_front: Proxy, size: int) -> None:
    def rule(request: Request, forward: Forward) -> Answer:
        if "if-none-match" in request.headers:
            return error(501, "NotImplemented", "A header you provided implies functionality", close=True)
        return verifying(request, forward)

    in_front.rule = rule
    data = os.urandom(size)
    assert content(drive, put(drive, NAME, data).ref) == data
    with pytest.raises(DriveError, match="already there"):
        put(drive, NAME, b"second")
    assert content(drive, drive.path(NAME)) == data


def test_a_server_that_ignores_conditions(drive: S3, in_front: Proxy) -> None:
    def rule(request: Request, forward: Forward) -> Answer:
        request.headers.pop("if-none-match", None)
        return forward()

    in_front.rule = rule
    ref = put(drive, NAME, b"first").ref
    with pytest.raises(DriveError, match="already there"):
        put(drive, NAME, b"second")
    assert content(drive, ref) == b"first"


def only_put(request: Request, forward: Forward) -> Answer:
    """A key with s3:PutObject alone; whoever began a multipart upload may abort it."""
    if request.kind in ("HeadObject", "GetObject", "DeleteObject", "ListObjects"):
        return Answer(403) if request.method == "HEAD" else error(403, "AccessDenied", "Access Denied")
    return verifying(request, forward)


@pytest.mark.parametrize("size", [0, 1000, PART, 2 * PART + 1])
def test_a_key_that_may_only_put(s3: Server, bucket: str, drive: S3, in_front: Proxy, size: int) -> None:
    data = os.urandom(size)
    in_front.rule = only_put
    drive.check()
    stored = put(drive, NAME, data)
    assert stored.size == size
    with pytest.raises(DriveError, match="already there"):
        put(drive, NAME, os.urandom(size))
    for use in (drive.open, drive.stat, drive.delete):
        with pytest.raises(DriveError, match=r"^a bucket: the key may not do that in bucket .*: give it s3:PutObject"):
            use(stored.ref)
    in_front.rule = verifying
    assert content(drive, stored.ref) == data
    assert objects(s3, bucket) == [stored.ref]
    assert uploads_open(s3, bucket) == []


def test_a_key_that_may_put_and_not_abort(
    s3: Server, bucket: str, drive: S3, in_front: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    def rule(request: Request, forward: Forward) -> Answer:
        return error(403, "AccessDenied") if request.kind == "AbortMultipartUpload" else forward()

    in_front.rule = rule
    with pytest.raises(DumpError, match="the dump failed"):
        put(drive, NAME, Reader(bytes(PART), error=DumpError("the dump failed")))  # type: ignore[arg-type]
    [record] = [record for record in caplog.records if record.name.startswith("backupman")]
    [upload] = {request.query["uploadId"][0] for request in in_front.seen if request.kind == "AbortMultipartUpload"}
    assert record.levelno == logging.WARNING
    assert f"the multipart upload {upload} of back ups/{NAME} stays until a lifecycle rule" in record.getMessage()


def test_a_dump_that_fails_does_not_wait_for_a_part_that_is_tried_again(
    s3: Server, bucket: str, drive: S3, in_front: Proxy
) -> None:
    drive.with_retry(RetryPolicy(attempts=5, first_wait=60, max_wait=60))
    in_front.rule = first_time("UploadPart", ACCIDENTS["500"], times=99)

    class Failing(Reader):
        def read(self, size: int = -1) -> bytes:
            deadline = time.monotonic() + 90
            while self.asked and "UploadPart" not in in_front.kinds() and time.monotonic() < deadline:
                time.sleep(0.01)
            return super().read(size)

    started = time.monotonic()
    with pytest.raises(DumpError):
        put(drive, NAME, Failing(bytes(PART), error=DumpError("the dump failed")))  # type: ignore[arg-type]
    assert time.monotonic() - started < 40
    assert uploads_open(s3, bucket) == []
