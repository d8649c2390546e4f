"""SQLite: a file that others go on writing, copied by the online backup API, checked, and then streamed."""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from pydantic import Field

from backupman.errors import DumpError, SourceError
from backupman.registry import Duration
from backupman.sources import Dump, Source

_STEP_BYTES = 2**25
_BUSY_SECONDS = 0.5

_MEANINGS = {
    "SQLITE_NOTADB": "{path} is no SQLite database, or an encrypted one, which only its own program can read",
    "SQLITE_CORRUPT": "{path} is damaged ({said}): look at it with `PRAGMA integrity_check`, restore an earlier dump",
    "SQLITE_BUSY": "{path} stayed locked by another program for {lock_timeout:g} s: end its long transaction, "
    "or raise lock_timeout",
    "SQLITE_READONLY": "a program that wrote to {path} has died in a transaction, which SQLite rolls back only where "
    "it may write: open the file once with its own program, or with `sqlite3 {path} .tables`",
    "SQLITE_CANTOPEN": "{path} cannot be opened: give the account the right to read it and, as it may be in WAL mode, "
    "to write in its folder {path.parent}, or keep its own program running meanwhile",
    "SQLITE_FULL": "the disk of {folder} became full while {path} was copied: make room there, or set tmp_folder",
    "SQLITE_IOERR": "{path} or its copy in {folder} cannot be read or written ({said}): look at the disks",
}
"""What an error of SQLite means to the user, by the start of its name (https://www.sqlite.org/rescode.html)."""

_PERMANENT = ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_READONLY")


class Sqlite(Source):
    """One SQLite file; its dump is a SQLite file too."""

    stand_ins = {"db_path": "/dev/null"}  # noqa: RUF012 - a ClassVar by the contract

    db_path: Path = Field(description="The database's file. It is opened for reading only, and never created.")
    lock_timeout: Duration = Field(
        default=timedelta(seconds=60), description="How long to wait while another program locks the file."
    )

    def folders(self) -> dict[Path, bool]:
        return super().folders() | {self.db_path.parent: self._may_be_wal()}

    def _may_be_wal(self) -> bool:
        """Whether readers write too, into the -shm file: https://www.sqlite.org/fileformat2.html, bytes 18 and 19."""
        try:
            with self.db_path.open("rb") as file:
                return file.read(20)[18:] == b"\x02\x02"
        except OSError:  # not there, or not for us
            return True

    def suffix_of(self, database: str) -> str:
        return ".sqlite"

    def list_databases(self) -> list[str]:
        return [self.db_path.stem]

    def target_of(self, name: str) -> str:
        """A path as it is; a bare name is a file beside the database's own, with the same ending."""
        if "/" in name:
            return str(Path(name).absolute())
        ending = self.db_path.suffix
        return str(self.db_path.absolute().with_name(name if ending and name.endswith(ending) else name + ending))

    @contextmanager
    def dump(self, database: str, folder: Path) -> Iterator[Dump]:
        copy = folder / "copy.sqlite"
        with self._explained(folder):
            facts = self._copy_to(copy)
            tables = self._checked(copy)
        warnings = [] if tables else [f"{self.label}: {self.db_path} holds no tables"]
        with copy.open("rb", buffering=0) as stream:
            yield Dump(stream, warnings, facts)

    def accept(self, database: str, dump: Dump) -> None:
        super().accept(database, dump)
        whole = int(dump.facts["page_count"]) * int(dump.facts["page_size"])
        if dump.size != whole:
            raise DumpError(f"{self.label}: the dump is cut off: it has {dump.size} of {whole} bytes", permanent=True)

    def check(self) -> None:
        with self._explained(self.db_path.parent), self._reading() as database:
            database.execute("SELECT count(*) FROM sqlite_master")

    def _copy_to(self, copy: Path) -> dict[str, str]:
        with self._reading() as database:
            facts = {name: str(_pragma(database, name)) for name in ("page_count", "page_size")}
            self._make_room(copy, int(facts["page_count"]) * int(facts["page_size"]))
            with closing(sqlite3.connect(copy)) as target:
                # Nobody needs the copy after a crash, so neither a journal nor a flush is worth its time.
                target.execute("PRAGMA journal_mode = off")
                target.execute("PRAGMA synchronous = off")
                # The read transaction is what makes it one moment; steps let a signal through in between.
                database.backup(target, pages=_STEP_BYTES // int(facts["page_size"]), progress=_nothing)
        return facts | {"tool": "sqlite", "tool_version": sqlite3.sqlite_version}

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The database in a read transaction: what is committed later is not seen."""
        self._must_be_readable()
        place = quote(os.fsencode(self.db_path.absolute()))
        address = f"file:{place}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)) as database:
            database.execute("BEGIN")
            until = time.monotonic() + self.lock_timeout.total_seconds()
            while True:
                try:
                    database.execute("SELECT count(*) FROM sqlite_master")
                    break
                except sqlite3.OperationalError as error:
                    # SQLite's own wait would be deaf to signals.
                    if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                        raise
            yield database

    def _must_be_readable(self) -> None:
        # Not by opening it: closing it again would drop the locks that SQLite holds on it for this process.
        path = self.db_path
        if not path.exists():
            raise DumpError(f"{self.label}: {path} does not exist: correct db_path", permanent=True)
        if not path.is_file():
            raise DumpError(f"{self.label}: {path} is not a file: set db_path to the database's file", permanent=True)
        if path.stat().st_size == 0:
            raise DumpError(f"{self.label}: {path} is an empty file: there is no database in it", permanent=True)
        if not os.access(path, os.R_OK):
            raise DumpError(f"{self.label}: the account may not read {path}: give it the right to", permanent=True)

    def _make_room(self, copy: Path, size: int) -> None:
        free = shutil.disk_usage(copy.parent).free
        if free < size:
            raise DumpError(
                f"{self.label}: the copy of {self.db_path} needs {size} bytes, and the disk of {copy.parent} has only "
                f"{free} free: make room there, or set tmp_folder"
            )
        os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))

    def _checked(self, copy: Path) -> int:
        """The number of tables, views and indexes in the copy, once `quick_check` has found nothing wrong."""
        # Immutable, or a copy in WAL mode would get files of its own beside it.
        with closing(sqlite3.connect(f"file:{quote(os.fsencode(copy))}?immutable=1", uri=True)) as database:
            [[found]] = database.execute("PRAGMA quick_check(1)").fetchall()
            if found != "ok":
                meaning = _meaning("SQLITE_CORRUPT", path=self.db_path, said=found)
                raise DumpError(f"{self.label}: {meaning}", permanent=True)
            [[tables]] = database.execute("SELECT count(*) FROM sqlite_master")
            return int(tables)

    @contextmanager
    def _explained(self, folder: Path) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            seconds = self.lock_timeout.total_seconds()
            meaning = _meaning(name, path=self.db_path, folder=folder, said=error, lock_timeout=seconds)
            raise DumpError(f"{self.label}: {meaning}", permanent=name.startswith(_PERMANENT)) from error
        except OSError as error:
            sentence = f"{self.label}: {self.db_path} cannot be copied to {folder}: {error.strerror}"
            raise SourceError(sentence) from error


def _meaning(name: str, **details: object) -> str:
    for start, meaning in _MEANINGS.items():
        if name.startswith(start):
            return meaning.format(**details)
    return "{path} cannot be copied: {said}".format(**details)


def _pragma(database: sqlite3.Connection, name: str) -> int:
    [[value]] = database.execute(f"PRAGMA {name}").fetchall()
    return int(value)


def _nothing(status: int, remaining: int, total: int) -> None:
    """Python runs signal handlers when it comes here."""
