"""The S3 drive against moto's server: the contract, its settings, and what arrives at the server."""

import hashlib
import itertools
import os
import threading
import zlib
from collections.abc import Callable
from contextlib import closing
from typing import BinaryIO, cast

import pytest

from backupman.drives import Drive
from backupman.drives._s3_parts import MAX_PART, Parts
from backupman.drives.s3 import S3
from backupman.errors import DriveError
from tests.contracts.drive import Leftovers, ReachedContract
from tests.contracts.objects import NAME, Reader, content, put
from tests.drives._memory import grown
from tests.drives._proxy import Answer, Forward, Proxy, Request
from tests.drives._s3 import MIB, PART, s3_drive, s3_of, uploads_open
from tests.servers._process import free_port
from tests.servers.s3 import S3 as Server

pytestmark = pytest.mark.service("s3")


@pytest.fixture
def drive(s3: Server, bucket: str, in_front: Proxy) -> S3:
    """A drive behind the proxy."""
    return s3_drive(s3, bucket, endpoint=in_front.endpoint)


class TestS3(ReachedContract):
    part_size = PART

    @pytest.fixture
    def drive(self, s3: Server, bucket: str) -> Drive:
        return s3_drive(s3, bucket)

    @pytest.fixture
    def other(self, s3: Server) -> Drive:
        return s3_drive(s3, s3.make_bucket(), label="another bucket")

    @pytest.fixture
    def unreachable(self, s3: Server) -> Drive:
        return s3_drive(s3, "bucket", endpoint=f"http://127.0.0.1:{free_port()}")

    @pytest.fixture
    def leftovers(self, s3: Server, bucket: str) -> Leftovers:
        return lambda: uploads_open(s3, bucket)


def test_a_drive_may_be_a_whole_bucket(s3: Server, bucket: str) -> None:
    whole = s3_drive(s3, bucket, prefix=None)
    refs = [put(whole, NAME, b"body").ref, put(s3_drive(s3, bucket, prefix="zzz"), "inner", b"").ref]
    assert refs[0] == whole.path(NAME) == NAME
    assert list(whole.list()) == refs
    assert content(whole, NAME) == b"body"


def test_two_prefixes_of_one_bucket_stay_apart(s3: Server, bucket: str) -> None:
    one, two = (s3_drive(s3, bucket, prefix=prefix) for prefix in ("shop", "shop2"))
    refs = [put(drive, NAME, b"body").ref for drive in (one, two)]
    assert refs == [f"shop/{NAME}", f"shop2/{NAME}"]
    assert [list(drive.list()) for drive in (one, two)] == [[refs[0]], [refs[1]]]
    assert one.path(NAME) == refs[0]


DIGESTS: dict[str, Callable[[bytes], str]] = {
    "sha256": lambda data: hashlib.sha256(data).hexdigest(),
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "crc32": lambda data: f"{zlib.crc32(data):08x}",
}


@pytest.mark.parametrize("checksum", DIGESTS)
@pytest.mark.parametrize("size", [0, 1000, PART, 2 * PART + 7])
def test_what_the_server_verified_is_told(drive: S3, checksum: str, size: int) -> None:
    drive = s3_of(drive, checksum=checksum)
    data = os.urandom(size)
    stored = put(drive, NAME, data)
    digest = DIGESTS[checksum]
    if size < PART:
        assert stored.checksums == {checksum: digest(data)}
    else:
        parts = [data[start : start + PART] for start in range(0, size, PART)]
        whole = digest(b"".join(bytes.fromhex(digest(part)) for part in parts))
        assert stored.checksums == {f"{checksum}-parts": f"{whole}-{len(parts)}"}
    assert content(drive, stored.ref) == data


def test_small_objects_take_one_request_and_large_ones_parts(drive: S3, in_front: Proxy) -> None:
    put(drive, "small", bytes(PART - 1))
    assert in_front.kinds() == ["HeadObject", "PutObject", "HeadObject"]
    in_front.seen.clear()
    put(drive, "large", bytes(2 * PART + 1))
    kinds = in_front.kinds()
    assert kinds == [
        "HeadObject",
        "CreateMultipartUpload",
        *["UploadPart"] * 3,
        "CompleteMultipartUpload",
        "HeadObject",
    ]
    assert sorted(request.part for request in in_front.seen if request.part) == [1, 2, 3]


def test_the_session_is_told_before_the_first_part(s3: Server, bucket: str, drive: S3, in_front: Proxy) -> None:
    told: list[tuple[str, list[str]]] = []
    drive.upload(
        cast(BinaryIO, Reader(bytes(PART))), NAME, {}, lambda session: told.append((session, in_front.kinds()))
    )
    [(session, kinds)] = told
    assert kinds == ["HeadObject", "CreateMultipartUpload"]
    assert {request.query["uploadId"][0] for request in in_front.seen if request.part} == {session}


def test_a_session_that_cannot_be_told_is_aborted(s3: Server, bucket: str, drive: S3) -> None:
    def refuse(session: str) -> None:
        raise RuntimeError(session)

    with pytest.raises(RuntimeError):
        drive.upload(cast(BinaryIO, Reader(bytes(PART))), NAME, {}, refuse)
    assert uploads_open(s3, bucket) == []


def test_abort_ends_exactly_that_session(s3: Server, bucket: str, drive: S3) -> None:
    with closing(s3.client()) as client:
        sessions = [client.create_multipart_upload(Bucket=bucket, Key=drive.path(name)) for name in ("a", "b")]
    for _ in range(2):
        drive.abort("a", sessions[0]["UploadId"])
    assert uploads_open(s3, bucket) == [drive.path("b")]


def test_abort_finds_the_sessions_that_nobody_recorded_and_no_neighbour_s(s3: Server, bucket: str, drive: S3) -> None:
    with closing(s3.client()) as client:
        for name in ("a", "a", "a.json", "aa"):
            client.create_multipart_upload(Bucket=bucket, Key=drive.path(name))
    drive.abort("a", None)
    assert sorted(uploads_open(s3, bucket)) == [drive.path("a.json"), drive.path("aa")]


def test_parts_are_sent_side_by_side_within_bounds(drive: S3, in_front: Proxy) -> None:
    drive = s3_of(drive, concurrency=3)
    guard, under_way, most = threading.Lock(), 0, 0
    all_there = threading.Barrier(3)

    def counting(request: Request, forward: Forward) -> Answer:
        nonlocal under_way, most
        if request.kind != "UploadPart":
            return forward()
        with guard:
            under_way += 1
            most = max(most, under_way)
        if request.part in (1, 2, 3):
            all_there.wait(20)
        answer = forward()
        with guard:
            under_way -= 1
        return answer

    in_front.rule = counting
    put(drive, NAME, bytes(6 * PART + 1))
    assert most == 3


@pytest.mark.parametrize("first", [PART, 8 * MIB, 100 * MIB, 500 * MIB, 600 * MIB, MAX_PART])
def test_ten_thousand_parts_hold_five_tebibytes(first: int) -> None:
    sizes = list(Parts(first, 4, equal=False).sizes())
    assert len(sizes) == 10_000
    assert sizes[:1000] == [first] * 1000
    assert sizes == sorted(sizes)
    assert max(sizes) <= MAX_PART
    assert sum(sizes) >= 5 * 2**40
    large = sum(itertools.takewhile(lambda size: size <= 2 * first, sizes))
    assert large >= 2000 * first, "an object of ordinary size never needs large parts"


def test_parts_may_all_be_equal() -> None:
    assert set(Parts(PART, 4, equal=True).sizes()) == {PART}


def test_grown_parts_are_fewer_at_once() -> None:
    parts = Parts(8 * MIB, 4, equal=False)
    assert [parts.at_once(size * MIB) for size in (8, 16, 72, 224)] == [4, 2, 2, 2]
    assert Parts(8 * MIB, 1, equal=False).at_once(72 * MIB) == 1


def test_an_object_of_too_many_parts_is_refused(
    s3: Server, bucket: str, drive: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backupman.drives._s3_parts.MAX_PARTS", 2)
    stored = put(drive, "fits", bytes(2 * PART))
    assert stored.size == 2 * PART
    with pytest.raises(DriveError, match="set a larger part_size") as raised:
        put(drive, NAME, bytes(2 * PART + 1))
    assert raised.value.permanent
    assert uploads_open(s3, bucket) == []


def test_list_goes_on_over_pages(drive: S3, in_front: Proxy) -> None:
    refs = sorted(put(drive, f"n{number}", b"").ref for number in range(5))

    def two_a_page(request: Request, forward: Forward) -> Answer:
        if request.kind == "ListObjects":
            request.target += "&max-keys=2"
        return forward()

    in_front.rule = two_a_page
    in_front.seen.clear()
    assert list(drive.list()) == refs
    assert in_front.kinds() == ["ListObjects"] * 3


def sink(request: Request, forward: Forward) -> Answer:
    """A server that takes everything and keeps nothing."""
    left = request.length
    while left:
        left -= len(request.read(min(left, 2**16)))
    if request.kind == "CreateMultipartUpload":
        name = b"InitiateMultipartUploadResult"
        return Answer(200, b"<%b><UploadId>1</UploadId></%b>" % (name, name))
    if request.kind == "CompleteMultipartUpload":
        return Answer(200, b"<CompleteMultipartUploadResult/>")
    if request.kind == "HeadObject":
        return Answer(403)
    return Answer(200, b"", {"etag": '"1"'})


def test_memory_is_bounded_by_the_parts(s3: Server, in_front: Proxy) -> None:
    in_front.rule = sink
    drive = s3_drive(s3, "bucket", endpoint=in_front.endpoint, concurrency=3)
    most = 2 * 3 * PART + 10 * MIB  # each part once, and what the allocator keeps of those before
    assert grown(drive, 200 * MIB) < most
