"""Where Backupman keeps its own records: the `database` section."""

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from backupman.config._references import fill
from backupman.errors import ConfigError
from backupman.registry import Positive, Settings

_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}
_SHORTEST_TAKEOVER = timedelta(seconds=15)
_ON = frozenset({"true", "yes", "on", "1"})
_OFF = frozenset({"false", "no", "off", "0"})
_MYSQL_TLS = frozenset({"skip-verify", "preferred"})


class Database(Settings):
    """Where Backupman keeps its own records."""

    provider: Literal["sqlite", "postgres", "mysql", "memory"] = Field(
        default="sqlite", description="`memory` forgets everything when the program ends."
    )
    db_path: Path | None = Field(
        default=None, description="SQLite: the file; default `backupman.db` in the state folder."
    )
    host: str = Field(default="127.0.0.1", description="PostgreSQL, MySQL: the server.")
    port: int | None = Field(default=None, ge=1, le=65535, description="PostgreSQL 5432, MySQL 3306 by default.")
    db_name: str = Field(default="backupman", description="PostgreSQL, MySQL: the database, which must exist.")
    user: str | None = Field(default=None, description="PostgreSQL, MySQL: the account.")
    password: SecretStr | None = Field(default=None, description="PostgreSQL, MySQL: its password.")
    tls: str = Field(
        default="false", description="`true` encrypts the connection; MySQL also `skip-verify` and `preferred`."
    )
    url: SecretStr | None = Field(default=None, description="A SQLAlchemy URL instead of all of the above.")
    takeover_after: Positive = Field(
        default=timedelta(seconds=90),
        description="PostgreSQL: how long nothing is heard of a daemon before another one takes over, at least `15s`.",
    )

    @field_validator("tls")
    @classmethod
    def _known_tls(cls, value: str) -> str:
        tls = value.lower()
        if tls in _ON | _OFF:
            return "true" if tls in _ON else "false"
        if tls not in _MYSQL_TLS:
            raise ValueError("should be true or false, or for mysql skip-verify or preferred")
        return tls

    @field_validator("takeover_after")
    @classmethod
    def _long_enough(cls, value: timedelta) -> timedelta:
        if value < _SHORTEST_TAKEOVER:
            raise ValueError("should be at least 15s: what is under way needs that time to end")
        return value

    @field_validator("url")
    @classmethod
    def _known_url(cls, value: SecretStr) -> SecretStr:
        try:
            url = make_url(value.get_secret_value())
            known = url.get_backend_name() in _DRIVERS
        except (ArgumentError, ValueError):  # not chained: it quotes the URL
            known = False
        if not known:
            raise ValueError(
                "should be sqlite:///file, postgresql://user:password@host/name or mysql://… alike"
            ) from None
        if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
            raise ValueError("names no file, so that each command would forget its records: write sqlite:////srv/file")
        return value

    @model_validator(mode="after")
    def _tls_of_the_provider(self) -> Self:
        if self.tls in _MYSQL_TLS and self.provider != "mysql":
            raise ValueError(f"tls should be true or false: {self.tls} is only for mysql")
        return self

    @property
    def on_postgres(self) -> bool:
        """Whether it is one that several hosts can share."""
        return self._url(Path()).get_backend_name() == "postgresql"

    def address(self, state_folder: Path) -> str:
        """The URL for the store, password included; `tls` stands in it as the query that the store understands."""
        return self._url(state_folder).render_as_string(hide_password=False)

    def _url(self, state_folder: Path) -> URL:
        if self.url:
            url = make_url(self.url.get_secret_value())
            return url.set(drivername=_DRIVERS[url.get_backend_name()])
        if self.provider in ("memory", "sqlite"):
            file = str(self.db_path or state_folder / "backupman.db")
            return URL.create("sqlite", database=file if self.provider == "sqlite" else None)
        is_mysql = self.provider == "mysql"
        return URL.create(
            _DRIVERS[self.provider],
            username=self.user,
            password=self.password.get_secret_value() if self.password else None,
            host=self.host,
            port=self.port or (3306 if is_mysql else 5432),
            database=self.db_name,
            query={"tls": self.tls} if is_mysql else {"sslmode": "require"} if self.tls == "true" else {},
        )


def database_at(option: str, url: str) -> Database:
    """The database of a URL as it would stand in the config, its references filled in.

    Raises:
        ConfigError: it is no such URL, or a reference leads nowhere; the sentence names the option.
    """
    filled = fill(url)
    if filled.complaints:
        raise ConfigError(f"{option}: {'; '.join(filled.complaints)}")
    return database_of(option, filled.text)


def database_of(option: str, url: str) -> Database:
    """The database of a URL as it stands. Raises ConfigError, which names the option."""
    try:
        return Database(url=SecretStr(url))
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{option}: {told}") from None
