"""Files that appear whole or not at all: made under another name, brought to the disk, then given their own."""

import errno
import io
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TypeVar

from backupman.naming import MOST_FOLDERS, is_folder
from backupman.writing import NO_HARD_LINKS, flush_folder

T = TypeVar("T")

_TRIES = 3


class Reading(io.FileIO):
    """A file whose errors are sentences too."""

    def __init__(self, path: str, explained: "Callable[[], AbstractContextManager[None]]") -> None:
        super().__init__(path, "rb")
        self._explained = explained

    def readinto(self, buffer) -> int | None:  # type: ignore[no-untyped-def]  # Buffer has no name in Python 3.11
        with self._explained():
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with self._explained():
            return super().readall()


def new(file: Path) -> int:
    """A new file of mode 0600, open for writing."""
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def create(file: Path, make: Callable[[Path], T]) -> tuple[T, tuple[Path, ...]]:
    """What `make` makes of a name that is free, and the folders (outermost first, 0700) that had to be made for it."""
    made: list[Path] = []
    for tries_left in reversed(range(_TRIES)):
        try:
            for folder in reversed(file.parents):
                if not folder.is_dir():
                    folder.mkdir(mode=0o700)
                    made.append(folder)
            return make(file), tuple(made)
        except BaseException as error:
            withdraw(None, tuple(made))
            made.clear()
            # Other uploads make and remove the same folders at the same time.
            beside = isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.EEXIST)
            if not tries_left or not beside or file.exists():
                raise
    raise AssertionError("the last try returns or raises")


def give_name(part: Path, final: Path, made: tuple[Path, ...]) -> None:
    """Give a finished file its name, never another's; `made` are the folders that `create` had to make for it.

    A hard link does it in one step, refuses a name that is taken, and exists on NFS too, unlike RENAME_NOREPLACE.
    FAT, exFAT and some network disks know no links: there our own unfinished file keeps other uploads of ours out.

    Raises:
        FileExistsError: the name is taken.
        OSError: the disk failed; nothing stands under the name.
    """
    try:
        os.link(part, final)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        if final.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from error
        part.rename(final)
    try:
        part.unlink(missing_ok=True)
        for folder in (final.parent, *(folder.parent for folder in made)):
            flush_folder(folder)
    except OSError:
        final.unlink(missing_ok=True)
        raise


def files_below(root: Path, unread: Callable[[OSError], None]) -> Iterator[Path]:
    """Every file below a folder, those behind links last.

    Links to folders elsewhere are followed where a folder of ours may stand, and no deeper than ours are: they may lead
    to a whole disk.
    """
    tops = deque([root])
    while tops:
        top = tops.popleft()
        for place, names, files in os.walk(top, onerror=unread):
            folder = Path(place)
            names.sort()
            if len(folder.relative_to(root).parts) < MOST_FOLDERS:
                tops += [folder / name for name in names if is_folder(name) and _leads_out(folder / name, root)]
            elif top != root:
                names.clear()
            yield from (folder / file for file in sorted(files))


def _leads_out(folder: Path, root: Path) -> bool:
    """Whether it is a link, and not one to what is found by its own name."""
    return folder.is_symlink() and not folder.resolve().is_relative_to(root.resolve())


def room(folder: Path) -> tuple[int, int]:
    """The bytes that the account may still fill, and all bytes, of the disk on which a folder is or would be made."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    disk = os.statvfs(there)
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def withdraw(part: Path | None, made: tuple[Path, ...]) -> None:
    """Remove an unfinished file, and the folders that were made for it alone."""
    with suppress(OSError):
        if part:
            part.unlink(missing_ok=True)
    for folder in reversed(made):
        removed(folder)


def removed(folder: Path) -> bool:
    """Whether a folder was empty, and is gone."""
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
