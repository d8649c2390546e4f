"""The accounts and grants of a server as SQL: all of MySQL's, of whose tools not every one dumps them on their own, and
what MariaDB's tool leaves out.
"""

import io
import json
import re
from typing import BinaryIO

from backupman.sources._mysql_grants import quoted
from backupman.sources._mysql_server import Session

_OWN = ("mysql.infoschema", "mysql.session", "mysql.sys")
_ACCOUNTS = "SELECT User, Host FROM mysql.user WHERE User NOT IN %s ORDER BY User, Host"
_DEFAULT_ROLES = """
SELECT User, Host, DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST FROM mysql.default_roles ORDER BY 1, 2, 3, 4
"""
_PLUGINS = """
SELECT PLUGIN_NAME, PLUGIN_LIBRARY FROM information_schema.PLUGINS
WHERE PLUGIN_TYPE = 'AUTHENTICATION' AND PLUGIN_STATUS = 'ACTIVE' AND PLUGIN_LIBRARY IS NOT NULL ORDER BY PLUGIN_NAME
"""
_NAME = r"`(?:[^`]|``)*`@`(?:[^`]|``)*`"
_DEFAULT_ROLE = re.compile(rf" DEFAULT ROLE {_NAME}(?:,\s*{_NAME})*")


def accounts_script(session: Session) -> str:
    """One script that makes every account but the server's own; one that is there already keeps its password.

    Accounts come first, for a role is an account that others are granted; default roles come last, for they must have
    been granted.
    """
    if session.number >= (8, 0, 17):
        # Or a salt that is no text would break the script.
        session.rows("SET SESSION print_identified_with_as_hex = ON")
    accounts = [_account(*row) for row in session.rows(_ACCOUNTS, _OWN)]
    lines = [f"-- Accounts and grants of MySQL {session.version}, without databases", "SET NAMES utf8mb4;"]
    if revokes_partially(session):
        lines.insert(
            1, "-- Some of them mean more where partial_revokes is OFF: SET GLOBAL partial_revokes = ON there first"
        )
    for account in accounts:
        made = _DEFAULT_ROLE.sub("", session.column(f"SHOW CREATE USER {account}")[0], count=1)
        lines.append(f"{made.replace('CREATE USER', 'CREATE USER IF NOT EXISTS', 1)};")
    for account in accounts:
        lines += [f"{grant};" for grant in session.column(f"SHOW GRANTS FOR {account}")]
    if session.number >= (8,):
        roles: dict[str, list[str]] = {}
        for user, host, role, role_host in session.rows(_DEFAULT_ROLES):
            roles.setdefault(_account(user, host), []).append(_account(role, role_host))
        lines += [f"SET DEFAULT ROLE {', '.join(names)} TO {account};" for account, names in roles.items()]
    return "\n".join([*lines, "-- Dump completed", ""])


def accounts_facts(session: Session) -> dict[str, str]:
    """What a server must have to take the accounts: the plugins that they log in by, and a way to read their grants."""
    plugins = {str(name): str(library) for name, library in session.rows(_PLUGINS)}
    return ({"plugins": json.dumps(plugins)} if plugins else {}) | (
        {"partial_revokes": "ON"} if revokes_partially(session) else {}
    )


def revokes_partially(session: Session) -> bool:
    """Whether single databases are taken out of grants on all, and names of databases in grants are no patterns."""
    if session.flavour == "MariaDB" or session.number < (8, 0, 16):
        return False
    return session.column("SELECT @@GLOBAL.partial_revokes") == ["1"]


_SHOWN = "SELECT CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.user WHERE is_role = 'N'"
_LEFT_OUT = """
WITH RECURSIVE kept AS (
    SELECT m.* FROM mysql.roles_mapping m JOIN mysql.user USING (User, Host) WHERE is_role = 'N' AND Admin_option = 'Y'
    UNION SELECT m.* FROM kept k JOIN mysql.roles_mapping m ON m.User = k.Role AND m.Host = '' AND m.Admin_option = 'Y'
) SELECT User FROM mysql.user WHERE is_role = 'Y' AND User NOT IN (SELECT Role FROM kept) ORDER BY User
"""
"""mariadb-dump comes to a role by whom may grant it, and nobody may once the account that made it is dropped."""
_GRANTED = "SELECT Role FROM mysql.roles_mapping WHERE User = %s AND Host = ''"
_EVERYBODY = "PUBLIC"


def must_show_accounts(session: Session) -> None:
    """Ask what mariadb-dump asks of each account, whose error ends it."""
    for account in session.column(_SHOWN):
        try:
            session.rows(f"SHOW CREATE USER {account}")
        except session.connection.Error as error:  # which does not name it
            number, said = error.args
            raise session.connection.OperationalError(number, f"{account}: {said}") from error


def left_out(session: Session) -> str:
    """What mariadb-dump leaves out of the accounts: roles that nobody may grant, and what is granted to everybody."""
    roles = session.column(_LEFT_OUT)
    made = {name for role in roles for name in (role, *session.column(_GRANTED, role))} - {_EVERYBODY}
    lines = [f"CREATE ROLE IF NOT EXISTS {quoted(name)};" for name in sorted(made)]
    for role in roles:
        lines += [f"{grant};" for grant in session.column(f"SHOW GRANTS FOR {_role(role)}")]
    return "".join(f"{line}\n" for line in lines)


def _role(name: str) -> str:
    return name if name == _EVERYBODY else quoted(name)


class Completed(io.RawIOBase):
    """A dump with `more` behind its first line, which has to stay the first."""

    def __init__(self, dump: BinaryIO, more: bytes) -> None:
        self._dump = dump
        self._more = more
        self._held = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, up to `size`."""
        if self._more and (line := self._dump.readline()):
            self._held, self._more = line + self._more, b""
        if not self._held:
            return self._dump.read(-1 if size is None else size)
        end = len(self._held) if size is None or size < 0 else size
        piece, self._held = self._held[:end], self._held[end:]
        return piece


def _account(user: str | bytes, host: str | bytes) -> str:
    parts = (part.decode() if isinstance(part, bytes) else part for part in (user, host))
    return "@".join(quoted(part) for part in parts)
