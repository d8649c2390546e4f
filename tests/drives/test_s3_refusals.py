"""What an S3 server refuses: each answer becomes a sentence, permanent or not."""

import logging
import time
from collections.abc import Callable

import pytest

from backupman.drives.s3 import S3
from backupman.errors import DriveError, ObjectNotFound
from tests.contracts.objects import NAME, put
from tests.drives._proxy import Answer, Forward, Proxy, Request, error
from tests.drives._s3 import PART, objects, patient, s3_drive, s3_of
from tests.servers.s3 import S3 as Server

pytestmark = pytest.mark.service("s3")


@pytest.fixture
def drive(s3: Server, bucket: str, in_front: Proxy) -> S3:
    return patient(s3, bucket, in_front)


SENTENCES = {
    (403, "InvalidAccessKeyId"): "does not know the access_key: correct it, or make a new pair of keys",
    (403, "SignatureDoesNotMatch"): "the secret_key does not belong to the access_key: correct it",
    (403, "AccessDenied"): "the key may not do that in bucket .*: give it s3:PutObject",
    (403, "UnknownToUs"): "the key may not do that in bucket .*: give it s3:PutObject",
    (400, "ExpiredToken"): "the session_token has expired: set a fresh one",
    (403, "RequestTimeTooSkewed"): "the clock of this machine is wrong: set it",
    (404, "NoSuchBucket"): "there is no bucket .* at .*: make it, or correct bucket, region and endpoint",
    (400, "AuthorizationHeaderMalformed"): "bucket .* is in another region than us-east-1: set region",
    (301, "PermanentRedirect"): "bucket .* is in another region than us-east-1: set region",
    (
        501,
        "NotImplemented",
    ): "does not know all that was asked for: try `checksum: md5`, or leave out what it names, as tags",
    (400, "InvalidStorageClass"): r"refused the call \(InvalidStorageClass said so\)",
    (500, "InternalError"): r"cannot answer now \(InternalError said so\)",
    (503, "SlowDown"): "asks for fewer requests: lower concurrency",
    (503, "ServiceUnavailable"): "cannot answer now",
    (429, "TooManyRequests"): "cannot answer now",
    (400, "RequestTimeout"): "cannot answer now",
    (409, "ConditionalRequestConflict"): "cannot answer now",
}
TEMPORARY = {"InternalError", "SlowDown", "ServiceUnavailable", "TooManyRequests", "RequestTimeout"}


@pytest.mark.parametrize(("status", "code"), SENTENCES)
def test_what_the_server_refuses_is_explained(
    s3: Server, bucket: str, in_front: Proxy, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    drive = s3_drive(s3, bucket, endpoint=in_front.endpoint)
    # An answer to HEAD has no body, and so no code.
    in_front.rule = lambda request, forward: (
        Answer(404) if request.method == "HEAD" else error(status, code, close=True)
    )
    calls: list[Callable[[], object]] = [
        drive.check,
        lambda: put(drive, NAME, bytes(PART)),
        lambda: put(drive, NAME, b"body"),
        lambda: list(drive.list()),
        lambda: drive.open(NAME),
    ]
    for call in calls:
        with pytest.raises(DriveError, match=f"^a bucket: .*{SENTENCES[status, code]}") as raised:
            call()
        assert raised.value.permanent == (code not in TEMPORARY | {"ConditionalRequestConflict"})
        for secret in drive.secrets():
            assert secret not in str(raised.value)
            assert secret not in caplog.text
    assert objects(s3, bucket) == []


def test_the_servers_own_wish_is_kept(drive: S3, in_front: Proxy) -> None:
    slow = error(503, "SlowDown", close=True)
    slow.headers["retry-after"] = "7"
    in_front.rule = lambda request, forward: slow
    with pytest.raises(DriveError) as raised:
        s3_of(drive).check()
    assert raised.value.retry_after == 7


def test_a_missing_bucket_is_no_missing_object(s3: Server, in_front: Proxy) -> None:
    drive = s3_drive(s3, "no-such-bucket", endpoint=in_front.endpoint)
    calls: list[Callable[[], object]] = [
        drive.check,
        lambda: put(drive, NAME, b"body"),
        lambda: put(drive, NAME, bytes(PART)),
        lambda: list(drive.list()),
        lambda: drive.open(NAME),
        lambda: drive.stat(NAME),
        lambda: drive.find(NAME),
        lambda: drive.delete(NAME),
    ]
    for call in calls:
        with pytest.raises(DriveError, match=r"^a bucket: there is no bucket no-such-bucket at http") as raised:
            call()
        assert raised.value.permanent
        assert not isinstance(raised.value, ObjectNotFound)


def test_a_server_that_stays_silent(drive: S3, in_front: Proxy) -> None:
    def rule(request: Request, forward: Forward) -> Answer:
        time.sleep(1)
        return forward()

    in_front.rule = rule
    with pytest.raises(DriveError, match=r"^a bucket: .* cannot be reached: .*timeout") as raised:
        s3_of(drive, timeout="200ms").check()
    assert not raised.value.permanent
