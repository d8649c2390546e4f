"""The rule book of sources: what every database that can be dumped promises.

A source's life in one backup, all of it in the data plane's child process:

1. `list_databases()` says which databases there are to dump, one Backup each.
2. `dump(database, folder)` opens the native tool's byte stream. Leaving the `with` ends the tool, waits for it and
   raises DumpError when it failed; leaving it early ends the tool too. `folder` is the source's own for that time
   (a SQLite copy, a PostgreSQL directory), counts as spool, and is removed by the engine.
3. `accept(dump)` is the gate: it raises DumpError unless the dump is known to be whole and not empty.

`inspect(...)` looks at a dump that was stored. And the way back, for sources that can (`restores`): `restore(...)`
fills a database of the server with a dump, `scratch(...)` is a throwaway server for a drill, `count_rows` and `scalar`
are what a drill asks it.

Errors name the label, what happened and what to do, and hold no secret.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from pydantic import Field

from backupman.drills import Assertion, FreshnessSetting
from backupman.errors import DumpError, RestoreError
from backupman.manifest import Counting, Manifest, TableRows
from backupman.queues import Queue
from backupman.registry import Duration, Provider, Settings, Size

GLOBALS = "_globals"
"""The name of the part that holds what belongs to the whole server: roles, tablespaces, users."""

TAIL = 4096
"""How many of a dump's last bytes the gate looks at for the tool's trailer."""

_CHUNK = 2**18
_AROUND_NAME = 40
"""Bytes that the tools write to make a table, beside its name, at least."""
_FOR_DRILLS = (
    "provider", "label", "tool_path", "db_name", "databases", "format", "suffix", "trailer", "min_size"
)  # fmt: skip
"""Settings that say how a source's dumps are made, and nothing of where."""


@dataclass
class Dump:
    """One dump under way, and what is known of it.

    `stream` is read by the engine up to its end. While it reads, it keeps `size` (bytes so far) and `tail` (the last
    TAIL bytes) up to date for the gate. The source fills `warnings` (sentences for the report; not failures),
    `facts` (versions and the like) and, before the `with` is left, `manifest`.
    """

    stream: BinaryIO
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    manifest: Manifest | None = None
    size: int = 0
    tail: bytes = b""

    def saw(self, chunk: bytes) -> None:
        """Count a chunk that was read from the stream."""
        self.size += len(chunk)
        self.tail = (self.tail + chunk)[-TAIL:] if len(chunk) < TAIL else chunk[-TAIL:]


@dataclass(frozen=True)
class Origin:
    """The dump that a restore reads: how it was made then, whatever the settings say today."""

    database: str
    suffix: str
    """How the tool wrote it, for example `.sql` or `.dump`; the object's name says so."""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Where a restore goes."""

    database: str
    """A name on the server; GLOBALS for what belongs to the whole server; for SQLite the path of a file."""
    overwrite: bool = False
    """Whether what is there under that name is replaced."""
    tables: Sequence[str] = ()
    """Only these; empty: all."""
    jobs: int | None = None
    """How many tables at once, where the format allows it; None: as many as the source's settings say."""
    drill: bool = False
    """Whether it is removed once it was looked at: nothing of the database that was dumped goes over to it."""


class ManifestSettings(Settings):
    """What is noted of a dump's content, for restores and drills to be compared with."""

    rows: Counting = Field(
        default="exact", description="How the rows of each table are counted: `exact`, `estimate` or `none`."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=60), description="How long exact counting may take; then come estimates."
    )


class Source(Provider, ABC):
    """A database, or a server of them, to dump."""

    restores: ClassVar[bool] = False
    """Whether its dumps can be brought back into a server of its kind."""
    stand_ins: ClassVar[Mapping[str, Any]] = {}
    """What a drill has in place of settings that must be there and lead to the server."""

    provider: str = Field(description="The kind of source; the name of its page.")
    label: str = Field(min_length=1, max_length=200, description="The source's name in records and reports.")
    tmp_folder: Path | None = Field(default=None, description="Where dumps are spooled; default `spool.folder`.")
    timeout: Duration | None = Field(default=None, description="A dump that takes longer is ended and has failed.")
    bandwidth: Size | None = Field(
        default=None, ge=2**16, description="Bytes of dump a second that are taken from the database."
    )
    queue: Queue | None = Field(default=None, description="Which workers back it up, instead of the job's `queue`.")
    manifest: ManifestSettings = Field(
        default=ManifestSettings(), description="What is noted of a dump's content: the rows of each table."
    )
    assertions: list[Assertion] = Field(default=[], description="What a drill asks the restored database.")
    freshness: FreshnessSetting | None = Field(
        default=None, description="The query for the time of the newest row; a drill tells its age."
    )
    scratch_server: str | None = Field(
        default=None, description="The label in `scratch_servers` where drills restore; default one made for each."
    )

    def folders(self) -> dict[Path, bool]:
        return super().folders() | ({self.tmp_folder: True} if self.tmp_folder else {})

    @abstractmethod
    def suffix_of(self, database: str) -> str:
        """The ending of a dump's name before the pipeline's own, for example `.sql`."""

    def trailers_of(self, database: str) -> tuple[bytes, ...]:
        """The lines of which one stands at the end of every whole dump; none where the format has no such line."""
        return ()

    @property
    def many(self) -> bool:
        """Whether the source may hold several databases, so that a Backup's label is `label/database`."""
        return False

    @property
    def server(self) -> str:
        """What tells its server from others, for those whose servers hold several databases; else empty."""
        return ""

    @property
    def named(self) -> Sequence[str] | None:
        """The databases of its server that its settings name; None stands for all of them."""
        return ()

    def means(self, database: str) -> bool:
        """Whether its settings may mean this database; what failed before databases were known has no name."""
        return not (database and self.named) or database in self.named

    def others(self, named: Collection[str]) -> list[str]:
        """The users' databases that the account sees on its server, but for those `named`. Raises SourceError."""
        return []

    @abstractmethod
    def list_databases(self) -> list[str]:
        """The databases to dump, in order, `GLOBALS` last; asks the server when `databases: all`.

        Raises:
            SourceError: the server cannot be reached, or refuses the account.
        """

    @abstractmethod
    def dump(self, database: str, folder: Path) -> AbstractContextManager[Dump]:
        """The dump of one database (or of GLOBALS) while the `with` lasts.

        Raises:
            DumpError: on entering or leaving, when the tool is missing or fails, or the account may not read all.
        """

    def accept(self, database: str, dump: Dump) -> None:
        """The gate, called once after the `with` was left without an error.

        Raises:
            DumpError: the dump is empty or its end is missing.
        """
        if dump.size == 0:
            raise DumpError(f"{self.label}: the dump is empty although the tool reported success", permanent=True)
        trailers = self.trailers_of(database)
        if trailers and not any(trailer in dump.tail for trailer in trailers):
            raise DumpError(
                f"{self.label}: the dump is cut off: {trailers[0].decode()!r} is not at its end", permanent=True
            )

    def must_name_its_tables(self, database: str, dump: Dump) -> None:
        """Part of the gate, for dumps that make all tables of their manifest.

        Raises:
            DumpError: it is shorter than its end and the statements that make them.
        """
        names = [table.name for table in dump.manifest.tables] if dump.manifest else []
        least = sum(len(name.encode()) + _AROUND_NAME for name in names)
        if names and dump.size < least + sum(map(len, self.trailers_of(database)[:1])):
            tables = f"{len(names):,} table{'s' if len(names) > 1 else ''}"
            raise DumpError(
                f"{self.label}: the dump has {dump.size:,} bytes, too few for the {tables} that {database} has, "
                "although the tool reported success: run what tool_path names by hand"
            )

    def inspect(self, dump: BinaryIO, origin: Origin, folder: Path) -> None:
        """Read a stored dump to its end and look at its structure: its end, its table of contents, its integrity.

        A read of `dump` may give less than was asked for; an error that it raises is passed on as it is. `folder` is
        the source's own for that time.

        Raises:
            DumpError: it is not whole.
        """
        seen = Dump(dump)
        while chunk := dump.read(_CHUNK):
            seen.saw(chunk)
        self.accept(origin.database, seen)

    @abstractmethod
    def check(self) -> None:
        """Whether the source can be reached and read now; raises SourceError, leaves nothing behind."""

    def target_of(self, name: str) -> str:
        """What `Target.database` is for a database that people call `name`."""
        return name

    def examine(self) -> list[str]:
        """Everything that a dump would need, looked at without one; what is worth a word although a dump would do.

        Raises:
            SourceError: a dump would fail, or would leave something out; the sentence says what to do.
        """
        self.check()
        return []

    def exists(self, database: str) -> bool:
        """Whether the server has a database of that name. Raises RestoreError."""
        raise self.cannot_restore()

    def restore(self, dump: BinaryIO, origin: Origin, target: Target, folder: Path) -> list[str]:
        """Fill a database with a dump, which is read once to its end; the warnings of it.

        Without `overwrite` the target must not exist; it is made, and after any failure or interruption it is gone
        again. A read of `dump` may give less than was asked for. An error that it raises ends the restore and is passed
        on as it is: it says that the dump is not good. `folder` is the source's own for that time.

        Raises:
            RestoreError: the target exists, the server or its client refuses; the sentence holds the first error with
                its statement.
        """
        raise self.cannot_restore()

    def remove(self, database: str) -> None:
        """Drop a database that a restore has made; one that is gone is fine. Raises RestoreError."""
        raise self.cannot_restore()

    def scratch(self, folder: Path, origin: Origin) -> "AbstractContextManager[Source]":
        """A throwaway server of this kind while the `with` lasts, as the Source that reaches it.

        Made of the local binaries in `folder`, on a Unix socket only, by an unprivileged account, fit for dumps of
        `origin`. It knows nothing of this source's server, and nothing of it stays.

        Raises:
            RestoreError: its programs are missing, or it cannot be started.
        """
        raise self.cannot_restore()

    def for_drill(self) -> dict[str, Any]:
        """Its settings as `revealed`, without all that reaches its server: enough to read and restore its dumps."""
        kept = {name: value for name, value in self.revealed().items() if name in _FOR_DRILLS}
        return {**kept, **self.stand_ins}

    def count_rows(self, database: str) -> list[TableRows]:
        """Every table of a database with its rows counted, named as the manifest names them. Raises RestoreError."""
        raise self.cannot_restore()

    def scalar(self, database: str, sql: str, timeout: float) -> str | None:
        """The first value of what one query answers, in a read-only session, as text; None is NULL or no row.

        Raises:
            RestoreError: it is no SQL, would write, or takes longer than `timeout` seconds.
        """
        raise self.cannot_restore()

    def cannot_restore(self) -> RestoreError:
        """What is said where it does not `restores`."""
        return RestoreError(
            f"{self.label}: backupman cannot restore into a source of provider {self.provider}: write the dump to a "
            "file, and restore it with its own program",
            permanent=True,
        )
