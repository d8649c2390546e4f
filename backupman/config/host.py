"""What a host says of itself alone: the sections that a worker reads from its own config."""

import os
import socket
from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr

from backupman.config.database import Database
from backupman.config.log import Log
from backupman.queues import Queue
from backupman.registry import Duration, Settings, Size, secrets_in
from backupman.text import without


def default_state_folder() -> Path:
    """`$XDG_STATE_HOME/backupman`; without it systemd's `StateDirectory=`, for root `/var/lib/backupman`."""
    if (shared := Path(os.environ.get("XDG_STATE_HOME", ""))).is_absolute():
        return shared / "backupman"
    if own := os.environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(own)
    home = os.environ.get("HOME")
    return Path(home) / ".local/state/backupman" if home and os.geteuid() != 0 else Path("/var/lib/backupman")


class Spool(Settings):
    """The local folder that dumps pass through."""

    folder: Path | None = Field(default=None, description="Default `<state_folder>/spool`.")
    keep: Duration = Field(default=timedelta(days=3), description="How long a dump whose uploads failed is kept.")
    max_size: Size | None = Field(default=None, description="No single spooled dump may grow larger.")
    min_free: Size | None = Field(default=None, description="Space left free; default 5 % of the disk, at most 1 GiB.")


Rule = Annotated[dict[str, str], Field(min_length=1)]
"""Settings of a source and the patterns that their values fit."""


class WorkerSettings(Settings):
    """What `backupman worker` takes on this host."""

    queues: list[Queue] = Field(default=[], description="The queues that it takes from; `--queue` adds others.")
    take_any: bool = Field(default=True, description="Whether it also takes what names no queue.")
    allow: Annotated[list[Rule], Field(min_length=1)] | None = Field(
        default=None,
        description="The sources that it takes, by patterns of their settings; default all but `command`.",
    )
    hooks: bool = Field(default=False, description="Whether it runs the commands of `hooks` and `on_error` too.")


class HostConfig(Settings):
    """What a host says of itself alone."""

    instance: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=255,
        description="This installation's name in records; default the host's name.",
    )
    state_folder: Path = Field(default_factory=default_state_folder, description="Locks, spool and the default store.")
    database: Database = Field(default_factory=Database, description="Backupman's own records.")
    spool: Spool = Field(default_factory=Spool, description="Where dumps pass through.")
    log: Log = Field(default_factory=Log, description="What the daemon logs, and how its lines look.")
    shutdown_grace: Duration = Field(
        default=timedelta(minutes=1), description="How long running backups may go on when the daemon is stopped."
    )
    nice: int | None = Field(
        default=None, ge=0, le=19, description="The nice value of backups and proofs: with 19 all others go first."
    )
    ionice: Literal["best-effort", "idle"] | None = Field(
        default=None, description="Their turn at the disks: after all others, or only while nobody else wants them."
    )
    max_parallel: int = Field(default=2, ge=1, description="How many backups are under way at once.")
    worker: WorkerSettings = Field(default_factory=WorkerSettings, description="What a worker on this host takes.")
    _hidden: tuple[str, ...] = PrivateAttr(default=())

    def hiding(self, secrets: Iterable[str]) -> Self:
        """This config, which shows none of these texts wherever they stand: what its file took from elsewhere."""
        self._hidden = tuple(sorted(secrets, key=len, reverse=True))
        vars(self).pop("_longest_first", None)
        return self

    def secrets(self) -> set[str]:
        """All texts that nobody is to see."""
        return {*self._hidden, *secrets_in(self)}

    def redact(self, text: str) -> str:
        """The text without any of this config's secrets."""
        redacted: str = _without(self._longest_first, text)
        return redacted

    @cached_property
    def _longest_first(self) -> tuple[str, ...]:
        """Its secrets; kept, because they are asked for with each line of the log."""
        return tuple(sorted(self.secrets(), key=len, reverse=True))

    def folders(self) -> dict[Path, bool]:
        """Every folder that the host's own part names, and whether it is written to."""
        own = [self.spool.folder]
        own += [self.state_folder] if "state_folder" in self.model_fields_set else []
        if self.database.db_path and self.database.provider == "sqlite":
            own.append(self.database.db_path.parent)
        return {folder: True for folder in own if folder}

    def masked(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values under the config's own keys, with every secret masked."""
        shown: dict[str, Any] = _without(
            self._hidden, self.model_dump(mode="json", exclude_defaults=True, by_alias=True)
        )
        return shown


def _without(secrets: Iterable[str], value: Any) -> Any:
    if isinstance(value, str):
        return without(secrets, value)
    if isinstance(value, dict):
        return {key: _without(secrets, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(secrets, item) for item in value]
    return value
