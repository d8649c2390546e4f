"""Objects of S3 that are locked, or left to lifecycle rules: they are retained, and that is no error."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from backupman.drives.s3 import S3
from backupman.errors import DriveError, Retained
from tests.contracts.drive import NAME, content, put
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
