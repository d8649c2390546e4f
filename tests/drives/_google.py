"""Google drives for tests."""

from pathlib import Path

from backupman.drives.google_drive import GoogleDrive
from tests.servers.google_drive import Google

CHUNK = 256 * 1024
"""The smallest that Google takes."""

FOLDER = "back ups/da'ta\\bases"


def google_drive(google: Google, files: Path, **more: object) -> GoogleDrive:
    """A drive of an account that gave its consent, whose files stand in `files`."""
    settings = {
        "provider": "google_drive",
        "label": "my drive",
        "folder": FOLDER,
        "endpoint": google.endpoint,
        "chunk_size": CHUNK,
        **(more if "token_file" in more else google.user_files(files)),
        **more,
    }
    return GoogleDrive.model_validate(settings)


def shared_drive(google: Google, files: Path, shared_drive_id: str | None, **more: object) -> GoogleDrive:
    """A drive of the service account in that shared drive, which is there."""
    settings = {
        "provider": "google_drive",
        "label": "shared drive",
        "folder": FOLDER,
        "endpoint": google.endpoint,
        "chunk_size": CHUNK,
        "service_account_file": google.service_file(files),
        **more,
    }
    if shared_drive_id:
        google.drives.shared.add(shared_drive_id)
        settings["shared_drive_id"] = shared_drive_id
    return GoogleDrive.model_validate(settings)
