"""Drives of fsspec for tests."""

from pathlib import Path

from backupman.drives.fsspec import Fsspec
from tests.servers.ftp import Ftp

BLOCK = 256 * 1024


def fsspec_drive(url: str, **more: object) -> Fsspec:
    settings = {"provider": "fsspec", "label": "some place", "url": url, "block_size": BLOCK, **more}
    return Fsspec.model_validate(settings)


def ftp_drive(ftp: Ftp, folder: str, **more: object) -> Fsspec:
    login = {"options": {"username": ftp.username}, "secret_options": {"password": ftp.password}}
    return fsspec_drive(ftp.url(folder), **{**login, **more})


def unfinished(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*.part")]
