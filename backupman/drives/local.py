"""A folder as a drive: objects are files that appear whole, on disk and under their own name, or not at all."""

import errno
import hashlib
import io
import os
import stat
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import Field

from backupman.drives import PART, Drive, Linkable, Opened, Stat, Stored, valid_name
from backupman.drives._files import Reading, create, files_below, give_name, new, removed, room, withdraw
from backupman.drives._mounts import disk_of
from backupman.errors import DriveError, ObjectNotFound
from backupman.naming import is_folder
from backupman.registry import Size
from backupman.text import space
from backupman.writing import write_all

_CHUNK = 2**18
_LOOK_EVERY = 2**24
"""After so many bytes the room on the disk is looked at again."""

_MEANINGS = {
    errno.ENOSPC: "the disk of {folder} is full: make room, or let the retention remove more",
    errno.EDQUOT: "the quota of the disk of {folder} is used up: make room, or raise it",
    errno.EFBIG: "the disk of {folder} takes no files of that size: use another file system, or raise the limit",
    errno.EACCES: "the account may not write in {folder}: give it the right to (chown or chmod), or set another folder",
    errno.EPERM: "the account may not write in {folder}: give it the right to (chown or chmod), or set another folder",
    errno.EROFS: "the disk of {folder} is mounted read-only: mount it for writing, or, where the unit for systemd "
    "keeps it closed, call `backupman install-service`, and start the service anew",
    errno.ENOTDIR: "{folder}, or something on the way to it, is a file and not a folder: set another folder",
    errno.ENOENT: "{folder} is not there: mount its disk, or make the folder",
    errno.ENOTCONN: "the disk of {folder} is not connected any more: mount it again",
    errno.ESTALE: "the disk of {folder} is not connected any more: mount it again",
    errno.EIO: "the disk of {folder} has errors: look at it, and at its cable",
}
"""What an error of the system means to the user."""

_DENIED = frozenset({errno.EACCES, errno.EPERM})
_PERMANENT = _DENIED | {errno.EFBIG, errno.EROFS, errno.ENOTDIR}


class Local(Drive):
    """A folder of this machine: a disk of its own, or something mounted. A ref is the path inside the folder."""

    folder: Path = Field(description="Where the objects stand; made when it is not there, with mode 0700.")
    mount: Path | None = Field(
        default=None,
        description="A mount point that must be mounted; otherwise nothing is written, instead of onto the wrong disk.",
    )
    require_mount: bool = Field(
        default=False, description="The same for whatever is mounted at the folder, or around it, below `/`."
    )
    min_free: Size | None = Field(
        default=None, description="Space left free on the disk; default 5 % of it, at most 1 GiB."
    )

    def folders(self) -> dict[Path, bool]:
        return super().folders() | {self.folder: True}

    def warnings(self) -> list[str]:
        found = super().warnings()
        if not self.mount and not self.require_mount and (place := disk_of(self._root)):
            found.append(
                f"{self.label}: nothing says that the disk of {place} must be mounted, and while it is not, backups "
                f"would go onto the disk below it: add `mount: {place}`"
            )
        return found

    def path(self, name: str) -> str:
        return str(self._root / valid_name(self.label, name))

    def upload(self, reader: BinaryIO, name: str, metadata: Mapping[str, str], opened: Opened | None = None) -> Stored:
        final = Path(self.path(name))
        part = final.with_name(final.name + PART)
        with self._explained():
            self._mounted()
            if final.exists():  # the link below is what holds; this only spares the bytes
                raise self._taken(final)
            self._has_room()
            fd, made = create(part, lambda file: _begin(file, reader))
        try:
            size, sha256 = self._follow(cast(Linkable, reader)) if fd is None else self._fill(fd, reader)
            with self._explained():
                self._publish(part, final, made)
        except BaseException:
            withdraw(part, made)
            raise
        return Stored(ref=name, size=size, checksums={"sha256": sha256})

    def open(self, ref: str) -> BinaryIO:
        with self._explained(ref):
            self._there(ref)
            return cast(BinaryIO, io.BufferedReader(Reading(self.path(ref), self._explained), _CHUNK))

    def delete(self, ref: str) -> None:
        file = Path(self.path(ref))
        with self._explained():
            self._there(ref)
            file.unlink(missing_ok=True)
            self._tidy(file.parent)

    def stat(self, ref: str) -> Stat:
        with self._explained(ref):
            self._there(ref)
            found = Path(self.path(ref)).stat()
            if not stat.S_ISREG(found.st_mode):  # to read a pipe or a device may never end
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), ref)
            return Stat(size=found.st_size)

    def list(self, prefix: str = "") -> Iterator[str]:
        with self._explained():
            self._there()
            for file in files_below(self._root, self._unread):
                name = str(file.relative_to(self._root))
                if name.startswith(prefix) and not name.endswith(PART):
                    yield name

    def _unread(self, error: OSError) -> None:
        """A folder that may not be read is no fault where it cannot hold anything of ours."""
        folder, denied = Path(error.filename), error.errno in _DENIED
        if not denied or folder == self._root or is_folder(folder.name):
            raise error

    def find(self, name: str) -> str | None:
        with self._explained():
            self._there(name)
            return name if Path(self.path(name)).is_file() else None

    def check(self) -> None:
        probe = self._root / f".backupman-check-{uuid.uuid4().hex}{PART}"
        with self._explained():
            self._mounted()
            self._has_room()
            fd, made = create(probe, new)
            try:
                os.write(fd, b"backupman")
                os.fsync(fd)
            finally:
                os.close(fd)
                withdraw(probe, made)

    def abort(self, name: str, session: str | None) -> None:
        final = Path(self.path(name))
        with self._explained():
            final.with_name(final.name + PART).unlink(missing_ok=True)
            self._tidy(final.parent)

    @property
    def _root(self) -> Path:
        return self.folder.absolute()

    def _mounted(self) -> None:
        if self.mount and not self.mount.is_mount():
            raise DriveError(f"{self.label}: nothing is mounted at {self.mount}: mount its disk")
        root = Path(os.path.realpath(self._root))
        places = (root, *root.parents)[:-1]
        if self.require_mount and not any(place.is_mount() for place in places):
            raise DriveError(f"{self.label}: nothing is mounted at {self._root} or above it: mount its disk")

    def _there(self, ref: str = "") -> None:
        """A disk that is away must never look like one whose objects are gone; a link may lead to one of its own."""
        self._mounted()
        self._root.stat()
        for folder in (self._root / ref).parents if ref else ():
            if folder.is_symlink():
                folder.stat()

    def _has_room(self) -> None:
        """Stop before the disk is full: whatever else lives on it would fail too."""
        free, total = room(self._root)
        wanted = min(total // 20, 2**30) if self.min_free is None else self.min_free
        if free < wanted:
            raise DriveError(
                f"{self.label}: only {space(free)} are free on the disk of {self._root}, and min_free wants "
                f"{space(wanted)}: make room, or let the retention remove more"
            )

    def _tidy(self, folder: Path) -> None:
        """Remove a folder and those around it while they are empty; never the drive's own."""
        while folder != self._root and removed(folder):
            folder = folder.parent

    def _follow(self, reader: Linkable) -> tuple[int, str]:
        """The size and sha256 of a file that others fill."""
        whole = reader.whole()
        with self._explained():
            self._has_room()
        return whole

    def _fill(self, fd: int, reader: BinaryIO) -> tuple[int, str]:
        """Everything that the reader gives, down to the disk; its size and sha256. Closes the file."""
        size, digest = 0, hashlib.sha256()
        try:
            while chunk := reader.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                with self._explained():
                    write_all(fd, chunk)
                    if size // _LOOK_EVERY != (size - len(chunk)) // _LOOK_EVERY:
                        self._has_room()
            with self._explained():
                os.fsync(fd)
                if (written := os.fstat(fd).st_size) != size:
                    raise DriveError(f"{self.label}: {written} of {size} bytes stand on the disk of {self._root}")
        finally:
            os.close(fd)
        return size, digest.hexdigest()

    def _publish(self, part: Path, final: Path, made: "tuple[Path, ...]") -> None:
        try:
            give_name(part, final, made)
        except FileExistsError as error:
            raise self._taken(final) from error

    def _taken(self, final: Path) -> DriveError:
        return DriveError(f"{self.label}: {final} is already there, and nothing was overwritten", permanent=True)

    @contextmanager
    def _explained(self, ref: str | None = None) -> Iterator[None]:
        """Turn an error of the system into a sentence; a missing file is `ref`'s, a missing folder the drive's."""
        try:
            yield
        except OSError as error:
            place = Path(str(error.filename or self._root))
            # Not Path's, which raise where a folder may not be entered; what stands behind that, nobody knows.
            away = error.errno not in _DENIED and os.path.islink(place) and not os.path.exists(place)  # noqa: PTH110, PTH114
            if ref is not None and error.errno in (errno.ENOENT, errno.ENOTDIR) and self._root.is_dir() and not away:
                raise ObjectNotFound(f"{self.label}: there is no {ref} in {self._root}", permanent=True) from error
            if error.errno == errno.EEXIST and str(error.filename).endswith(PART):
                raise DriveError(
                    f"{self.label}: {error.filename} is there: another upload of that name is under way, or has died",
                    permanent=True,
                ) from error
            number = errno.ENOTDIR if error.errno == errno.EEXIST else error.errno or 0
            if away:  # whatever the system says of a link that leads nowhere
                number = errno.ENOENT
            meaning = _MEANINGS.get(number, "{folder} cannot be used: {said}")
            sentence = meaning.format(folder=place if away else self._root, said=error.strerror)
            raise DriveError(f"{self.label}: {sentence}", permanent=number in _PERMANENT) from error


def _begin(part: Path, reader: BinaryIO) -> int | None:
    """The unfinished file, open for writing; None where it is the very file that the reader reads."""
    return None if isinstance(reader, Linkable) and reader.link(part) else new(part)
