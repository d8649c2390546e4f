"""S3 drives for tests, and what their server holds."""

from contextlib import closing

from backupman.drives.s3 import S3
from backupman.retry import RetryPolicy
from tests.drives._proxy import Proxy
from tests.servers.s3 import S3 as Server

MIB = 2**20
PART = 5 * MIB
QUICK = RetryPolicy(attempts=3, first_wait=0.01, max_wait=0.05)


def s3_drive(server: Server, bucket: str, **more: object) -> S3:
    """A drive at that server; a setting of None is left out."""
    settings = {
        "provider": "s3",
        "label": "a bucket",
        "bucket": bucket,
        "region": server.region,
        "access_key": "AKIDEXAMPLE",
        "secret_key": "wJalr+secret/key$%",
        "session_token": "temporary/token==",
        "endpoint": server.endpoint,
        "prefix": "back ups/",
        "part_size": "5MiB",
        **more,
    }
    return S3.model_validate({name: value for name, value in settings.items() if value is not None})


def patient(server: Server, bucket: str, in_front: Proxy) -> S3:
    """A drive behind a proxy, with three tries of each call."""
    drive = s3_drive(server, bucket, endpoint=in_front.endpoint)
    drive.with_retry(QUICK)
    return drive


def uploads_open(server: Server, bucket: str) -> list[str]:
    """The keys of multipart uploads that were neither completed nor aborted."""
    with closing(server.client()) as client:
        return [upload["Key"] for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


def objects(server: Server, bucket: str) -> list[str]:
    """The keys of all objects."""
    with closing(server.client()) as client:
        return [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket).get("Contents", [])]


def s3_of(drive: S3, **more: object) -> S3:
    """The same drive with other settings."""
    return S3.model_validate(drive.revealed() | more)
