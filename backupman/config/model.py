"""The sections of the config and their defaults; sources, drives and notifiers bring their own settings."""

import os
import socket
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BeforeValidator, Field, SecretStr, SerializeAsAny, field_validator, model_validator

from backupman.config.schedule import check_cron, check_timezone
from backupman.drives import Drive
from backupman.notifiers import Notifier
from backupman.pipeline import Compression, Encryption, Pipeline
from backupman.registry import Duration, Settings, Size
from backupman.retry import RetryPolicy
from backupman.sources import Source


def default_state_folder() -> Path:
    """`$XDG_STATE_HOME/backupman`; for root and services `/var/lib/backupman`."""
    if folder := os.environ.get("XDG_STATE_HOME"):
        return Path(folder) / "backupman"
    if folder := os.environ.get("STATE_DIRECTORY"):
        return Path(folder.split(":")[0])
    return Path("/var/lib/backupman") if os.geteuid() == 0 else Path.home() / ".local/state/backupman"


class Database(Settings):
    """Where Backupman keeps its own records."""

    provider: Literal["sqlite", "postgres", "mysql", "memory"] = Field(
        default="sqlite", description="`memory` forgets everything when the program ends."
    )
    db_path: Path | None = Field(default=None, description="SQLite: the file.")
    host: str = Field(default="127.0.0.1", description="PostgreSQL, MySQL: the server.")
    port: int | None = Field(default=None, description="Default 5432 and 3306.")
    db_name: str = Field(default="backupman", description="PostgreSQL, MySQL: the database, which must exist.")
    user: str | None = Field(default=None, description="PostgreSQL, MySQL: the account.")
    password: SecretStr | None = Field(default=None, description="PostgreSQL, MySQL: its password.")
    tls: str = Field(default="false", description="`true` encrypts the connection; MySQL also `skip-verify`.")
    url: SecretStr | None = Field(default=None, description="A SQLAlchemy URL instead of all of the above.")

    def address(self, state_folder: Path) -> str:
        """The SQLAlchemy URL, password included."""
        if self.url:
            return _with_driver(self.url.get_secret_value())
        if self.provider == "memory":
            return "sqlite://"
        if self.provider == "sqlite":
            return f"sqlite:///{self.db_path or state_folder / 'backupman.db'}"
        driver, port = {"postgres": ("postgresql+psycopg", 5432), "mysql": ("mysql+pymysql", 3306)}[self.provider]
        password = ":" + quote(self.password.get_secret_value(), safe="") if self.password else ""
        account = f"{quote(self.user, safe='')}{password}@" if self.user else ""
        return f"{driver}://{account}{self.host}:{self.port or port}/{quote(self.db_name, safe='')}{self._tls_query()}"

    def _tls_query(self) -> str:
        wanted = self.tls.lower()
        if wanted in ("false", "off", "no", "0"):
            return ""
        if self.provider == "postgres":
            return "?sslmode=require"
        return "?ssl_verify_cert=false&ssl_check_hostname=false&ssl=true" if wanted == "skip-verify" else "?ssl=true"


def _with_driver(url: str) -> str:
    for plain, driver in (
        ("postgresql://", "postgresql+psycopg://"),
        ("postgres://", "postgresql+psycopg://"),
        ("mysql://", "mysql+pymysql://"),
        ("mariadb://", "mysql+pymysql://"),
    ):
        if url.startswith(plain):
            return driver + url.removeprefix(plain)
    return url


class Retention(Settings):
    """Which finished backups are kept."""

    enabled: bool = Field(default=True, description="`false` keeps everything.")
    by: Literal["age"] = Field(default="age", description="The rule.")
    value: int = Field(default=30, ge=1, description="Days that a backup is kept.")


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


Commands = Annotated[list[str | list[str]], BeforeValidator(_one_or_many)]
"""Commands: a string goes to the shell with its placeholders quoted, a list of words is run as it is."""


class Hooks(Settings):
    """Commands around a backup; their placeholders are listed in docs/hooks.md."""

    before_backup: Commands = Field(default=[], description="Run before the dump; a failure fails the backup.")
    after_backup: Commands = Field(default=[], description="Run after every backup, finished or failed.")
    on_error: Commands = Field(default=[], description="Run when a backup has failed.")
    timeout: Duration = Field(default=timedelta(minutes=10), description="A command that takes longer is ended.")


class BackupJob(Settings):
    """The original program's one schedule for everything."""

    enabled: bool = Field(default=False, description="Whether the schedule is on.")
    cron: str | None = Field(default=None, description="5 fields, or 6 with leading seconds.")

    _check_cron = field_validator("cron")(check_cron)


class Http(Settings):
    """The daemon's HTTP server."""

    app_url: str = Field(default="http://localhost:8080", description="The address that links are made with.")
    host: str | None = Field(default=None, description="The address to listen on.")
    port: int = Field(default=8080, description="The port to listen on.")
    api_keys: list[SecretStr] = Field(default=[], description="Keys for `X-Api-Key`.")
    backup_job: BackupJob = Field(default_factory=BackupJob, description="One schedule for all sources.")


class Spool(Settings):
    """The local folder that dumps pass through."""

    folder: Path | None = Field(default=None, description="Default `<state_folder>/spool`.")
    keep: Duration = Field(default=timedelta(days=3), description="How long a dump whose uploads failed is kept.")
    max_size: Size | None = Field(default=None, description="No single spooled dump may grow larger.")
    min_free: Size | None = Field(default=None, description="Space left free; default 5 % of the disk, at most 1 GiB.")


class Retries(Settings):
    """How often a drive's failing calls and uploads are tried again."""

    attempts: int = Field(default=5, ge=1, description="Tries of one part or one upload.")
    first_wait: Duration = Field(default=timedelta(seconds=1), description="Wait after the first; doubled each time.")
    max_wait: Duration = Field(default=timedelta(minutes=1), description="The longest wait.")

    def policy(self) -> RetryPolicy:
        """The policy as drives are handed it."""
        return RetryPolicy(
            attempts=self.attempts,
            first_wait=self.first_wait.total_seconds(),
            max_wait=self.max_wait.total_seconds(),
        )


class Deliveries(Settings):
    """How long and how often a message is tried again."""

    first_wait: Duration = Field(default=timedelta(seconds=5), description="Wait after the first failed attempt.")
    max_wait: Duration = Field(default=timedelta(hours=1), description="The longest wait between two attempts.")
    give_up_after: Duration = Field(default=timedelta(days=3), description="A message this old is given up.")


class Job(Settings):
    """What the config promises: which sources, when, onto which drives, kept how long, who is told."""

    label: str = Field(min_length=1, max_length=200, description="The job's name.")
    cron: str | None = Field(default=None, description="When it runs: 5 fields, or 6 with leading seconds.")
    every: Duration | None = Field(default=None, description="Or: how often it runs.")
    timezone: str | None = Field(default=None, description="The zone of `cron`; default the host's.")
    jitter: Duration | None = Field(default=None, description="A random delay up to this long.")
    data_sources: list[str] | None = Field(default=None, description="Labels of sources; default all.")
    drives: list[str] | None = Field(default=None, description="Labels of drives; default all.")
    notifiers: list[str] | None = Field(default=None, description="Providers or endpoint names; default all.")
    retention: Retention | None = Field(default=None, description="Instead of the top-level `retention`.")
    compression: Compression | None = Field(default=None, description="Instead of `pipeline.compression`.")
    encryption: Encryption | None = Field(default=None, description="Instead of `pipeline.encryption`.")
    hooks: Hooks | None = Field(default=None, description="Instead of the top-level `hooks`.")

    _check_cron = field_validator("cron")(check_cron)
    _check_timezone = field_validator("timezone")(check_timezone)

    @model_validator(mode="after")
    def _one_schedule(self) -> "Job":
        if self.cron and self.every:
            raise ValueError("a job has either cron or every, not both")
        return self


class Config(Settings):
    """Everything that one daemon is told."""

    instance: str = Field(default_factory=socket.gethostname, description="This installation's name in records.")
    state_folder: Path = Field(default_factory=default_state_folder, description="Locks, spool and the default store.")
    database: Database = Field(default_factory=Database, description="Backupman's own records.")
    data_sources: list[SerializeAsAny[Source]] = Field(min_length=1, description="What is dumped.")
    drives: list[SerializeAsAny[Drive]] = Field(min_length=1, description="Where dumps are kept.")
    notifiers: dict[str, list[SerializeAsAny[Notifier]]] = Field(default={}, description="Who is told.")
    pipeline: Pipeline = Field(default_factory=Pipeline, description="Compression and encryption of all jobs.")
    retention: Retention | None = Field(default=None, description="Absent: nothing is ever removed.")
    jobs: list[Job] = Field(default=[], description="Absent: one job holds all sources and all drives.")
    hooks: Hooks = Field(default_factory=Hooks, description="Commands around every backup.")
    on_error: Commands = Field(default=[], description="Commands on errors of backup, prune and verify alike.")
    http: Http = Field(default_factory=Http, description="The daemon's HTTP server.")
    spool: Spool = Field(default_factory=Spool, description="Where dumps pass through.")
    retry: Retries = Field(default_factory=Retries, description="Failing uploads.")
    deliveries: Deliveries = Field(default_factory=Deliveries, description="Failing messages.")
    max_parallel: int = Field(default=2, ge=1, description="How many backups are under way at once.")

    def source(self, label: str) -> Source | None:
        """The source of that label."""
        return next((source for source in self.data_sources if source.label == label), None)

    def drive(self, label: str) -> Drive | None:
        """The drive of that label."""
        return next((drive for drive in self.drives if drive.label == label), None)

    def all_notifiers(self) -> list[Notifier]:
        """Every notifier block, in the order of the file."""
        return [notifier for blocks in self.notifiers.values() for notifier in blocks]

    def masked(self) -> dict[str, Any]:
        """The config as JSON values with every secret masked."""
        return self.model_dump(mode="json", exclude_defaults=True)
