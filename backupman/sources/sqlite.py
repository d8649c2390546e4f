"""SQLite: a file that others go on writing, copied by the online backup API, and looked through while it streams."""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, ClassVar
from urllib.parse import quote

from pydantic import Field, PrivateAttr, field_validator

from backupman.errors import DumpError, RestoreError, SourceError
from backupman.manifest import Manifest, TableRows
from backupman.registry import Duration
from backupman.sources import Dump, Origin, Source, Target
from backupman.sources._sqlite_content import (
    WRITES,
    Check,
    answer,
    beside,
    fault_of,
    mapped,
    oldest_reader,
    opened,
    rows_of,
)
from backupman.sources._sqlite_restore import NotWhole, Restored, removed

_STEP_BYTES = 2**25
_BUSY_SECONDS = 0.5

_NO_RIGHTS = (
    "{path} cannot be opened: give the account the right to read it and, as it may be in WAL mode, "
    "to write in its folder {path.parent}, or keep its own program running meanwhile"
)
_MEANINGS = {
    "SQLITE_NOTADB": "{path} is no SQLite database, or an encrypted one, which only its own program can read",
    "SQLITE_CORRUPT": "{path} is damaged ({said}): look at it with `PRAGMA integrity_check`, restore an earlier dump",
    "SQLITE_BUSY": "{path} stayed locked by another program for {lock_timeout:g} s: end its long transaction, "
    "or raise lock_timeout",
    "SQLITE_CANTOPEN": _NO_RIGHTS,
    "SQLITE_READONLY_DIRECTORY": _NO_RIGHTS,
    "SQLITE_READONLY": "a program that wrote to {path} has died in a transaction, which SQLite rolls back only where "
    "it may write: open the file once with its own program, or with `sqlite3 {path} .tables`",
    "SQLITE_FULL": "the disk of {folder} became full while {path} was copied: make room there, or set tmp_folder",
    "SQLITE_IOERR": "{path} or its copy in {folder} cannot be read or written ({said}): look at the disks",
}
"""What an error of SQLite means to the user, by the start of its name (https://www.sqlite.org/rescode.html)."""

_PERMANENT = ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_READONLY")


class Sqlite(Source):
    """One SQLite file; its dump is a SQLite file too."""

    restores: ClassVar[bool] = True
    stand_ins = {"db_path": "/dev/null"}  # noqa: RUF012 - a ClassVar by the contract

    db_path: Path = Field(description="The database's file. It is opened for reading only, and never created.")
    lock_timeout: Duration = Field(
        default=timedelta(seconds=60), description="How long to wait while another program locks the file."
    )

    _restored_check: Check = PrivateAttr("quick_check")

    @field_validator("bandwidth")
    @classmethod
    def _copied_at_once(cls, bandwidth: int | None) -> None:
        if bandwidth is not None:
            raise ValueError(
                "a SQLite file is copied as fast as it can be, because a slow copy would hold up its writers: "
                "remove bandwidth, and set ionice for all backups"
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
        with (
            copy.open("rb", buffering=0) as stream,
            opened(copy, alone=True) as file,
            beside(file, lambda: self._looked_through(file, copy, facts)) as looking,
        ):
            dump = Dump(stream)
            yield dump
            with self._explained(folder):
                dump.manifest, dump.warnings = looking.result()
        dump.facts = dump.manifest.facts

    def accept(self, database: str, dump: Dump) -> None:
        super().accept(database, dump)
        whole = int(dump.facts["page_count"]) * int(dump.facts["page_size"])
        if dump.size != whole:
            raise DumpError(f"{self.label}: the dump is cut off: it has {dump.size} of {whole} bytes", permanent=True)

    def inspect(self, dump: BinaryIO, origin: Origin, folder: Path) -> None:
        copy = folder / "look.sqlite"
        try:
            Restored(self.label, copy, overwrite=False, check=self._restored_check).fill(dump, _size_of(origin))
        except NotWhole as error:
            raise DumpError(error.sentence, permanent=True) from error
        except RestoreError as error:
            raise SourceError(error.sentence, permanent=error.permanent) from error
        finally:
            copy.unlink(missing_ok=True)

    def check(self) -> None:
        with self._explained(self.db_path.parent), self._reading() as database:
            database.execute("SELECT count(*) FROM sqlite_master")

    def place_of(self, database: str) -> Path:
        """The file of a database: our own by its name, any other by its path, which begins beside our own."""
        own = database == self.db_path.stem
        return Path(os.path.realpath(self.db_path if own else self.db_path.parent / database))

    def exists(self, database: str) -> bool:
        return os.path.lexists(self.place_of(database))

    def restore(self, dump: BinaryIO, origin: Origin, target: Target, folder: Path) -> list[str]:
        if origin.suffix != self.suffix_of(origin.database):
            raise RestoreError(f"{self.label}: a dump of {origin.suffix} is no SQLite database", permanent=True)
        if target.tables:
            raise RestoreError(
                f"{self.label}: a SQLite file is restored whole: restore it under another name, and copy the tables "
                f"{', '.join(target.tables)} from there",
                permanent=True,
            )
        place = self.place_of(target.database)
        restored = Restored(self.label, place, overwrite=target.overwrite, check=self._restored_check)
        return restored.fill(dump, _size_of(origin))

    def remove(self, database: str) -> None:
        try:
            removed(self.place_of(database))
        except OSError as error:
            raise RestoreError(f"{self.label}: {error.filename} cannot be removed: {error.strerror}") from error

    @contextmanager
    def scratch(self, folder: Path, origin: Origin) -> Iterator["Sqlite"]:
        """Files in the folder; what is restored there is checked in full, with all indexes."""
        source = Sqlite(provider=self.provider, label=self.label, db_path=folder / ".none")
        source._restored_check = "integrity_check"
        try:
            yield source
        finally:
            for path in folder.iterdir():
                if path.is_file():
                    path.unlink()

    def count_rows(self, database: str) -> list[TableRows]:
        with self._asked(database) as file:
            return rows_of(file, "exact", None)

    def scalar(self, database: str, sql: str, timeout: float) -> str | None:
        try:
            with self._asked(database) as file:
                return answer(file, sql, timeout)
        except TimeoutError as error:
            raise RestoreError(f"{self.label}: the query took longer than {timeout:g} s, and was ended") from error

    @contextmanager
    def _asked(self, database: str) -> Iterator[sqlite3.Connection]:
        try:
            with opened(self.place_of(database)) as file:
                yield file
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            refused = getattr(error, "sqlite_errorname", "").startswith(WRITES)
            why = f"it may only read ({error})" if refused else error
            raise RestoreError(f"{self.label}: {database} does not answer: {why}", permanent=True) from error

    def _copy_to(self, copy: Path) -> dict[str, str]:
        with self._reading() as database:
            facts = {name: _pragma(database, name) for name in ("page_count", "page_size")}
            self._make_room(copy, int(facts["page_count"]) * int(facts["page_size"]))
            with closing(sqlite3.connect(copy)) as target:
                # Nobody needs the copy after a crash, so neither a journal nor a flush is worth its time.
                target.execute("PRAGMA journal_mode = off")
                target.execute("PRAGMA synchronous = off")
                mapped(database)
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

    def _looked_through(
        self, file: sqlite3.Connection, copy: Path, facts: dict[str, str]
    ) -> tuple[Manifest, list[str]]:
        """What is known of the copy, which is whole, and what is worth a word."""
        if found := fault_of(file, copy, "quick_check"):
            raise DumpError(
                f"{self.label}: {_meaning('SQLITE_CORRUPT', path=self.db_path, said=found)}", permanent=True
            )
        facts = facts | {name: _pragma(file, name) for name in ("encoding", "user_version")}
        tables = rows_of(file, self.manifest.rows, self.manifest.timeout.total_seconds())
        [[objects]] = file.execute("SELECT count(*) FROM sqlite_master")
        manifest = Manifest(provider=self.provider, facts=facts, restorable_by=oldest_reader(file), tables=tables)
        return manifest, [] if objects else [f"{self.label}: {self.db_path} holds no tables"]

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


def _pragma(database: sqlite3.Connection, name: str) -> str:
    [[value]] = database.execute(f"PRAGMA {name}").fetchall()
    return str(value)


def _size_of(origin: Origin) -> int:
    """How large the dump is, as far as its facts tell."""
    return int(origin.facts.get("page_count", 0)) * int(origin.facts.get("page_size", 0))


def _nothing(status: int, remaining: int, total: int) -> None:
    """Python runs signal handlers when it comes here."""
