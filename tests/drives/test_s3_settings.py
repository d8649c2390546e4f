"""The settings of an S3 drive: what arrives at moto's server, and what the SDK is told."""

import hashlib
import os
import ssl
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
import trustme
from pydantic import ValidationError

from backupman.drives._s3_parts import Body
from backupman.drives.s3 import S3
from backupman.errors import DriveError
from tests.contracts.objects import NAME, Reader, content, put
from tests.drives._proxy import Proxy, proxy, verifying
from tests.drives._s3 import PART, s3_drive, s3_of
from tests.servers.s3 import S3 as Server

pytestmark = pytest.mark.service("s3")


@pytest.fixture
def drive(s3: Server, bucket: str, in_front: Proxy) -> S3:
    """A drive behind the proxy."""
    return s3_drive(s3, bucket, endpoint=in_front.endpoint)


@pytest.mark.parametrize("size", [10, PART + 1])
def test_settings_arrive_at_the_server(s3: Server, bucket: str, drive: S3, size: int) -> None:
    drive = s3_of(drive, storage_class="STANDARD_IA", sse="aws:kms", sse_kms_key_id="arn:aws:kms:eu:1:key/2")
    drive = s3_of(drive, tags={"kept by": "a+b = c/d", "empty": ""})
    metadata = {"Source": "größe 'x' 100%", "Job_Name": "night\nly", "too long": "x" * 3000}
    ref = drive.upload(cast(BinaryIO, Reader(bytes(size))), NAME, metadata).ref
    with closing(s3.client()) as client:
        head = client.head_object(Bucket=bucket, Key=ref)
        tags = client.get_object_tagging(Bucket=bucket, Key=ref)["TagSet"]
    assert head["StorageClass"] == "STANDARD_IA"
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"] == "arn:aws:kms:eu:1:key/2"
    assert tags == [{"Key": "kept by", "Value": "a+b = c/d"}, {"Key": "empty", "Value": ""}]
    assert head["Metadata"] == {"source": "gr%C3%B6%C3%9Fe 'x' 100%25", "job-name": "night%0Aly"}


@pytest.mark.parametrize("size", [10, PART + 1])
def test_the_server_may_encrypt_with_its_own_key(s3: Server, bucket: str, drive: S3, size: int) -> None:
    data = os.urandom(size)
    ref = put(s3_of(drive, sse="AES256"), NAME, data).ref
    with closing(s3.client()) as client:
        assert client.head_object(Bucket=bucket, Key=ref)["ServerSideEncryption"] == "AES256"
    assert content(drive, ref) == data


def test_credentials_may_come_from_the_environment(
    s3: Server, bucket: str, in_front: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = s3_drive(
        s3, bucket, endpoint=in_front.endpoint, access_key=None, secret_key=None, session_token=None, region=None
    )
    with pytest.raises(DriveError, match=r"^a bucket: there are no credentials: set access_key") as raised:
        drive.check()
    assert raised.value.permanent
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFTHEENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    s3_of(drive).check()
    assert "AKIDOFTHEENVIRONMENT" in in_front.seen[-1].headers["authorization"]
    assert "/eu-west-3/s3/" in in_front.seen[-1].headers["authorization"]


def test_credentials_may_come_from_a_profile(
    s3: Server, bucket: str, in_front: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, settings = tmp_path / "credentials", tmp_path / "config"
    shared.write_text("[vault]\naws_access_key_id = AKIDOFTHEPROFILE\naws_secret_access_key = secret\n")
    settings.write_text("[profile vault]\nregion = eu-north-1\n")
    names = {"PROFILE": "vault", "SHARED_CREDENTIALS_FILE": str(shared), "CONFIG_FILE": str(settings)}
    for name, value in names.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    none = dict.fromkeys(["access_key", "secret_key", "session_token", "region"])
    s3_drive(s3, bucket, endpoint=in_front.endpoint, **none).check()
    assert "AKIDOFTHEPROFILE" in in_front.seen[-1].headers["authorization"]
    assert "/eu-north-1/s3/" in in_front.seen[-1].headers["authorization"]


def test_the_package_that_is_missing_is_named(drive: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(DriveError, match=r"^a bucket: .*pip install 'backupman\[s3\]'") as raised:
        drive.check()
    assert raised.value.permanent


def test_the_sdk_is_loaded_by_its_first_use_only() -> None:
    code = "import sys; from backupman.drives.s3 import S3; print('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"


def test_tls_is_verified(s3: Server, bucket: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with proxy(s3.endpoint, context) as secure:
        secure.rule = verifying
        drive = s3_drive(s3, bucket, endpoint=secure.endpoint)
        with pytest.raises(DriveError, match=r"^a bucket: no TLS with .*: for a private certificate set ca_file"):
            drive.check()
        with pytest.raises(DriveError, match=r"^a bucket: there is no ca_file"):
            s3_of(drive, ca_file=str(tmp_path / "none.pem")).check()
        trusting = s3_of(drive, ca_file=str(tmp_path / "ca.pem"))
        data = os.urandom(PART + 1)
        assert content(trusting, put(trusting, NAME, data).ref) == data
        bodies = [request for request in secure.seen if request.kind == "UploadPart"]
        assert {request.headers["x-amz-content-sha256"] for request in bodies} == {"UNSIGNED-PAYLOAD"}
        assert all("x-amz-checksum-sha256" in request.headers["authorization"] for request in bodies)


def test_tls_trusts_what_the_environment_of_aws_s_tools_says(
    s3: Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with proxy(s3.endpoint, context) as secure:
        s3_drive(s3, bucket, endpoint=secure.endpoint).check()


def test_tls_may_trust_anybody(s3: Server, bucket: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with proxy(s3.endpoint, context) as secure:
        put(s3_drive(s3, bucket, endpoint=secure.endpoint, verify_tls=False), NAME, b"body")


def test_without_tls_the_payload_is_signed(drive: S3, in_front: Proxy) -> None:
    put(drive, NAME, b"body")
    [sent] = [request for request in in_front.seen if request.kind == "PutObject"]
    assert sent.headers["x-amz-content-sha256"] == hashlib.sha256(b"body").hexdigest()


def test_the_bucket_stands_in_the_path_or_in_the_host_name() -> None:
    amazon: dict[str, Any] = {"provider": "s3", "label": "a", "bucket": "shop", "region": "eu-west-1"}
    amazon |= {"access_key": "k", "secret_key": "s"}
    starts: dict[str, dict[str, object]] = {
        "https://shop.s3.eu-west-1.amazonaws.com/k": {},
        "https://s3.eu-west-1.amazonaws.com/shop/k": {"force_path_style": True},
        "https://s3.example.com/shop/k": {"endpoint": "https://s3.example.com"},
        "https://shop.s3.example.com/k": {"endpoint": "https://s3.example.com", "force_path_style": False},
    }

    class NotSentError(Exception):
        pass

    def refuse(request: Any, **_: object) -> None:
        raise NotSentError(request.url)

    for start, more in starts.items():
        drive = S3.model_validate(amazon | more)
        drive._client.meta.events.register("before-send.s3", refuse)
        with pytest.raises(NotSentError, match=rf"^{start}$"):
            drive.open("k")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"secret_key": None, "session_token": None}, "belong together"),
        ({"access_key": None, "secret_key": None}, "session_token needs"),
        ({"sse_kms_key_id": "key"}, "needs sse: aws:kms"),
        ({"part_size": "4MiB"}, "greater than or equal to 5242880"),
        ({"concurrency": 0}, "greater than or equal to 1"),
        ({"endpoint": "s3.example.com"}, "should be a URL"),
        ({"endpoint": "https://me:secret@s3.example.com"}, "should hold no password"),
        ({"checksum": "sha1"}, "'sha256', 'crc32' or 'md5'"),
        ({"prefix": "p" * 121}, "at most 120"),
        ({"tags": {f"tag {number}": "" for number in range(11)}}, "at most 10 items"),
        ({"tags": {"": "value"}}, "at least 1 character"),
        ({"tags": {"name": "v" * 257}}, "at most 256"),
    ],
)
def test_settings_that_do_not_go_together(s3: Server, more: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        s3_drive(s3, "bucket", **more)


def test_a_tls_that_trusts_anybody_is_worth_a_warning(s3: Server) -> None:
    assert s3_drive(s3, "bucket").warnings() == []
    [warning] = s3_drive(s3, "bucket", verify_tls=False).warnings()
    assert warning.startswith("a bucket: verify_tls is false")


def test_cloudflare_gets_equal_parts(s3: Server) -> None:
    places = {"https://abc.r2.cloudflarestorage.com": True, "https://s3.example.com": False, None: False}
    assert {place: s3_drive(s3, "b", endpoint=place)._wants_equal_parts for place in places} == places
    assert s3_drive(s3, "b", equal_parts=True)._wants_equal_parts


def test_a_part_goes_out_in_large_pieces_and_whole() -> None:
    data = os.urandom(600_000)
    pieces = list(iter(partial(Body(data).read, 16_384), b""))
    assert b"".join(pieces) == data
    assert len(pieces) == 3
    assert Body(data).read() == data
