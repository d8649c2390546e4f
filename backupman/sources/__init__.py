"""The rule book of sources: what every database that can be dumped promises.

A source's life in one backup, all of it in the data plane's child process:

1. `list_databases()` says which databases there are to dump, one Backup each.
2. `dump(database, folder)` opens the native tool's byte stream. Leaving the `with` ends the tool, waits for it and
   raises DumpError when it failed; leaving it early ends the tool too. `folder` is the source's own for that time
   (a SQLite copy, a PostgreSQL directory), counts as spool, and is removed by the engine.
3. `accept(dump)` is the gate: it raises DumpError unless the dump is known to be whole and not empty.

Errors name the label, what happened and what to do, and hold no secret.
"""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pydantic import Field

from backupman.errors import DumpError
from backupman.registry import Duration, Provider

GLOBALS = "_globals"
"""The name of the part that holds what belongs to the whole server: roles, tablespaces, users."""

TAIL = 4096
"""How many of a dump's last bytes the gate looks at for the tool's trailer."""


@dataclass
class Dump:
    """One dump under way, and what is known of it.

    `stream` is read by the engine up to its end. While it reads, it keeps `size` (bytes so far) and `tail` (the last
    TAIL bytes) up to date for the gate. The source fills `warnings` (sentences for the report; not failures) and
    `facts` (versions and the like, for the manifest).
    """

    stream: BinaryIO
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    size: int = 0
    tail: bytes = b""

    def saw(self, chunk: bytes) -> None:
        """Count a chunk that was read from the stream."""
        self.size += len(chunk)
        self.tail = (self.tail + chunk)[-TAIL:] if len(chunk) < TAIL else chunk[-TAIL:]


class Source(Provider, ABC):
    """A database, or a server of them, to dump."""

    provider: str = Field(description="The kind of source; the name of its page.")
    label: str = Field(min_length=1, max_length=200, description="The source's name in records and reports.")
    tmp_folder: Path | None = Field(default=None, description="Where dumps are spooled; default `spool.folder`.")
    timeout: Duration | None = Field(default=None, description="A dump that takes longer is ended and has failed.")

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

    @abstractmethod
    def check(self) -> None:
        """Whether the source can be reached and read now; raises SourceError, leaves nothing behind."""
