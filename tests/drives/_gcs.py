"""Drives of Google Cloud Storage for tests."""

from pathlib import Path

from backupman.drives.google_cloud_storage import GoogleCloudStorage
from tests.servers.gcs import Storage

CHUNK = 256 * 1024
"""The smallest that Google takes."""


def gcs_drive(server: Storage, files: Path, bucket: str, **more: object) -> GoogleCloudStorage:
    """A drive of a service account, whose key stands in `files`; a setting of None is left out."""
    settings = {
        "provider": "google_cloud_storage",
        "label": "a bucket",
        "bucket": bucket,
        "prefix": "back ups/",
        "endpoint": server.endpoint,
        "chunk_size": CHUNK,
        **({} if "service_account_file" in more else {"service_account_file": server.service_file(files)}),
        **more,
    }
    return GoogleCloudStorage.model_validate({name: value for name, value in settings.items() if value is not None})


def gcs_of(drive: GoogleCloudStorage, **more: object) -> GoogleCloudStorage:
    """The same drive with other settings."""
    settings = drive.revealed() | more
    return GoogleCloudStorage.model_validate({name: value for name, value in settings.items() if value is not None})
