"""How a server that speaks MySQL's protocol is reached: the login, TLS, and the session that asks it things."""

import ssl
from abc import ABC
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from pathlib import Path
from socket import AF_UNIX
from socket import socket as Socket
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr

from backupman.errors import ConfigError, DumpError, SourceError
from backupman.registry import Duration
from backupman.sources import Source

try:
    import pymysql
except ImportError as error:
    raise ConfigError("MySQL and MariaDB need the package pymysql: pip install 'backupman[mysql]'") from error

from backupman.sources._mysql_errors import meaning_of, number_of, text_of

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 300
_FOR_EVER = 31536000
_ALL_ROWS = 2**64 - 1

Flavour = Literal["MariaDB", "MySQL"]
TlsMode = Literal["false", "preferred", "skip-verify", "true", "custom"]


def _as_text(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


@dataclass(frozen=True)
class Session:
    """A connection of our own; whoever has it uses it from one thread at a time."""

    connection: "Connection[Cursor]"
    flavour: Flavour
    version: str
    select_limit: int | None = None
    """After how many rows the server ends every answer to others of the account, such as the dump program."""

    @property
    def number(self) -> tuple[int, ...]:
        """The server's version as numbers, for example (10, 11, 19)."""
        return numbers_of(self.version)

    @property
    def comments_databases(self) -> bool:
        """Whether a database of the server has a comment of its own, which stands in no dump."""
        return self.flavour == "MariaDB" and self.number >= (10, 5)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query answers; `%s` stands for a value only if there are values."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def column(self, sql: str, *values: object) -> list[str]:
        """The first column of what a query answers, as text."""
        return [_text(row[0]) for row in self.rows(sql, *values)]


def numbers_of(version: str) -> tuple[int, ...]:
    """A server's version as numbers, for example (10, 11, 19)."""
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class MysqlServer(Source, ABC):
    """The login of a source on a MySQL or MariaDB server."""

    stand_ins = {"user": "nobody"}  # noqa: RUF012 - a ClassVar by the contract

    host: str = Field(default="127.0.0.1", min_length=1, description="The server's name or address, reached over TCP.")
    port: int = Field(default=3306, ge=1, le=65535, description="The server's TCP port.")
    socket: Path | None = Field(default=None, description="The server's socket file; host, port and tls then rest.")
    user: str = Field(min_length=1, description="The account that dumps.")
    password: SecretStr = Field(default=SecretStr(""), description="The account's password.")
    tls: Annotated[TlsMode, BeforeValidator(_as_text)] | None = Field(
        default=None,
        description="`false`: none; `preferred`: if the server can, unverified; `skip-verify`: always, unverified; "
        "`true` or `custom`: always, with certificate and host name verified against `tls_ca` or the system's "
        "authorities. Default: `custom` with any of the `tls_` files, else `preferred`.",
    )
    tls_ca: Path | None = Field(default=None, description="PEM file of the authorities that vouch for the server.")
    tls_cert: Path | None = Field(default=None, description="PEM file of the account's own certificate.")
    tls_key: Path | None = Field(default=None, description="PEM file of the key to `tls_cert`.")
    lock_timeout: Duration = Field(
        default=timedelta(seconds=60),
        ge=timedelta(0),
        description="A dump that waits longer behind a schema change of another session has failed; 0 is for ever.",
    )

    @property
    def place(self) -> str:
        """Where the server is, for sentences."""
        return str(self.socket) if self.socket else f"{self.host}:{self.port}"

    @property
    def tls_mode(self) -> TlsMode:
        """How TLS is used, once the defaults have been applied."""
        if self.socket:
            return "false"
        return self.tls or ("custom" if self.tls_ca or self.tls_cert or self.tls_key else "preferred")

    @property
    def tls_authorities(self) -> Path | None:
        """The file of authorities that a verifying client needs: the configured one, or the system's."""
        if self.tls_mode not in ("true", "custom"):
            return None
        paths = ssl.get_default_verify_paths()
        return self.tls_ca or Path(paths.cafile or paths.openssl_cafile)

    def check(self) -> None:
        with self.session() as session:
            session.rows("SELECT 1")

    @contextmanager
    def session(self, database: str = "") -> Iterator[Session]:
        """A connection of our own while the `with` lasts; an error of the server in it becomes a sentence.

        Raises:
            DumpError: the server cannot be reached, refuses the account, or refused a query in the `with`.
        """
        with self.explained(database), closing(self._connect()) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT VERSION(), @@version_comment, @@sql_select_limit LIMIT 1")
                version, comment, limit = cursor.fetchone() or ("", "", _ALL_ROWS)
                cursor.execute(f"SET SESSION sql_select_limit = {_ALL_ROWS}")
            flavour: Flavour = "MariaDB" if "mariadb" in f"{version} {comment}".lower() else "MySQL"
            yield Session(connection, flavour, version, None if int(limit) == _ALL_ROWS else int(limit))

    @contextmanager
    def explained(self, database: str = "") -> Iterator[None]:
        """Turn an error of PyMySQL, or what a tool said of one, into a sentence that says what to do."""
        try:
            yield
        except pymysql.Error as error:
            raise self._refusal(number_of(error), text_of(error), database) from error
        except SourceError as error:
            number = number_of(error.sentence)
            if meaning_of(number) is None:
                if isinstance(error, DumpError):
                    raise
                raise DumpError(error.sentence, permanent=error.permanent) from error
            raise self._refusal(number, error.sentence.removeprefix(f"{self.label}: "), database) from error

    def _refusal(self, number: int, said: str, database: str) -> DumpError:
        meaning = meaning_of(number)
        if meaning is None:
            return DumpError(self.redact(f"{self.label}: the server at {self.place} said: {said}"))
        advice = meaning.advice.format(
            user=self.user, place=self.place, database=database, lock_timeout=self.lock_timeout.total_seconds()
        )
        return DumpError(self.redact(f"{self.label}: {advice} ({said})"), permanent=meaning.permanent)

    def _connect(self) -> "Connection[Cursor]":
        seconds = ceil(self.lock_timeout.total_seconds()) or _FOR_EVER
        connection = pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            # As bytes: PyMySQL would encode text as Latin-1, which has no euro sign.
            password=self.password.get_secret_value().encode(),
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=seconds + _ANSWER_SECONDS,
            # Names and grants are quoted as we expect it whatever the server's own mode is.
            init_command=f"SET SESSION lock_wait_timeout = {seconds}, sql_mode = '', sql_quote_show_create = 1",
            defer_connect=True,
            **self._tls_options(),
        )
        connection.connect(self._connected_socket())
        return connection

    def _connected_socket(self) -> Socket | None:
        """The socket file's connection, for PyMySQL would leave its own open when nobody listens there."""
        if self.socket is None:
            return None
        connected = Socket(AF_UNIX)
        try:
            connected.settimeout(_CONNECT_SECONDS)
            connected.connect(str(self.socket))
        except OSError as error:
            connected.close()
            raise pymysql.err.OperationalError(2002, f"{error.strerror or error}") from error
        return connected

    def _tls_options(self) -> dict[str, Any]:
        mode = self.tls_mode
        if mode in ("false", "preferred"):
            return {"ssl_disabled": mode == "false"}
        try:
            for path in filter(None, (self.tls_ca, self.tls_cert, self.tls_key)):
                path.read_bytes()  # whose error names the file, which that of the TLS library does not
            context = ssl.create_default_context(cafile=self.tls_ca)
            # Many private authorities break the strictest rules, which MySQL's own clients do not ask for either.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if mode == "skip-verify":
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if self.tls_cert:
                context.load_cert_chain(self.tls_cert, self.tls_key)
        except OSError as error:
            raise SourceError(
                f"{self.label}: a TLS file cannot be used ({error}): correct tls_ca, tls_cert and tls_key",
                permanent=True,
            ) from error
        return {"ssl": context}
