"""Makes a SQLite file of a dump: beside its place first, checked there, and under its name only when it is whole."""

import errno
import fcntl
import os
import shutil
import signal
import sqlite3
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from backupman.errors import RestoreError
from backupman.sources._sqlite_content import Check, fault_in
from backupman.writing import NO_HARD_LINKS, flush_folder, write_all

_CHUNK = 2**18
_CHUNKS_AHEAD = 16
"""So many that neither side waits for each turn of the other, which takes its time on a busy machine."""

_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file; of another database it would be taken for changes to this one."""

_NO_ANSWER = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")

_MEANINGS = {
    errno.ENOSPC: "the disk of {folder} is full: make room there",
    errno.EDQUOT: "the quota on the disk of {folder} is used up",
    errno.ENOENT: "there is no folder {folder}: make it, or name another file",
    errno.ENOTDIR: "{folder} is no folder: name another file",
    errno.EACCES: "the account may not write in {folder}: give it the right to",
    errno.EROFS: "{folder} may only be read: name another file",
}


class NotWhole(RestoreError):
    """What was to be restored is no whole database."""


@dataclass(frozen=True)
class Restored:
    """One restore into one place."""

    label: str
    place: Path
    overwrite: bool
    check: Check

    @property
    def part(self) -> Path:
        """Where the file grows; one that a killed restore has left is used again."""
        return self.place.with_name(f".{self.place.name}.part")

    def fill(self, dump: BinaryIO, size: int) -> list[str]:
        """Write, check, give the name; `size` is how many bytes to expect, 0 if that is not known.

        Raises:
            NotWhole: the dump is no whole database.
            RestoreError: the place is taken or in use, or the disk fails.
        """
        with self._explained():
            self._must_be_free()
            self._must_have_room(size)
        with self._growing() as fd:
            self._copy(dump, fd)
            with self._explained():
                self._must_be_whole(fd)
                warnings = self._like_the_old(fd) if self.place.exists() else []
                os.fsync(fd)
                self._give_name(fd)
        return warnings

    def _copy(self, dump: BinaryIO, fd: int) -> None:
        """Write what was read while more is read and unpacked.

        What reading raises is not about this place, and stays as it is.
        """
        with ThreadPoolExecutor(1, "writing") as beside:
            writing = deque[Future[None]]()
            while chunk := dump.read(_CHUNK):
                writing.append(beside.submit(write_all, fd, chunk))
                if len(writing) == _CHUNKS_AHEAD:
                    with self._explained():
                        writing.popleft().result()
            with self._explained():
                for written in writing:
                    written.result()

    def _must_be_free(self) -> None:
        if not os.path.lexists(self.place):
            for end in _BESIDE:
                if os.path.lexists(left := f"{self.place}{end}"):
                    raise self._refusal(
                        f"{left} is left of another database, and would be taken for a part of this one: remove it"
                    )
        elif not self.overwrite:
            raise self._refusal(f"{self.place} is there already: name another file, or let it be overwritten")
        elif not self.place.is_file():
            raise self._refusal(f"{self.place} is not a file: name another")

    def _must_have_room(self, size: int) -> None:
        free = shutil.disk_usage(self.place.parent).free
        if free < size:
            raise self._refusal(
                f"the database needs {size} bytes, and the disk of {self.place.parent} has only {free} free: make room"
            )

    @contextmanager
    def _growing(self) -> Iterator[int]:
        """The part's descriptor, locked for as long as it is ours; whatever happens, the part is gone at the end."""
        with self._explained():
            fd = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                ours = self.part.exists() and self.part.samefile(f"/proc/self/fd/{fd}")
            except BlockingIOError:
                ours = False
            if not ours:
                raise self._refusal(f"another restore writes {self.place} at this moment: wait for its end")
            try:
                os.ftruncate(fd, 0)
                yield fd
            finally:
                self.part.unlink(missing_ok=True)
        finally:
            os.close(fd)

    def _must_be_whole(self, fd: int) -> None:
        """Look through all of it, while it goes to the disk."""
        with ThreadPoolExecutor(1, "flushing") as beside:
            flushing = beside.submit(os.fsync, fd)
            try:
                fault = fault_in(self.part, self.check)
            except sqlite3.Error as error:
                fault = str(error)
            flushing.result()
        if fault:
            raise NotWhole(f"{self.label}: the dump is no whole SQLite database: {fault}", permanent=True)

    def _like_the_old(self, fd: int) -> list[str]:
        """Give the new file the rights of the one that it replaces."""
        old = self.place.stat()
        try:
            if (old.st_uid, old.st_gid) != (os.fstat(fd).st_uid, os.fstat(fd).st_gid):
                os.fchown(fd, old.st_uid, old.st_gid)
        except PermissionError:
            return [f"{self.label}: {self.place} belongs to this account now: give it back to account {old.st_uid}"]
        finally:
            os.fchmod(fd, old.st_mode & 0o777)
        return []

    def _give_name(self, fd: int) -> None:
        try:
            if self.overwrite and self.place.exists():
                with self._nobody_at(self.place):
                    for end in _BESIDE:
                        Path(f"{self.place}{end}").unlink(missing_ok=True)
                    self.part.replace(self.place)
            else:
                self._link()
            flush_folder(self.place.parent)
        except BaseException:
            if not self.overwrite:
                with suppress(OSError):
                    if self.place.samefile(f"/proc/self/fd/{fd}"):
                        self.place.unlink()
            raise

    def _link(self) -> None:
        """A hard link never takes a name that somebody else has just made; FAT and some network disks know none."""
        try:
            self.place.hardlink_to(self.part)
        except FileExistsError as error:
            raise self._refusal(f"{self.place} was made by somebody else meanwhile: name another file") from error
        except OSError as error:
            if error.errno not in NO_HARD_LINKS or os.path.lexists(self.place):
                raise
            self.part.rename(self.place)

    @contextmanager
    def _nobody_at(self, old: Path) -> Iterator[None]:
        """Keep others out of the old file while it is replaced, all of whose changes stand in the file itself then.

        A program that merely has it open, without a lock, would go on writing to a file that has no name any more.
        """
        if users := _users_of(old):
            raise self._refusal(f"{old} is open in {users}: stop it first")
        address = f"file:{quote(os.fsencode(old))}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=0.5)) as database:
            try:
                # Leaves WAL mode, which only the last one at a file can, and so takes in what its log still holds.
                database.execute("PRAGMA journal_mode = delete").fetchall()
                database.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                name = getattr(error, "sqlite_errorname", "")
                if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                    raise self._refusal(f"{old} is in use by another program: stop it first") from error
                if not name.startswith(_DAMAGED):  # what is damaged is just what a restore is for
                    raise self._refusal(f"{old} cannot be locked, and so not be replaced: {error}") from error
            yield

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            meaning = _MEANINGS.get(error.errno or 0, "{place} cannot be written: {said}")
            sentence = meaning.format(folder=self.place.parent, place=self.place, said=error.strerror)
            raise self._refusal(sentence) from error

    def _refusal(self, why: str) -> RestoreError:
        return RestoreError(f"{self.label}: {why}", permanent=True)


def removed(place: Path) -> None:
    """Remove a database's file with what belongs to it, and what a killed restore has left of it."""
    for path in (place, *(Path(f"{place}{end}") for end in _BESIDE), place.with_name(f".{place.name}.part")):
        path.unlink(missing_ok=True)


def _users_of(path: Path) -> str:
    """The programs that have a file open, for a sentence; nothing if none has.

    Linux gives a lease for writing only on a file that nobody else has open; it is given back at once. Not every disk
    and every account can ask for one: then only what /proc shows to the account is known.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # a signal that nobody heeds, should somebody open it just now
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, *_NO_ANSWER):
            raise
        seen = _seen_at(os.fstat(fd), own=fd)
        return seen or ("another program" if error.errno == errno.EAGAIN else "")
    finally:
        os.close(fd)
    return ""


def _seen_at(file: os.stat_result, own: int) -> str:
    found = []
    for program in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for link in (program / "fd").iterdir():
                mine = program.name == str(os.getpid()) and link.name == str(own)
                with suppress(OSError):
                    if not mine and os.path.samestat(link.stat(), file):
                        found.append(f"{(program / 'comm').read_text().strip()} (process {program.name})")
                        break
    return ", ".join(sorted(found))
