"""Files over SFTP: written and read with several requests under way, walked through, made and removed."""

import stat
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from posixpath import basename, dirname
from typing import TYPE_CHECKING, BinaryIO

from backupman.drives._reading import ObjectStream
from backupman.drives._sftp_session import Session
from backupman.errors import DriveError
from backupman.naming import MOST_FOLDERS, is_folder
from backupman.retry import RetryPolicy

if TYPE_CHECKING:
    from asyncssh import SFTPClient, SFTPClientFile

CHUNK = 2**20
_AT_ONCE = 4
"""So many chunks are under way: at 50 ms to the server that is 80 MB/s, and 4 MiB of memory."""
_TRIES = 3


async def size_of(sftp: "SFTPClient", path: str) -> int | None:
    """The size of a file; None when there is none."""
    from asyncssh import SFTPNoSuchFile

    try:
        attributes = await sftp.stat(path)
    except SFTPNoSuchFile:
        return None
    return attributes.size if stat.S_ISREG(attributes.permissions or stat.S_IFREG) else None


async def make_folders(sftp: "SFTPClient", folder: str) -> list[str]:
    """Make a folder and those around it (0700); which ones had to be made, outermost first."""
    from asyncssh import SFTPAttrs, SFTPError

    if not folder.strip("/") or await sftp.isdir(folder):
        return []
    made = await make_folders(sftp, dirname(folder)) if dirname(folder) else []
    try:
        await sftp.mkdir(folder, SFTPAttrs(permissions=0o700))
    except SFTPError:
        if await sftp.isdir(folder):  # another upload was faster
            return made
        await remove_folders(sftp, made)
        raise
    return [*made, folder]


async def remove_folders(sftp: "SFTPClient", folders: Sequence[str]) -> None:
    """Remove folders, innermost first, as far as they are empty."""
    from asyncssh import SFTPError

    with suppress(SFTPError):
        for folder in reversed(folders):
            await sftp.rmdir(folder)


async def remove(sftp: "SFTPClient", path: str) -> None:
    """Remove a file; one that is not there is fine."""
    from asyncssh import SFTPNoSuchFile

    with suppress(SFTPNoSuchFile):
        await sftp.remove(path)


async def create(sftp: "SFTPClient", path: str) -> "tuple[SFTPClientFile, list[str]]":
    """A new file of mode 0600, and the folders that had to be made for it."""
    from asyncssh import SFTPAttrs, SFTPError, SFTPNoSuchFile

    for tries_left in reversed(range(_TRIES)):
        made = await make_folders(sftp, dirname(path))
        try:
            return await sftp.open(path, "xb", SFTPAttrs(permissions=0o600)), made
        except SFTPError as error:
            await remove_folders(sftp, made)
            # Other uploads make and remove the same folders at the same time.
            if not tries_left or not isinstance(error, SFTPNoSuchFile):
                raise
    raise AssertionError("the last try returns or raises")


async def walk(sftp: "SFTPClient", folder: str, inside: str = "", *, linked: bool = False) -> list[str]:
    """The paths of all files below a folder, from there; one that vanishes meanwhile is left out.

    So is a folder inside that may not be read and cannot hold anything of ours. Links to folders elsewhere are followed
    where a folder of ours may stand, and no deeper than ours are (`linked`): they may lead to a whole disk.
    """
    from asyncssh import SFTPNoSuchFile, SFTPPermissionDenied

    found: list[str] = []
    try:
        entries = [entry async for entry in sftp.scandir(f"{folder}/{inside}" if inside else folder)]
    except SFTPNoSuchFile:
        if inside:
            return found
        raise
    except SFTPPermissionDenied:
        if inside and not is_folder(basename(inside)):
            return found
        raise
    for entry in sorted(entries, key=lambda entry: str(entry.filename)):
        name, mode = str(entry.filename), entry.attrs.permissions or 0
        if name in (".", ".."):
            continue
        path = f"{inside}/{name}" if inside else name
        deep = path.count("/") >= MOST_FOLDERS
        if stat.S_ISDIR(mode) and not (linked and deep):
            found += await walk(sftp, folder, path, linked=linked)
        elif stat.S_ISREG(mode):
            found.append(path)
        elif stat.S_ISLNK(mode) and not deep and is_folder(name) and await _leads_out(sftp, folder, path):
            found += await walk(sftp, folder, path, linked=True)
    return found


async def _leads_out(sftp: "SFTPClient", folder: str, link: str) -> bool:
    """Whether a link leads to a folder, and not to one that is found by its own name."""
    if not await sftp.isdir(f"{folder}/{link}"):
        return False
    root, place = str(await sftp.realpath(folder)), str(await sftp.realpath(f"{folder}/{link}"))
    return not f"{place}/".startswith(f"{root.rstrip('/')}/")


async def finish(sftp: "SFTPClient", file: "SFTPClientFile", path: str) -> int | None:
    """Bring a file to the server's disk, where the server can; its size."""
    from asyncssh import SFTPOpUnsupported

    with suppress(SFTPOpUnsupported):
        await file.fsync()
    await file.close()
    return await size_of(sftp, path)  # by its path: some servers know no size of a file that is open


def write(session: Session, file: "SFTPClientFile", reader: BinaryIO) -> int:
    """Everything that the reader gives, several chunks at once; its size."""
    under_way: deque[Future[int]] = deque()
    position = 0
    try:
        while chunk := reader.read(CHUNK):
            while len(under_way) >= _AT_ONCE:
                session.result(under_way.popleft())
            under_way.append(session.start(file.write(chunk, position)))
            position += len(chunk)
        while under_way:
            session.result(under_way.popleft())
    finally:
        for started in under_way:
            started.cancel()
    return position


class RemoteFile(ObjectStream):
    """A seekable stream of a file, read ahead of its reader; goes on where it was when the connection breaks."""

    def __init__(self, label: str, path: str, connect: Callable[[], Session], retry: RetryPolicy) -> None:
        """Open it. Raises what the session's calls raise."""
        self._label, self._path, self._connect, self._retry = label, path, connect, retry
        self._known: tuple[int | None, int | None] | None = None
        self._session: Session | None = None
        self._ahead: deque[Future[bytes]] = deque()
        self._moved()
        retry.call(self._open)

    def close(self) -> None:
        """End the connection."""
        self._drop()
        super().close()

    @property
    def _size(self) -> int:
        return (self._known and self._known[0]) or 0

    def _moved(self) -> None:
        """Nothing was asked for yet from here on."""
        for started in self._ahead:
            started.cancel()
        self._ahead.clear()
        self._asked, self._window = self._position, 1

    def _chunk(self, wanted: int) -> bytes:
        return self._retry.call(self._next)

    def _open(self) -> Session:
        if self._session is None:
            self._session = self._connect()
            try:
                self._file = self._session.run(self._session.sftp.open(self._path, "rb"))
                attributes = self._session.run(self._file.stat())
            except BaseException:
                self._drop()
                raise
            known = (attributes.size, attributes.mtime)
            if self._known not in (None, known):
                self._drop()
                raise DriveError(f"{self._label}: {self._path} was replaced while it was read", permanent=True)
            self._known = known
        return self._session

    def _next(self) -> bytes:
        """The bytes at the position; the more was read in a row, the more of what follows is asked for too."""
        session = self._open()
        while len(self._ahead) < self._window and self._asked < self._size:
            self._ahead.append(session.start(self._file.read(CHUNK, self._asked)))
            self._asked += CHUNK
        self._window = min(2 * self._window, _AT_ONCE)
        try:
            data = session.result(self._ahead.popleft())
            if len(data) != min(CHUNK, self._size - self._position):
                raise DriveError(f"{self._label}: {self._path} ended after {self._position + len(data)} bytes")
        except BaseException:
            self._drop()
            raise
        return data

    def _drop(self) -> None:
        self._moved()
        if self._session:
            self._session.close()
            self._session = None
