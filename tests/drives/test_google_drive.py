"""Google Drive's settings load, and every use of it says what to do instead."""

import io
from collections.abc import Callable

import pytest

from backupman.drives import Drive
from backupman.drives.google_drive import GoogleDrive
from backupman.errors import DriveError

SETTINGS = {
    "provider": "google_drive",
    "label": "my drive",
    "folder": "backups",
    "client_secret_file": "client.json",
    "token_file": "token.json",
}

USES: dict[str, Callable[[Drive], object]] = {
    "upload": lambda drive: drive.upload(io.BytesIO(b"body"), "name", {}),
    "open": lambda drive: drive.open("ref"),
    "delete": lambda drive: drive.delete("ref"),
    "stat": lambda drive: drive.stat("ref"),
    "list": lambda drive: list(drive.list()),
    "find": lambda drive: drive.find("name"),
    "check": lambda drive: drive.check(),
}


@pytest.mark.parametrize("use", USES)
def test_every_use_says_what_to_do(use: str) -> None:
    drive = GoogleDrive.model_validate(SETTINGS)
    with pytest.raises(DriveError, match=r"^my drive: Google Drive is not in this version yet: use a local") as raised:
        USES[use](drive)
    assert raised.value.permanent


def test_the_settings_reach_the_child_whole() -> None:
    drive = GoogleDrive.model_validate(SETTINGS)
    assert GoogleDrive.model_validate(drive.revealed()) == drive


def test_abort_finds_nothing_to_do() -> None:
    GoogleDrive.model_validate(SETTINGS).abort("name", None)
