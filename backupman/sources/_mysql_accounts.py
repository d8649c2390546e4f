"""The accounts and grants of a MySQL server as SQL, for not every mysqldump can dump them on their own."""

import re

from backupman.sources._mysql_grants import quoted
from backupman.sources._mysql_server import Session

_OWN = ("mysql.infoschema", "mysql.session", "mysql.sys")
_ACCOUNTS = "SELECT User, Host FROM mysql.user WHERE User NOT IN %s ORDER BY User, Host"
_DEFAULT_ROLES = """
SELECT User, Host, DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST FROM mysql.default_roles ORDER BY 1, 2, 3, 4
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


def _account(user: str | bytes, host: str | bytes) -> str:
    parts = (part.decode() if isinstance(part, bytes) else part for part in (user, host))
    return "@".join(quoted(part) for part in parts)
