"""The dump programs of MariaDB and MySQL: which one is there, what it is told, and what it may not be told."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backupman.errors import DumpError
from backupman.sources._mysql_server import Flavour, MysqlServer, Session
from backupman.sources._process import environment, find_tool, output

# The login file is read whatever the other options say, and would override ours.
ENVIRONMENT = {"MYSQL_TEST_LOGIN_FILE": "/dev/null"}

_MARIADB, _MYSQL = "mariadb-client", "mysql-client or default-mysql-client"
_DUMPERS: dict[Flavour, tuple[tuple[str, ...], str]] = {
    "MariaDB": (("mariadb-dump", "mysqldump"), _MARIADB),
    "MySQL": (("mysqldump", "mariadb-dump"), _MYSQL),
}
"""The dump programs to look for and the package that brings them, by what the server is."""

_SHELLS: dict[Flavour, tuple[tuple[str, ...], str]] = {
    "MariaDB": (("mariadb", "mysql"), _MARIADB),
    "MySQL": (("mysql", "mariadb"), _MYSQL),
}
"""The same for the programs that run SQL."""

_VERSIONS: tuple[tuple[Flavour, str], ...] = (
    ("MariaDB", r"(\d+(?:\.\d+)+)-MariaDB"),
    ("MySQL", r"Distrib (\d+(?:\.\d+)+)"),
    ("MySQL", r"Ver (\d+(?:\.\d+)+)"),
)

_DUMP_OPTIONS = (
    "--single-transaction",
    "--quick",
    "--routines",
    "--events",
    "--triggers",
    "--hex-blob",
    "--tz-utc",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
)
_TABLESPACES = "--no-tablespaces"  # which take a right of their own on a server of MySQL
_MYSQL_OPTIONS = (
    "--set-gtid-purged=OFF",
    "--column-statistics=0",
    "--skip-masking-policies",  # they are the server's, and not everybody may ask for them
)
_TABLES_ONLY = ("--skip-routines", "--skip-events")
_SYSTEM_OPTIONS = ("--system=users,servers", "--insert-ignore", "--default-character-set=utf8mb4")
_RESTORE_OPTIONS = (
    "--batch",
    "--binary-mode",
    "--local-infile=0",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
)
_RESTORE_EXTRAS = (
    "--sandbox",
    "--skip-system-command",
    "--skip-print-query-on-error",
    "--skip-progress-reports",
    "--skip-reconnect",
)

_REFUSED = {
    "it would hide the end by which a whole dump is known": (
        "skip-comments comments compact xml result-file tab dir log-error help version print-defaults"
    ),
    "the dump would go on past what it cannot read": "force ignore-error",
    "backupman says itself what is dumped: use db_name, databases, tables or exclude_tables": (
        "databases all-databases system tables add-drop-database"
    ),
    "the login has settings of its own, which no process list shows": (
        "user password password1 password2 password3 host port socket protocol pipe login-path defaults-file "
        "defaults-extra-file defaults-group-suffix no-defaults ssl-key ssl-mode"
    ),
    "the dump would no longer be of one moment": "single-transaction skip-single-transaction lock-all-tables",
    "it would change the server": "flush-logs flush-privileges delete-master-logs delete-source-logs",
}
"""Options that `options` may not hold, by the reason."""


@dataclass(frozen=True)
class Client:
    """An installed program that dumps, or that runs SQL."""

    path: Path
    flavour: Flavour
    version: str
    usage: str

    def knows(self, option: str) -> bool:
        """Whether its `--help` names the option, as in `--name` or `--name=value`."""
        return re.search(rf"{re.escape(option.split('=')[0])}(?![\w-])", self.usage) is not None


def find_client(source: MysqlServer, tool_path: Path | None, server: Session) -> Client:
    """The dump program that fits the server.

    Raises:
        DumpError: there is none, it is no dump program, or it is MySQL's while the server is MariaDB.
    """
    client = _asked(source, *_DUMPERS[server.flavour], tool_path, "dump program")
    if client.flavour == "MySQL" and server.flavour == "MariaDB":
        raise DumpError(
            f"{source.label}: the server is MariaDB {server.version}, of which MySQL's {client.path} does not know all "
            f"(sequences, logins): install MariaDB's own (Debian: {_MARIADB}) or set tool_path",
            permanent=True,
        )
    return client


def find_shell(source: MysqlServer, tool_path: Path | None, server: Session) -> Client:
    """The program that runs SQL and fits the server; it lies where the dump program does.

    Raises:
        DumpError: there is none, or it is too old to take a dump for nothing but SQL.
    """
    folder = tool_path.parent if tool_path and tool_path.is_file() else tool_path
    client = _asked(source, *_SHELLS[server.flavour], folder, "client")
    if not client.knows("--binary-mode"):
        raise DumpError(
            f"{source.label}: {client.path} {client.version} would run commands that stand in a dump: install a newer "
            "one",
            permanent=True,
        )
    return client


def _asked(source: MysqlServer, names: tuple[str, ...], package: str, tool_path: Path | None, kind: str) -> Client:
    """A program, asked once for its version and its options."""
    path = find_tool(source.label, names, tool_path, package)
    said = output(source.label, [str(path), "--version"], env=environment(ENVIRONMENT))
    matches = ((flavour, re.search(pattern, said)) for flavour, pattern in _VERSIONS)
    flavour, version = next(((flavour, found[1]) for flavour, found in matches if found), (None, ""))
    if flavour is None:
        raise DumpError(
            f"{source.label}: {path} is no {kind} of MySQL or MariaDB, it calls itself {said.strip()!r}: "
            "correct tool_path",
            permanent=True,
        )
    usage = output(source.label, [str(path), "--no-defaults", "--help"], env=environment(ENVIRONMENT))
    return Client(path, flavour, version, usage)


def dump_arguments(
    client: Client, database: str, tables: Sequence[str], exclude_tables: Sequence[str], options: Sequence[str]
) -> list[str]:
    """What follows the login in the program's arguments, to dump one database without CREATE DATABASE and USE."""
    own = (_TABLESPACES, *(_MYSQL_OPTIONS if client.flavour == "MySQL" else ()))
    arguments = [*_DUMP_OPTIONS, *(option for option in own if client.knows(option))]
    if tables:
        arguments += _TABLES_ONLY
    arguments += [f"--ignore-table={database}.{table}" for table in exclude_tables]
    # After `--` a name that begins with a dash is still a name.
    return [*arguments, *options, "--", database, *tables]


def system_arguments(source: MysqlServer, client: Client) -> list[str]:
    """What follows the login in the arguments of mariadb-dump, to dump the accounts of the server.

    Raises:
        DumpError: the program is too old to know how.
    """
    if not client.knows("--system"):
        raise DumpError(
            f"{source.label}: {client.path} {client.version} cannot dump accounts: install a newer mariadb-client, or "
            "add _globals to exclude",
            permanent=True,
        )
    return [*_SYSTEM_OPTIONS]


def restore_arguments(client: Client, database: str, *, go_on: bool = False) -> list[str]:
    """What follows the login in the arguments of the program that runs a dump as SQL, and as nothing but SQL.

    In binary mode it knows no command but DELIMITER: none that runs a program, reads a file or writes one. The sandbox,
    where there is one, says it once more.
    """
    arguments = [
        *_RESTORE_OPTIONS,
        *(option for option in _RESTORE_EXTRAS if client.knows(option.replace("skip-", ""))),
    ]
    return [*arguments, *(["--force"] if go_on else []), "--", *([database] if database else [])]


def login(source: MysqlServer, client: Client) -> str:
    """The login as an option file of the client, the only place that holds the password."""
    place = {"socket": str(source.socket)} if source.socket else {"host": source.host, "port": str(source.port)}
    settings = {
        **place,
        "protocol": "socket" if source.socket else "tcp",
        "user": source.user,
        "password": source.password.get_secret_value(),
        **_tls(source, client),
    }
    lines = [name if value is None else f"{name}={_quoted(value)}" for name, value in settings.items()]
    return "\n".join(["[client]", *lines, ""])


def _tls(source: MysqlServer, client: Client) -> dict[str, str | None]:
    files = {"ssl-ca": source.tls_authorities, "ssl-cert": source.tls_cert, "ssl-key": source.tls_key}
    given: dict[str, str | None] = {name: str(path) for name, path in files.items() if path}
    mode = source.tls_mode
    if client.flavour == "MySQL":
        names = {"false": "DISABLED", "preferred": "PREFERRED", "skip-verify": "REQUIRED"}
        known: dict[str, str | None] = {"ssl-mode": names.get(mode, "VERIFY_IDENTITY")}
        if mode == "false" and client.knows("--get-server-public-key"):
            known["get-server-public-key"] = None
        return known if mode == "false" else known | given
    if mode == "false":
        return {"skip-ssl": None}
    verify = "ssl-verify-server-cert" if mode in ("true", "custom") else "skip-ssl-verify-server-cert"
    return {"ssl": None, verify: None, **given}


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    for character, letter in (("\n", "n"), ("\r", "r"), ("\t", "t")):
        escaped = escaped.replace(character, f"\\{letter}")
    return f'"{escaped}"'


def must_be_harmless(options: list[str]) -> list[str]:
    """The options as they are.

    Raises:
        ValueError: one of them breaks the dump, the gate or the secrecy; no message holds the value of an option.
    """
    for option in options:
        if not re.match(r"--[a-zA-Z]", option):
            raise ValueError(
                "every entry of options is one option in its long form with its value, as in --net-buffer-length=64K"
            )
        name = option[2:].split("=")[0].split()[0].replace("_", "-").lower()
        name = re.sub(r"^(loose-)?(disable-|skip-|enable-)?", lambda found: _SWITCHES[found[2] or ""], name)
        for reason, refused in _REFUSED.items():
            # The programs take the start of a name for the name.
            if name in refused.split() or any(known.startswith(name) for known in refused.split()):
                raise ValueError(f"--{name} may not stand in options: {reason}")
    return options


_SWITCHES = {"": "", "skip-": "skip-", "disable-": "skip-", "enable-": ""}


def is_skipped(what: str, options: Sequence[str]) -> bool:
    """Whether the user's own options leave out `triggers`, `events` or `routines`."""
    names = [option[2:].replace("_", "-").lower() for option in options]
    return any(
        name in (f"skip-{what}", f"disable-{what}", f"{what}=0", f"{what}=false", f"{what}=off") for name in names
    )
