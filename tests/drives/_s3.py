"""S3 drives for tests, and what their server holds."""

from contextlib import closing

from backupman.drives.s3 import S3
from tests.servers.s3 import S3 as Server

MIB = 2**20
PART = 5 * MIB


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
