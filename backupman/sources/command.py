"""Any program whose standard output is the dump: mongodump, redis-cli --rdb, etcdctl, …"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, SecretStr

from backupman.errors import DumpError
from backupman.registry import Size
from backupman.sources import Dump, Source
from backupman.sources._process import environment, running


class Command(Source):
    """A program of the user's, started without a shell in a cleared environment."""

    stand_ins = {"argv": ["false"]}  # noqa: RUF012 - a ClassVar by the contract

    argv: list[str] = Field(min_length=1, description="The program and its arguments; no shell reads them.")
    database: str | None = Field(default=None, min_length=1, description="What is dumped, for records; default: label.")
    suffix: str = Field(
        default=".dump", pattern=r"^\.[A-Za-z0-9][A-Za-z0-9._-]*$", description="The ending of the dump's name."
    )
    env: dict[str, SecretStr] = Field(default_factory=dict, description="Variables for the program; never shown.")
    cwd: Path | None = Field(default=None, description="The folder that the program starts in.")
    min_size: Size = Field(default=1, ge=1, description="A dump of fewer bytes has failed.")
    trailer: str | None = Field(
        default=None, min_length=1, description="Text that stands in the last 4 KiB of every whole dump."
    )

    def suffix_of(self, database: str) -> str:
        return self.suffix

    def trailers_of(self, database: str) -> tuple[bytes, ...]:
        return (self.trailer.encode(),) if self.trailer else ()

    def list_databases(self) -> list[str]:
        return [self.database or self.label]

    @contextmanager
    def dump(self, database: str, folder: Path) -> Iterator[Dump]:
        self.check()
        try:
            with running(self.label, self.argv, env=self._environment(), cwd=self.cwd) as tool:
                yield Dump(tool.stdout, facts={"tool": tool.name})
        except DumpError as error:
            # Without its cause: the program may have printed what it was given.
            sentence, output = self.redact(error.sentence), self.redact(error.output)
            raise DumpError(sentence, permanent=error.permanent, output=output) from None

    def accept(self, database: str, dump: Dump) -> None:
        super().accept(database, dump)
        if dump.size < self.min_size:
            raise DumpError(
                f"{self.label}: the dump is cut off: it has {dump.size} bytes, and min_size is {self.min_size}",
                permanent=True,
            )

    def check(self) -> None:
        program = self.argv[0]
        if self.cwd is not None and not (os.access(self.cwd, os.X_OK) and self.cwd.is_dir()):
            raise DumpError(
                f"{self.label}: the folder {self.cwd} is not there, or the account may not enter it: make it, "
                "or correct cwd",
                permanent=True,
            )
        place = os.path.join(self.cwd or "", program) if "/" in program else program  # noqa: PTH118 - keeps the ./
        if shutil.which(place, path=self._environment().get("PATH")) is None:
            raise DumpError(
                f"{self.label}: the program {program} is not there or may not be run: install it, or correct argv",
                permanent=True,
            )

    def _environment(self) -> dict[str, str]:
        return environment({name: value.get_secret_value() for name, value in self.env.items()})
