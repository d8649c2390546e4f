"""The HTTP server's section: where it listens, who may do what, and what scripts may tell it."""

import hashlib
import ipaddress
import re
from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator

from backupman.registry import Settings
from backupman.schedule import check_cron

Port = Annotated[int, Field(ge=1, le=65535)]


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    RUN = "run"
    DOWNLOAD = "download"
    RESTORE = "restore"
    INGEST = "ingest"
    ADMIN = "admin"


class ApiKey(Settings):
    """A key for `X-Api-Key`: the key itself, or its sha256 in hex, so that the config holds no secret."""

    name: str = Field(min_length=1, max_length=255, description="Whose key it is, for the log and the records.")
    key: Annotated[SecretStr, Field(min_length=1)] | None = Field(default=None, description="The key.")
    key_sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$", description="Its sha256 instead.")
    scopes: list[Scope] = Field(
        default=[Scope.READ], min_length=1, description="What it may do; `admin` is everything."
    )

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.key is None) == (self.key_sha256 is None):
            raise ValueError("needs either key or key_sha256")
        return self

    def digest(self) -> str:
        """The sha256 of the key, in lower-case hex."""
        if self.key_sha256:
            return self.key_sha256.lower()
        return hashlib.sha256(self.key.get_secret_value().encode() if self.key else b"").hexdigest()


def _plain_key(value: object) -> object:
    """A plain string is a key with every scope, as the original program had them."""
    return {"name": "api key", "key": value, "scopes": list(Scope)} if isinstance(value, str) else value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError("is neither an address nor a network, such as 127.0.0.1 or 10.0.0.0/8") from error
    return value


def _path(value: str) -> str:
    path = "/" + value.strip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", path.rstrip("/")):
        raise ValueError("should be a path such as /backups, of letters, digits and . _ ~ -")
    return path.rstrip("/")


class BackupJob(Settings):
    """The original program's one schedule for everything."""

    enabled: bool = Field(default=False, description="Whether the schedule is on.")
    cron: str | None = Field(default=None, description="5 fields, or 6 with leading seconds.")

    _check_cron = field_validator("cron")(check_cron)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.enabled and not self.cron:
            raise ValueError("is enabled and needs a cron")
        return self


class Http(Settings):
    """The daemon's HTTP server."""

    app_url: str | None = Field(
        default=None, description="The address that links are made with; default `http://localhost` and the port."
    )
    host: str | None = Field(default=None, description="The address to listen on; default all, without keys loopback.")
    port: Port = Field(default=8080, description="The port to listen on.")
    api_keys: list[Annotated[ApiKey, BeforeValidator(_plain_key, json_schema_input_type=str | ApiKey)]] = Field(
        default=[], description="Keys for `X-Api-Key`."
    )
    dashboard: bool = Field(default=True, description="Whether people can look at it with a browser.")
    base_path: Annotated[str, AfterValidator(_path)] | None = Field(
        default=None,
        description="The path that a proxy shows it below, `/backups`; default that of `app_url`; read at the start.",
    )
    trusted_proxies: list[Annotated[str, AfterValidator(_network)]] = Field(
        default=[], description="Addresses or networks whose `X-Forwarded-For` is believed; read at the start."
    )
    backup_job: BackupJob = Field(default_factory=BackupJob, description="One schedule for all sources.")

    @field_validator("api_keys")
    @classmethod
    def _each_once(cls, keys: list[ApiKey]) -> list[ApiKey]:
        known: dict[str, ApiKey] = {}
        for key in keys:
            if (first := known.setdefault(key.digest(), key)) is not key:
                raise ValueError(f"{first.name!r} and {key.name!r} are the same key: which scopes it has must be plain")
        return keys

    def url(self) -> str:
        """What the links of the API begin with."""
        return self.app_url or f"http://localhost:{self.port}"

    def path(self) -> str:
        """Below which path everything is, without a slash at its end; nothing if it is the root."""
        return urlsplit(self.app_url or "").path.rstrip("/") if self.base_path is None else self.base_path

    def at_start(self) -> dict[str, object]:
        """What the server is started with, by the name of the setting."""
        return {
            "host": self.address(),
            "port": self.port,
            "base_path": self.path(),
            "trusted_proxies": self.trusted_proxies,
        }

    def address(self) -> str:
        """Where to listen: without any key nobody but this machine may talk to the API."""
        return self.host or ("0.0.0.0" if self.api_keys else "127.0.0.1")  # noqa: S104 - a service with keys
