"""Where a restore goes: into which server, under which name, and whether something is replaced there."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import SecretStr, ValidationError

from backupman.config import Config
from backupman.config._mistakes import mistakes
from backupman.errors import ConfigError, NotFoundError
from backupman.records import Backup
from backupman.registry import nearest, provider_class
from backupman.sources import GLOBALS, Source

_PROVIDERS = {"postgresql": "postgres", "postgres": "postgres", "mysql": "mysql", "mariadb": "mariadb"}
_KIN = {"mariadb": "mysql"}
"""Providers that read each other's dumps."""
_LONGEST = 63
"""Bytes of a name: PostgreSQL's bound, which is one less than MySQL's."""

Ask = Callable[[str], str]
"""Asks for the password of an account; nothing is none."""


@dataclass(frozen=True)
class Destination:
    """A database on a server. `name` is what somebody has to write who wants what is there replaced."""

    source: Source
    database: str
    replaces: bool

    @property
    def name(self) -> str:
        """The database, or the file."""
        return self.database

    @property
    def place(self) -> str:
        """For people, and what two restores must not share: `shop on cluster`; a file's path."""
        return self.database if "/" in self.database else f"{self.database} on {self.source.label}"

    @property
    def replaced(self) -> str:
        """What is changed by a restore that replaces something, for people."""
        if self.database == GLOBALS:
            return f"roles and accounts on {self.source.label}"
        return f"the file {self.database}" if "/" in self.database else f"the database {self.place}"


def into_source(
    config: Config,
    backup: Backup,
    at: datetime,
    *,
    label: str | None,
    name: str | None,
    clean: bool,
    instead: str = "by --to-source, a server by --url, or a file by --output",
) -> Destination:
    """A database of the backup's own source, or of the one with that label.

    `instead` is how the caller names another one where the own source is gone.

    Raises:
        NotFoundError: there is no such source.
        ConfigError: it is of another kind.
        RestoreError: nothing can be restored into such a source.
    """
    source = config.source(label or backup.source)
    if source is None and label:
        labels = [each.label for each in config.data_sources]
        raise NotFoundError(f"there is no source {label!r}{nearest(label, labels)}; the config has {', '.join(labels)}")
    if source is None:
        raise ConfigError(
            f"{backup.label}: its source {backup.source!r} is not in the config any more: name another one {instead}"
        )
    return _destination(source, backup, at, name, clean=clean)


def into_server(backup: Backup, at: datetime, url: str, ask: Ask, *, name: str | None, clean: bool) -> Destination:
    """A database of another server, or a file: `postgresql://user@host:5432/db`, `mysql://…`, `sqlite:///path`.

    A query names more settings of the source (`?tls_mode=verify-full`). Without a password in the URL it is asked for.

    Raises:
        ConfigError: the URL is wrong, or the server of another kind. No sentence holds the password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError("--url: this is no URL: write for example postgresql://user@host:5432/database") from error
    if parts.scheme == "sqlite":
        if not parts.path.strip("/"):
            raise ConfigError("--url: sqlite:// needs the whole path of a file: sqlite:///srv/app.sqlite")
        file = f"/{unquote(parts.path).lstrip('/')}"
        source = _source("sqlite", {"label": file, "db_path": file})
        return _destination(source, backup, at, file, clean=clean)
    if parts.scheme not in _PROVIDERS:
        raise ConfigError("--url: it begins with postgresql://, mysql://, mariadb:// or sqlite:///")
    database = unquote(parts.path.strip("/"))
    if database and name:
        raise ConfigError("--url names a database already: leave it out there, or leave out --to-database")
    provider = _PROVIDERS[parts.scheme]
    source = _source(provider, _settings(parts, port, database or backup.database, ask))
    return _destination(source, backup, at, name or database or None, clean=clean)


def _settings(parts: SplitResult, port: int | None, database: str, ask: Ask) -> dict[str, Any]:
    host, user = unquote(parts.hostname or "localhost"), unquote(parts.username or "")
    server = f"{host}:{port}" if port else host
    known: dict[str, Any] = {"label": server, "host": host, "db_name": database} | dict(parse_qsl(parts.query))
    if port:
        known["port"] = port
    if user:
        known["user"] = user
    password = unquote(parts.password) if parts.password else ask(f"{user}@{server}" if user else server)
    return known | ({"password": SecretStr(password)} if password else {})


def _source(provider: str, settings: dict[str, Any]) -> Source:
    cls = provider_class("sources", Source, provider)  # type: ignore[type-abstract]
    settings = {"provider": provider} | settings
    try:
        return cls.model_validate(settings)
    except ValidationError as error:
        place, sentence = next(mistakes(cls, settings, error))
        where = ".".join(map(str, place)) or "it"
        raise ConfigError(f"--url: {where}: {sentence}") from None


def _destination(source: Source, backup: Backup, at: datetime, name: str | None, *, clean: bool) -> Destination:
    if not source.restores:
        raise source.cannot_restore()
    if _kind(source.provider) != _kind(backup.source_provider):
        raise ConfigError(
            f"{backup.label}: a dump of {backup.source_provider} cannot go into {source.label}, which is "
            f"{source.provider}"
        )
    if backup.database == GLOBALS:
        if name:
            raise ConfigError(f"{backup.label}: roles and accounts belong to the whole server: leave the name out")
        return Destination(source, GLOBALS, replaces=True)
    called = name or (backup.database if clean else new_name(backup.database, at))
    return Destination(source, source.target_of(called), replaces=clean)


def new_name(database: str, at: datetime) -> str:
    """`shop_restored_202611210930`, short enough for every server."""
    ending = f"_restored_{at:%Y%m%d%H%M}"
    return database.encode()[: _LONGEST - len(ending)].decode(errors="ignore") + ending


def _kind(provider: str) -> str:
    return _KIN.get(provider, provider)


def must_be_confirmed(destination: Destination, said: str | None) -> None:
    """Raise ConfigError unless who asks has named what is replaced."""
    if destination.replaces and said != destination.name:
        raise ConfigError(f"{destination.replaced} would be replaced: confirm it by naming {destination.name!r}")
