"""An upload to S3 that a dead process began: what the server holds of it is not sent again."""

import base64
import hashlib
import io
import os
import re
import time
from contextlib import closing
from typing import BinaryIO, cast

import pytest

from backupman.drives.s3 import S3
from backupman.errors import DriveError, DumpError
from backupman.retry import RetryPolicy
from tests.contracts.objects import NAME, Reader, content, put
from tests.drives._proxy import Answer, Forward, Proxy, Request, error, verifying
from tests.drives._s3 import PART, objects, s3_drive, s3_of, uploads_open
from tests.servers.s3 import S3 as Server

pytestmark = pytest.mark.service("s3")

SIZE = 3 * PART + 5


class Died(BaseException):
    """The process dies here."""


@pytest.fixture
def drive(s3: Server, bucket: str, in_front: Proxy) -> S3:
    """A drive behind the proxy."""
    drive = s3_drive(s3, bucket, endpoint=in_front.endpoint)
    drive.with_retry(RetryPolicy(attempts=2, first_wait=0.01, max_wait=0.01))
    return drive


def begun(drive: S3, in_front: Proxy, data: bytes, parts: int) -> str:
    """The session of an upload whose process died when the server held so many parts."""
    told: list[str] = []
    arrived: list[int] = []

    def rule(request: Request, forward: Forward) -> Answer | None:
        if request.kind == "AbortMultipartUpload":  # the dead do not tidy up
            return None
        answer = verifying(request, forward)
        if request.part:
            arrived.append(request.part)
        return answer

    class Dying(Reader):
        def read(self, size: int = -1) -> bytes:
            if len(self.asked) >= max(1, parts):  # nothing is begun before a part is there
                deadline = time.monotonic() + 60
                while len(arrived) < parts and time.monotonic() < deadline:
                    time.sleep(0.01)
                raise Died
            return super().read(size)

    def opened(session: str) -> None:
        told.append(session)
        if not parts:
            raise Died

    in_front.rule = rule
    with pytest.raises(Died):
        drive.upload(cast(BinaryIO, Dying(data)), NAME, {}, opened)
    in_front.rule = verifying
    in_front.seen.clear()
    [session] = told
    return session


def parts_sent(in_front: Proxy) -> list[int]:
    return sorted(request.part for request in in_front.seen if request.part)


def lists_parts(request: Request) -> bool:
    return request.method == "GET" and "uploadId" in request.query


@pytest.mark.parametrize("checksum", ["sha256", "md5"])
@pytest.mark.parametrize("parts", [0, 1, 3])
def test_what_the_server_holds_is_not_sent_again(
    s3: Server, bucket: str, drive: S3, in_front: Proxy, parts: int, checksum: str
) -> None:
    drive = s3_of(drive, checksum=checksum)
    data = os.urandom(SIZE)
    session = begun(drive, in_front, data, parts)
    assert uploads_open(s3, bucket) == [drive.path(NAME)]
    stored = s3_of(drive).resume(io.BytesIO(data), NAME, {}, session)
    assert parts_sent(in_front) == [1, 2, 3, 4][parts:]
    assert "CreateMultipartUpload" not in in_front.kinds()
    assert content(drive, stored.ref) == data
    assert stored.size == SIZE
    assert uploads_open(s3, bucket) == []
    whole = put(drive, "whole", data)
    assert whole.checksums == stored.checksums


def test_parts_are_listed_over_pages(drive: S3, in_front: Proxy) -> None:
    data = os.urandom(SIZE)
    session = begun(drive, in_front, data, 3)

    def one_a_page(request: Request, forward: Forward) -> Answer:
        if lists_parts(request):
            request.target += "&max-parts=1"
        return verifying(request, forward)

    in_front.rule = one_a_page
    stored = drive.resume(io.BytesIO(data), NAME, {}, session)
    assert parts_sent(in_front) == [4]
    assert content(drive, stored.ref) == data


@pytest.mark.parametrize("same", [True, False])
def test_the_checksum_decides_where_the_etag_is_no_hash(
    s3: Server, bucket: str, drive: S3, in_front: Proxy, same: bool
) -> None:
    """As with SSE-KMS: moto lists no checksums, so they are put into its answer, and other ETags."""
    data = os.urandom(SIZE)
    session = begun(drive, in_front, data, 3)
    parts = [data[start : start + PART] for start in range(0, 3 * PART, PART)]
    digests = [base64.b64encode(hashlib.sha256(part).digest()) for part in parts]
    real: dict[bytes, bytes] = {}

    def other(listed: "re.Match[bytes]") -> bytes:
        fake = listed[1][::-1]
        real[fake] = listed[1]
        return fake + listed[2] + b"<ChecksumSHA256>%b</ChecksumSHA256>" % left.pop()

    left = digests[::-1] if same else digests[:]

    def rule(request: Request, forward: Forward) -> Answer:
        if request.kind == "CompleteMultipartUpload":
            request._body = re.sub(b"[0-9a-f]{32}", lambda etag: real.get(etag[0], etag[0]), request.body)
        answer = verifying(request, forward)
        if lists_parts(request):
            answer.body = re.sub(b"([0-9a-f]{32})([^<]*</ETag>)", other, answer.body)
            answer.headers["content-length"] = str(len(answer.body))
        return answer

    in_front.rule = rule
    stored = drive.resume(io.BytesIO(data), NAME, {}, session)
    assert parts_sent(in_front) == ([4] if same else [1, 3, 4])
    assert content(drive, stored.ref) == data
    assert uploads_open(s3, bucket) == []


def test_one_that_is_gone_begins_anew(s3: Server, bucket: str, drive: S3, in_front: Proxy) -> None:
    data, told = os.urandom(SIZE), list[str]()
    session = begun(drive, in_front, data, 2)
    drive.abort(NAME, session)
    stored = drive.resume(io.BytesIO(data), NAME, {}, session, told.append)
    assert content(drive, stored.ref) == data
    assert parts_sent(in_front) == [1, 2, 3, 4]
    [new] = told
    assert new != session
    assert uploads_open(s3, bucket) == []


@pytest.mark.parametrize("why", ["a key that may not list parts", "parts of another checksum"])
def test_one_that_is_of_no_use_is_aborted_and_begins_anew(
    s3: Server, bucket: str, drive: S3, in_front: Proxy, why: str
) -> None:
    data = os.urandom(SIZE)
    session = begun(drive, in_front, data, 2)

    def rule(request: Request, forward: Forward) -> Answer:
        if not lists_parts(request):
            return verifying(request, forward)
        if "key" in why:
            return error(403, "AccessDenied")
        answer = forward()
        inside, _, end = answer.body.rpartition(b"</")
        answer.body = inside + b"<ChecksumAlgorithm>CRC32</ChecksumAlgorithm></" + end
        answer.headers["content-length"] = str(len(answer.body))
        return answer

    in_front.rule = rule
    stored = drive.resume(io.BytesIO(data), NAME, {}, session)
    assert content(drive, stored.ref) == data
    assert in_front.kinds().count("AbortMultipartUpload") == 1
    assert uploads_open(s3, bucket) == []


def test_parts_of_other_bytes_are_sent_again(drive: S3, in_front: Proxy) -> None:
    data = os.urandom(SIZE)
    session = begun(drive, in_front, os.urandom(PART) + data[PART:], 3)
    stored = drive.resume(io.BytesIO(data), NAME, {}, session)
    assert parts_sent(in_front) == [1, 4]
    assert content(drive, stored.ref) == data


def test_parts_of_another_size_are_sent_again(s3: Server, bucket: str, drive: S3, in_front: Proxy) -> None:
    data = os.urandom(SIZE)
    session = begun(drive, in_front, data, 3)
    stored = s3_of(drive, part_size=2 * PART).resume(io.BytesIO(data), NAME, {}, session)
    assert parts_sent(in_front) == [1, 2]
    assert content(drive, stored.ref) == data
    assert uploads_open(s3, bucket) == []


def test_one_that_fails_again_leaves_nothing(s3: Server, bucket: str, drive: S3, in_front: Proxy) -> None:
    data = os.urandom(SIZE)
    session = begun(drive, in_front, data, 2)
    broken = cast(BinaryIO, Reader(data, error=DumpError("it broke")))
    with pytest.raises(DumpError):
        drive.resume(broken, NAME, {}, session)
    assert (objects(s3, bucket), uploads_open(s3, bucket)) == ([], [])


def test_a_server_that_cannot_answer_leaves_nothing(s3: Server, bucket: str, drive: S3, in_front: Proxy) -> None:
    session = begun(drive, in_front, bytes(SIZE), 2)
    in_front.rule = lambda request, forward: error(503, "SlowDown") if lists_parts(request) else forward()
    with pytest.raises(DriveError, match="asks for fewer requests") as raised:
        drive.resume(io.BytesIO(bytes(SIZE)), NAME, {}, session)
    assert not raised.value.permanent
    assert (objects(s3, bucket), uploads_open(s3, bucket)) == ([], [])


def test_a_name_that_was_taken_meanwhile_is_not_overwritten(
    s3: Server, bucket: str, drive: S3, in_front: Proxy
) -> None:
    session = begun(drive, in_front, bytes(SIZE), 2)
    with closing(s3.client()) as client:
        client.put_object(Bucket=bucket, Key=drive.path(NAME), Body=b"another's")
    with pytest.raises(DriveError, match="is already there, and nothing was overwritten"):
        drive.resume(io.BytesIO(bytes(SIZE)), NAME, {}, session)
    assert content(drive, drive.path(NAME)) == b"another's"
    assert uploads_open(s3, bucket) == []
