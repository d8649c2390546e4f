"""What an S3 server says of an object that it has just stored, when that is not what was sent."""

import os
from collections.abc import Callable
from contextlib import closing

import pytest

from backupman.drives.s3 import S3
from backupman.errors import DriveError, ObjectNotFound
from tests.contracts.objects import NAME, content, put
from tests.drives._proxy import Answer, Forward, Proxy, Request, Rule, verifying
from tests.drives._s3 import PART, objects, patient, s3_of, uploads_open
from tests.servers.s3 import S3 as Server

pytestmark = pytest.mark.service("s3")


@pytest.fixture
def drive(s3: Server, bucket: str, in_front: Proxy) -> S3:
    return patient(s3, bucket, in_front)


def altered(kind: str, change: Callable[[Answer], None]) -> Rule:
    """Change what the server says, once it was asked to store something."""
    stored = []

    def rule(request: Request, forward: Forward) -> Answer:
        answer = verifying(request, forward)
        stored.extend([1] if request.kind in ("PutObject", "CompleteMultipartUpload") else [])
        if request.kind == kind and stored:
            change(answer)
        return answer

    return rule


OTHER = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # the sha256 of nothing


def another_checksum(answer: Answer) -> None:
    answer.headers["x-amz-checksum-sha256"] = OTHER


def another_composite(answer: Answer) -> None:
    answer.body = answer.body.replace(b"</ETag>", f"</ETag><ChecksumSHA256>{OTHER}-2</ChecksumSHA256>".encode())
    answer.headers["content-length"] = str(len(answer.body))


def another_size(answer: Answer) -> None:
    answer.headers["content-length"] = "17"


@pytest.mark.parametrize(
    ("size", "kind", "change"),
    [
        (1000, "PutObject", another_checksum),
        (1000, "HeadObject", another_checksum),
        (1000, "HeadObject", another_size),
        (PART + 1, "CompleteMultipartUpload", another_composite),
        (PART + 1, "HeadObject", another_size),
    ],
)
def test_what_the_server_stored_differently_is_removed(
    s3: Server, bucket: str, drive: S3, in_front: Proxy, size: int, kind: str, change: Callable[[Answer], None]
) -> None:
    in_front.rule = altered(kind, change)
    with pytest.raises(DriveError, match=r"was stored differently than it was sent: .*; it was removed$") as raised:
        put(drive, NAME, os.urandom(size))
    assert not raised.value.permanent
    assert objects(s3, bucket) == []
    assert uploads_open(s3, bucket) == []


@pytest.mark.parametrize("size", [1000, PART + 1])
def test_what_somebody_else_has_put_there_meanwhile_stays(
    s3: Server, bucket: str, drive: S3, in_front: Proxy, size: int
) -> None:
    def rule(request: Request, forward: Forward) -> Answer:
        if request.method == "HEAD" and objects(s3, bucket):
            with closing(s3.client()) as other:
                other.put_object(Bucket=bucket, Key=drive.path(NAME), Body=b"another's")
        return verifying(request, forward)

    in_front.rule = rule
    with pytest.raises(DriveError, match=r"it stays, as somebody else has put it there since$") as raised:
        put(drive, NAME, os.urandom(size))
    assert raised.value.permanent
    in_front.rule = verifying
    assert content(drive, drive.path(NAME)) == b"another's"


def test_an_object_that_is_not_there_after_all(drive: S3, in_front: Proxy) -> None:
    in_front.rule = lambda request, forward: Answer(404) if request.method == "HEAD" else verifying(request, forward)
    with pytest.raises(DriveError, match="was stored, and is not there") as raised:
        put(drive, NAME, b"body")
    assert not isinstance(raised.value, ObjectNotFound)


def test_a_server_that_cannot_be_asked_afterwards(drive: S3, in_front: Proxy) -> None:
    """Its answer held the checksum: that is enough."""

    def rule(request: Request, forward: Forward) -> Answer:
        stored = "PutObject" in in_front.kinds()
        return Answer(503) if request.method == "HEAD" and stored else verifying(request, forward)

    in_front.rule = rule
    put(drive, NAME, b"body")
    with pytest.raises(DriveError, match=r"^a bucket: .* cannot answer now"):
        put(s3_of(drive, checksum="md5"), "another", b"body")
