"""Objects of S3 that are locked, or left to lifecycle rules: they are retained, and that is no error."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from backupman.drives.s3 import S3
from backupman.errors import DriveError, Retained
from tests.contracts.objects import NAME, content, put
from tests.drives._proxy import Answer, Forward, Proxy, Request, error
from tests.drives._s3 import PART, objects, s3_drive, s3_of
from tests.servers.s3 import S3 as Server

pytestmark = pytest.mark.service("s3")

Lock = Callable[..., None]


@pytest.fixture
def locking(s3: Server) -> str:
    """A bucket with Object Lock."""
    return s3.make_bucket(ObjectLockEnabledForBucket=True)


@pytest.fixture
def drive(locking: str, s3: Server, in_front: Proxy) -> S3:
    """A drive on that bucket, behind the proxy."""
    return s3_drive(s3, locking, endpoint=in_front.endpoint)


@pytest.fixture
def lock(s3: Server, locking: str) -> Lock:
    """Locks an object until a time."""

    def until(key: str, time: datetime) -> None:
        retention = {"Mode": "GOVERNANCE", "RetainUntilDate": time}
        with closing(s3.client()) as client:
            client.put_object_retention(Bucket=locking, Key=key, Retention=retention, BypassGovernanceRetention=True)  # type: ignore[arg-type]  # a literal

    return until


def denying(kind: str) -> Callable[[Request, Forward], Answer]:
    def rule(request: Request, forward: Forward) -> Answer:
        if request.kind != kind:
            return forward()
        return Answer(403) if request.method == "HEAD" else error(403, "AccessDenied")

    return rule


def test_a_locked_object_is_retained_until_its_time(drive: S3, lock: Lock, in_front: Proxy) -> None:
    ref = put(drive, NAME, b"body").ref
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    lock(ref, end)
    with pytest.raises(Retained, match=rf"^a bucket: {ref} is locked until {end:%Y-%m-%d %H:%M} UTC$"):
        drive.delete(ref)
    assert "DeleteObject" not in in_front.kinds(), "it is not hidden either"
    assert content(drive, ref) == b"body"
    lock(ref, datetime.now(UTC) - timedelta(days=1))
    drive.delete(ref)
    assert drive.find(NAME) is None
    drive.delete(ref)


def test_a_legal_hold_retains(s3: Server, locking: str, drive: S3) -> None:
    ref = put(drive, NAME, b"body").ref
    with closing(s3.client()) as client:
        client.put_object_legal_hold(Bucket=locking, Key=ref, LegalHold={"Status": "ON"})
        with pytest.raises(Retained, match=r"is locked by a legal hold$"):
            drive.delete(ref)
        client.put_object_legal_hold(Bucket=locking, Key=ref, LegalHold={"Status": "OFF"})
    drive.delete(ref)
    assert objects(s3, locking) == []


@pytest.mark.parametrize("size", [1000, PART + 1])
def test_a_bucket_that_locks_everything_takes_backups(s3: Server, locking: str, drive: S3, size: int) -> None:
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    with closing(s3.client()) as client:
        about = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        client.put_object_lock_configuration(Bucket=locking, ObjectLockConfiguration=about)  # type: ignore[arg-type]  # literals
    drive.check()
    ref = put(drive, NAME, bytes(size)).ref
    assert content(drive, ref) == bytes(size)


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_every_object_may_be_locked_on_its_way(s3: Server, locking: str, drive: S3, mode: str) -> None:
    drive = s3_of(drive, object_lock={"mode": mode, "retain": "30d"})
    drive.check()
    before = datetime.now(UTC).replace(microsecond=0)
    ref = put(drive, NAME, b"body").ref
    after = datetime.now(UTC) + timedelta(seconds=1)
    with closing(s3.client()) as client:
        about = client.head_object(Bucket=locking, Key=ref)
    assert about["ObjectLockMode"] == mode.upper()
    assert before <= about["ObjectLockRetainUntilDate"] - timedelta(days=30) <= after
    with pytest.raises(Retained, match="is locked until"):
        drive.delete(ref)
    assert content(drive, ref) == b"body"


def test_an_object_in_parts_is_locked_too(drive: S3, in_front: Proxy) -> None:
    """Moto forgets the lock of a multipart upload, so that it is looked at what was asked for."""
    drive = s3_of(drive, object_lock={"mode": "compliance", "retain": "30d"})
    before = datetime.now(UTC).replace(microsecond=0)
    put(drive, NAME, bytes(PART + 1))
    [begun] = [request.headers for request in in_front.seen if request.kind == "CreateMultipartUpload"]
    assert begun["x-amz-object-lock-mode"] == "COMPLIANCE"
    until = datetime.fromisoformat(begun["x-amz-object-lock-retain-until-date"])
    assert before <= until - timedelta(days=30) <= datetime.now(UTC)


def test_a_bucket_without_locks_is_said(drive: S3, in_front: Proxy) -> None:
    said = "Bucket is missing Object Lock Configuration"  # in Amazon's words; moto takes it
    in_front.rule = lambda request, forward: (
        error(400, "InvalidRequest", said) if request.kind == "CreateMultipartUpload" else forward()
    )
    with pytest.raises(DriveError, match="has no Object Lock: make it anew with one") as raised:
        s3_of(drive, object_lock={"mode": "governance", "retain": "1d"}).check()
    assert raised.value.permanent


UNKNOWN = {
    "not found": error(404, "ObjectLockConfigurationNotFoundError", "does not exist for this bucket"),  # Swift
    "not implemented": error(501, "NotImplemented", "implies functionality that is not implemented"),
    "nothing": Answer(200, b"<ObjectLockConfiguration></ObjectLockConfiguration>"),  # rclone
}


def asked_for_locks(answer: Answer) -> Callable[[Request, Forward], Answer]:
    """A server that takes the headers of a lock, and answers so when it is asked for the bucket's."""
    return lambda request, forward: answer if "object-lock" in request.query else forward()


@pytest.mark.parametrize("answer", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_server_that_drops_locks_is_said(
    s3: Server, locking: str, drive: S3, in_front: Proxy, answer: Answer
) -> None:
    in_front.rule = asked_for_locks(answer)
    with pytest.raises(
        DriveError, match=f"^a bucket: bucket {locking} has no Object Lock, and nothing in it"
    ) as raised:
        s3_of(drive, object_lock={"mode": "governance", "retain": "1d"}).check()
    assert raised.value.permanent
    drive.check()


def test_a_key_that_may_not_ask_for_the_buckets_locks(drive: S3, in_front: Proxy) -> None:
    in_front.rule = asked_for_locks(error(403, "AccessDenied"))
    s3_of(drive, object_lock={"mode": "governance", "retain": "1d"}).check()


def test_a_server_that_cannot_say_now_whether_it_locks(drive: S3, in_front: Proxy) -> None:
    in_front.rule = asked_for_locks(error(503, "ServiceUnavailable"))
    with pytest.raises(DriveError, match="cannot answer now") as raised:
        s3_of(drive, object_lock={"mode": "governance", "retain": "1d"}).check()
    assert not raised.value.permanent


@pytest.mark.parametrize("lock", [{"mode": "governance"}, {"retain": "1d"}, {"mode": "forever", "retain": "1d"}])
def test_half_a_lock_is_refused(drive: S3, lock: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="object_lock"):
        s3_of(drive, object_lock=lock)


def test_a_lock_of_no_time_is_refused(drive: S3) -> None:
    with pytest.raises(ValidationError, match="object_lock"):
        s3_of(drive, object_lock={"mode": "governance", "retain": "0s"})


def test_a_key_that_may_not_ask_for_locks_may_remove(s3: Server, locking: str, drive: S3, in_front: Proxy) -> None:
    ref = put(drive, NAME, b"body").ref
    in_front.rule = denying("HeadObject")
    drive.delete(ref)
    assert objects(s3, locking) == []


def test_a_server_that_cannot_answer_whether_it_is_locked(drive: S3, in_front: Proxy) -> None:
    ref = put(drive, NAME, b"body").ref
    in_front.rule = lambda request, forward: Answer(503) if request.method == "HEAD" else forward()
    with pytest.raises(DriveError, match="cannot answer now") as raised:
        drive.delete(ref)
    assert not isinstance(raised.value, Retained)
    in_front.rule = lambda request, forward: forward()
    assert content(drive, ref) == b"body"


def test_delete_never_leaves_it_to_lifecycle_rules(s3: Server, bucket: str, in_front: Proxy) -> None:
    drive = s3_drive(s3, bucket, endpoint=in_front.endpoint, delete="never")
    ref = put(drive, NAME, b"body").ref
    with pytest.raises(Retained, match=r"^a bucket: .* is left to the bucket's lifecycle rules$"):
        s3_of(drive).delete(ref)
    assert content(drive, ref) == b"body"
    with closing(s3.client()) as client:
        client.delete_object(Bucket=bucket, Key=ref)  # as a lifecycle rule does
    drive.delete(ref)
    assert "DeleteObject" not in in_front.kinds()


def test_delete_never_works_with_a_key_that_may_only_put(s3: Server, bucket: str, in_front: Proxy) -> None:
    drive = s3_drive(s3, bucket, endpoint=in_front.endpoint, delete="never")
    ref = put(drive, NAME, b"body").ref

    def rule(request: Request, forward: Forward) -> Answer:
        return denying("GetObject")(request, lambda: denying("HeadObject")(request, forward))

    in_front.rule = rule
    with pytest.raises(Retained):
        drive.delete(ref)
    assert objects(s3, bucket) == [ref]


def test_delete_never_takes_no_missing_bucket_for_a_removed_object(s3: Server) -> None:
    with pytest.raises(DriveError, match="there is no bucket") as raised:
        s3_drive(s3, "no-such-bucket", delete="never").delete("a/key")
    assert not isinstance(raised.value, Retained)
