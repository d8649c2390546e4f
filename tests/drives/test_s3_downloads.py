"""Reading an object of S3: over broken connections, from anywhere in it, and never from another object."""

import io
import os
from contextlib import closing

import pytest

from backupman.drives.s3 import S3
from backupman.errors import DriveError
from tests.contracts.objects import NAME, content, put
from tests.drives._proxy import Answer, Forward, Proxy, Request
from tests.drives._s3 import patient
from tests.servers.s3 import S3 as Server

pytestmark = pytest.mark.service("s3")


@pytest.fixture
def drive(s3: Server, bucket: str, in_front: Proxy) -> S3:
    return patient(s3, bucket, in_front)


def test_a_download_goes_on_where_it_broke(drive: S3, in_front: Proxy) -> None:
    data = os.urandom(3_000_000)
    ref = put(drive, NAME, data).ref
    ranges: list[str | None] = []

    def rule(request: Request, forward: Forward) -> Answer:
        ranges.append(request.headers.get("range"))
        answer = forward()
        if len(ranges) < 3:
            answer.body = answer.body[:1_000_000]
            answer.close = True
        return answer

    in_front.rule = rule
    assert content(drive, ref) == data
    assert ranges[0] is None
    assert [str(one).startswith("bytes=") for one in ranges] == [False, True, True]


def test_a_download_that_keeps_breaking(drive: S3, in_front: Proxy) -> None:
    ref = put(drive, NAME, bytes(3_000_000)).ref

    def rule(request: Request, forward: Forward) -> Answer:
        answer = forward()
        answer.body, answer.close = b"", True
        return answer

    in_front.rule = rule
    with drive.open(ref) as stream, pytest.raises(DriveError, match=r"^a bucket: ") as raised:
        stream.read(2_000_000)
    assert not raised.value.permanent


def test_a_download_notices_another_object(s3: Server, bucket: str, drive: S3) -> None:
    ref = put(drive, NAME, os.urandom(3_000_000)).ref
    with drive.open(ref) as stream:
        stream.read(10)
        with closing(s3.client()) as client:
            client.put_object(Bucket=bucket, Key=ref, Body=bytes(3_000_000))
        stream.seek(2_500_000)
        with pytest.raises(DriveError, match="was replaced while it was read") as raised:
            stream.read(10)
    assert raised.value.permanent


def test_a_download_can_be_read_from_anywhere(drive: S3) -> None:
    data = os.urandom(3_000_000)
    ref = put(drive, NAME, data).ref
    with drive.open(ref) as stream:
        assert stream.seekable()
        for position, whence in (
            (2_999_990, io.SEEK_SET),
            (0, io.SEEK_SET),
            (-5, io.SEEK_END),
            (3_000_010, io.SEEK_SET),
        ):
            stream.seek(position, whence)
            at = position if whence == io.SEEK_SET else len(data) + position
            assert stream.tell() == at
            assert stream.read(20) == data[at : at + 20]
