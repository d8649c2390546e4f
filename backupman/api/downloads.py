"""Downloads: signed links that expire, and the bytes of an object from any drive, in constant memory."""

import hashlib
import hmac
import os
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse

from backupman.api.keys import Downloader, Served, require
from backupman.config.http import Scope
from backupman.daemon import Daemon
from backupman.drives import Drive
from backupman.engine.downloading import Download
from backupman.errors import NotFoundError
from backupman.records import DriveFile, Status

router = APIRouter(prefix="/api/backups", tags=["downloads"])

LINK_SECONDS = 15 * 60


@router.get("/{backup_id}/generate-download-url")
def generate_download_url(daemon: Served, _: Downloader, backup_id: str) -> dict[str, str]:
    """A link that needs no key and expires after 15 minutes; `backup_id` is a backup's or a drive file's."""
    file = _file(daemon, backup_id)
    path = f"/api/backups/{file.id}/download"
    expires = int(time.time()) + LINK_SECONDS
    query = urlencode({"expires": expires, "signature": _signature(daemon, path, expires)})
    return {"Url": f"{daemon.app.config.http.app_url.rstrip('/')}{path}?{query}"}


@router.get("/{backup_id}/download")
def download(
    daemon: Served, request: Request, backup_id: str, expires: int | None = None, signature: str | None = None
) -> StreamingResponse:
    """The object's bytes, by key or by link; a `Range` of bytes is served where the client asks for one."""
    path = f"/api/backups/{backup_id}/download"
    if not _link_is_good(daemon, path, expires, signature):
        require(Scope.DOWNLOAD)(request)
    file = _file(daemon, backup_id)
    drive = _drive(daemon, file)
    start, length = _range(request.headers.get("Range"), file.size)
    loaded = Download(drive, file.ref or "", daemon.app.config.retry.policy(), start, length)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", (file.path or "backup").rsplit("/", 1)[-1])
    headers: dict[str, Any] = {"Content-Disposition": f'attachment; filename="{name}"', "Accept-Ranges": "bytes"}
    if length is not None:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{file.size}"
    if (known := length if length is not None else file.size) is not None:
        headers["Content-Length"] = str(known)
    return StreamingResponse(iter(loaded), 200 if length is None else 206, headers, "application/octet-stream")


def _file(daemon: Daemon, name: str) -> DriveFile:
    """The finished drive file of that id, or the first finished one of that backup on a drive of the config."""
    file = daemon.app.store.backups.drive_file(name)
    if file is not None:
        if file.status != Status.FINISHED:
            raise NotFoundError(f"the file on {file.label} is {file.status}; there is nothing to download")
        return file
    backup = daemon.app.store.backups.get(name)
    for file in backup.drive_files:
        if file.status == Status.FINISHED and daemon.app.config.drive(file.label):
            return file
    raise NotFoundError(f"{backup.label}: no drive holds this backup")


def _drive(daemon: Daemon, file: DriveFile) -> Drive:
    drive = daemon.app.config.drive(file.label)
    if drive is None:
        raise NotFoundError(f"the drive {file.label!r} is not in the config any more")
    return drive


def _range(header: str | None, size: int | None) -> tuple[int, int | None]:
    """Where to start and how many bytes; a header that is no single range of bytes is ignored, as RFC 9110 allows."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").strip())
    if not match or size is None or match.groups() == ("", ""):
        return 0, None
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        raise HTTPException(416, "the range lies outside the object", {"Content-Range": f"bytes */{size}"})
    return start, end - start + 1


def _link_is_good(daemon: Daemon, path: str, expires: int | None, signature: str | None) -> bool:
    if expires is None or signature is None or expires < time.time():
        return False
    return hmac.compare_digest(_signature(daemon, path, expires), signature)


def _signature(daemon: Daemon, path: str, expires: int) -> str:
    return hmac.new(
        _link_key(daemon.app.config.state_folder), f"{path}\n{expires}".encode(), hashlib.sha256
    ).hexdigest()


def _link_key(state_folder: Path) -> bytes:
    """The secret of the links, made once; whoever may read it may download everything, so its mode is 0600."""
    file = state_folder / "link.key"
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_bytes()
    with os.fdopen(fd, "wb") as new:
        new.write(os.urandom(32))
    return file.read_bytes()
