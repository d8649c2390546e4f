"""Where a PostgreSQL source's server is, how it is logged in to, and what its refusals mean."""

from abc import ABC
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from backupman.errors import DumpError, SourceError
from backupman.registry import Duration
from backupman.sources import Source
from backupman.sources._postgres_client import Login, find_program, logged_in
from backupman.sources._postgres_errors import MEANINGS, Meaning, explained

TlsMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class PostgresLogin(Source, ABC):
    """The login of a source on a PostgreSQL server."""

    host: str = Field(default="localhost", min_length=1, description="The server's name or address.")
    port: int = Field(default=5432, ge=1, le=65535, description="The server's port, which also names its socket.")
    socket: Path | None = Field(default=None, description="The folder of the server's socket; `host` then rests.")
    maintenance_db: str = Field(
        default="postgres", min_length=1, description="Where the names of all databases, and the roles, are asked for."
    )
    user: str | None = Field(
        default=None, min_length=1, description="The role that dumps; default: the account's name."
    )
    password: SecretStr = Field(
        default=SecretStr(""), description="The role's password; without it libpq looks into `~/.pgpass`."
    )
    tls: bool | None = Field(
        default=None,
        description="`true`: always TLS, verified against `tls_ca` if that is given; `false`: never; default: if the "
        "server can.",
    )
    tls_mode: TlsMode | None = Field(default=None, description="libpq's own `sslmode`, instead of `tls`.")
    tls_ca: Path | None = Field(
        default=None, description="The file of the authority to verify the server against; `system` from libpq 16 on."
    )
    tls_cert: Path | None = Field(default=None, description="The client's certificate.")
    tls_key: Path | None = Field(default=None, description="The client's private key, mode 0600.")
    tool_path: Path | None = Field(
        default=None, description="pg_dump, or the folder of PostgreSQL's programs; default: the newest installed."
    )
    lock_timeout: Duration = Field(
        default=timedelta(seconds=60), description="How long to wait behind a schema change; 0 is for ever."
    )

    def _program(self, name: str) -> Path:
        return find_program(self.label, name, self.tool_path)

    def _logged_in(self, database: str) -> AbstractContextManager[Login]:
        modes = {True: "verify-full" if self.tls_ca else "require", False: "disable", None: None}
        where = {
            "host": self.socket or self.host,
            "port": self.port,
            "dbname": database,
            "user": self.user,
            "sslmode": self.tls_mode or modes[self.tls] or ("verify-full" if self.tls_ca else None),
            "sslrootcert": self.tls_ca,
            "sslcert": self.tls_cert,
            "sslkey": self.tls_key,
        }
        return logged_in(where, self.password.get_secret_value())

    @contextmanager
    def _explained(self, meanings: Sequence[Meaning] = MEANINGS) -> Iterator[None]:
        facts = {
            "user": self.user or "the account",
            "where": str(self.socket or f"{self.host}:{self.port}"),
            "lock_timeout": self.lock_timeout.total_seconds(),
        }
        try:
            yield
        except SourceError as error:
            better = explained(error, self.label, facts, meanings)
            sentence = self.redact(error.sentence) if better is error else better.sentence
            raise DumpError(sentence, permanent=better.permanent) from error
