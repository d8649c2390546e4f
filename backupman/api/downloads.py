"""Downloads: links that expire, and the bytes of an object from any drive, in constant memory."""

import base64
import re
from dataclasses import dataclass
from typing import Annotated

import anyio
from anyio import to_thread
from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi.responses import Response, StreamingResponse

from backupman.api.conditions import is_known
from backupman.api.documents import DownloadUrl, FileId
from backupman.api.errors import Problem, refusals
from backupman.api.heads import method_of
from backupman.api.keys import KEYED, Downloader, Served, check_scope, note_failure, presented_key
from backupman.api.limits import Slots
from backupman.api.links import Links
from backupman.api.ranges import Part, part_of
from backupman.api.streaming import DownloadResponse, opened
from backupman.config.http import Scope
from backupman.daemon import Daemon
from backupman.drives import Drive
from backupman.engine.downloading import Download
from backupman.errors import DriveError, NotFoundError
from backupman.records import DriveFile, Status

router = APIRouter(prefix="/api/backups", tags=["downloads"])

AT_ONCE = 16
"""Downloads under way; each is a process."""


class Downloads:
    """The downloads of one daemon: how many there may be, and the threads that read them, apart from all others."""

    def __init__(self) -> None:
        self.slots = Slots(AT_ONCE)
        self.readers = anyio.CapacityLimiter(AT_ONCE)


@dataclass(frozen=True)
class _Candidate:
    file: DriveFile
    drive: Drive


@router.get("/{backup_id}/generate-download-url", responses=KEYED | refusals(404))
def generate_download_url(daemon: Served, _: Downloader, backup_id: FileId) -> DownloadUrl:
    """A link that needs no key and is good for 15 minutes; the id is a backup's or a drive file's."""
    file = _candidates(daemon, backup_id)[0].file
    app = daemon.app
    return DownloadUrl(url=Links(app.config.state_folder).make(app.config.http.url(), _path(file.id)))


def _path(backup_id: str) -> str:
    return f"/api/backups/{backup_id}/download"


async def _may_download(
    daemon: Served,
    request: Request,
    backup_id: FileId,
    expires: Annotated[str | None, Query(description="Of a link: until when it is good.")] = None,
    signature: Annotated[str | None, Query(description="Of a link.")] = None,
) -> None:
    """Let in whoever has a good link, or a key with the scope `download`."""
    if expires is None and signature is None:
        check_scope(request, Scope.DOWNLOAD)
        return
    links = Links(daemon.app.config.state_folder)
    if await to_thread.run_sync(links.good, _path(backup_id), expires or "", signature or ""):
        return
    if presented_key(request):
        check_scope(request, Scope.DOWNLOAD)
        return
    note_failure(request, "a link that is not good (any more)")
    raise HTTPException(403, "this link is not good, or not any more: ask for a new one")


@router.get(
    "/{backup_id}/download",
    response_class=Response,
    responses=KEYED
    | refusals(404, 412, 416, 502)
    | {
        200: {"description": "The object's bytes.", "content": {"application/octet-stream": {}}},
        206: {"description": "The range that was asked for.", "content": {"application/octet-stream": {}}},
        403: {"model": Problem, "description": "The key lacks the scope, or the link is not good, or not any more."},
        304: {"description": "The client has it already, as `If-None-Match` says."},
    },
    dependencies=[Depends(_may_download)],
    openapi_extra={"security": [{"key": [Scope.DOWNLOAD]}, {"bearer": [Scope.DOWNLOAD]}, {}]},
)
async def download(
    daemon: Served,
    request: Request,
    backup_id: FileId,
    range_: Annotated[str | None, Header(alias="Range", description="One range of bytes, as in `bytes=0-99`.")] = None,
    if_range: Annotated[
        str | None, Header(alias="If-Range", description="Only then the range: while the `ETag` is still this.")
    ] = None,
    if_match: Annotated[
        list[str] | None, Header(alias="If-Match", description="Only while the `ETag` is one of these; else 412.")
    ] = None,
    if_none_match: Annotated[
        list[str] | None, Header(alias="If-None-Match", description="Only while the `ETag` is none of these; else 304.")
    ] = None,
) -> Response:
    """The object's bytes from a drive, by key or by link; of a backup, from the first drive that gives them.

    A copy that is known not to be right is given only where there is no other.
    """
    downloads: Downloads = request.app.state.downloads
    candidates = await to_thread.run_sync(_candidates, daemon, backup_id)
    etag = _etag(candidates[0].file)
    if is_known(etag, if_match, if_none_match):
        return Response(None, 304, {"ETag": etag} if etag else None)
    if method_of(request) == "HEAD":  # no drive is asked; RFC 9110 has ranges for GET alone
        headers = Part(candidates[0].file.size).headers() | _headers(candidates[0].file)
        return StreamingResponse(iter(()), headers=headers, media_type=DownloadResponse.media_type)
    if not downloads.slots.take():
        raise HTTPException(429, f"{AT_ONCE} downloads are under way; try again in a moment", {"Retry-After": "5"})
    try:
        found = await _opened(daemon, request, backup_id, candidates, range_, if_range)
    except BaseException:
        downloads.slots.give_back()
        raise
    candidate, part, loaded = found
    headers = part.headers() | _headers(candidate.file)
    return DownloadResponse(loaded, part.count, part.status, headers, downloads.readers, downloads.slots.give_back)


async def _opened(
    daemon: Daemon,
    request: Request,
    name: str,
    candidates: list[_Candidate],
    range_: str | None,
    if_range: str | None,
) -> tuple[_Candidate, Part, Download]:
    """The first candidate that gives its bytes. Raises DriveError, that of the last one, when none does.

    What is known to be bad is given as it is only to whoever asks for exactly that file.
    """
    retry = daemon.app.config.retry.policy()
    downloads: Downloads = request.app.state.downloads
    for number, candidate in enumerate(candidates, 1):
        file = candidate.file
        unchanged = if_range is None or if_range == _etag(file)
        part = part_of(range_ if unchanged else None, file.size)
        sha256 = file.sha256 if part.is_whole and not (_is_bad(file) and file.id == name) else None
        loaded = Download(candidate.drive, file.ref or "", retry, file.path, part.start, part.length, sha256)
        try:
            await opened(loaded, request.receive, downloads.readers)
        except BaseException as error:
            loaded.close()
            if not isinstance(error, DriveError) or number == len(candidates):
                raise
        else:
            return candidate, part, loaded
    raise NotFoundError("no drive holds this backup")


def _candidates(daemon: Daemon, name: str) -> list[_Candidate]:
    """The drive file of that id, or the finished ones of that backup on the drives of the config.

    Those that were not right when they were last read come after all others.

    Raises:
        NotFoundError: there is nothing to download.
    """
    store, config = daemon.app.store, daemon.app.config
    file = store.backups.drive_file(name)
    backup = None if file else daemon.app.backup(name)
    files = [file] if file else backup.drive_files if backup else []
    finished = sorted((file for file in files if file.status == Status.FINISHED), key=_is_bad)
    found = [_Candidate(file, drive) for file in finished if (drive := config.drive(file.label))]
    if found:
        return found
    if finished:
        raise NotFoundError(f"the drive {finished[0].label!r} is not in the config any more")
    if file:
        raise NotFoundError(f"the file on {file.label} is {file.status}; there is nothing to download")
    raise NotFoundError(f"{backup.label if backup else name}: no drive holds this backup")


def _is_bad(file: DriveFile) -> bool:
    return file.verify_error is not None


def _headers(file: DriveFile) -> dict[str, str]:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", (file.path or "backup").rsplit("/", 1)[-1])
    found = {"Content-Disposition": f'attachment; filename="{name}"'}
    if file.sha256 and (etag := _etag(file)):
        digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
        found |= {"ETag": etag, "Repr-Digest": f"sha-256=:{digest}:"}  # RFC 9530
    return found


def _etag(file: DriveFile) -> str | None:
    return f'"{file.sha256}"' if file.sha256 else None
