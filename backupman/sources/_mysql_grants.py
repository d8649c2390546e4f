"""What an account may do, read from SHOW GRANTS (https://mariadb.com/kb/en/grant/, the same in MySQL)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_BACKTICKED = r"`(?:[^`]|``)*`"
_NAME = rf"(?:{_BACKTICKED}|'(?:[^']|'')*')"
_LINE = re.compile(
    r"(?P<verb>GRANT|REVOKE) (?P<privileges>.+?) ON (?:TABLE )?"
    rf"(?P<database>\*|{_BACKTICKED})\.(?P<table>\*|{_BACKTICKED}) (?:TO|FROM) (?P<grantee>{_NAME}(?:@{_NAME})?)"
)
_PRIVILEGE = re.compile(r"\s*([A-Z_ ]+?)\s*(\([^)]*\))?\s*(?:,|$)")


@dataclass(frozen=True)
class Grant:
    """One line about all databases, one or some databases (a pattern), or one table; None stands for all."""

    privileges: frozenset[str]
    database: str | None
    table: str | None
    grantee: str
    revoked: bool

    def covers(self, privilege: str) -> bool:
        """Whether the privilege is among those of this line."""
        return bool(self.privileges & {privilege, "ALL PRIVILEGES"})


class Grants:
    """Everything that the account and its active roles were granted."""

    def __init__(self, lines: Iterable[str]) -> None:
        grants = [grant for line in lines if (grant := _parsed(line))]
        self._given = [grant for grant in grants if not grant.revoked]
        self._revoked = [grant for grant in grants if grant.revoked]

    def has(self, privilege: str, database: str | None = None, table: str | None = None) -> bool:
        """Whether a privilege holds for the whole server, a whole database or a whole table."""
        if any(grant.covers(privilege) for grant in self._given if grant.database is None):
            # MySQL's partial revokes take single databases, by their plain name, out of a grant on all.
            return not any(grant.covers(privilege) and grant.database == database for grant in self._revoked)
        if database is None:
            return False
        return any(
            grant.covers(privilege)
            for grantee in {grant.grantee for grant in self._given}
            for grant in self._that_count(grantee, database, table)
        )

    def scope(self, whom: str, database: str) -> str:
        """All tables of the database as a GRANT to the account has to name them, lest it lose what it has there.

        Of an account's grants whose pattern matches, the server obeys the closest alone: so more goes to that one.
        """
        own = [grant for grant in self._given if grant.grantee.replace("'", "`") == whom and grant.table is None]
        matching = [grant.database for grant in own if grant.database and _matches(grant.database, database)]
        return f"{quoted(max(matching, key=_closeness))}.*" if matching else scope(database)

    def _that_count(self, grantee: str, database: str, table: str | None) -> list[Grant]:
        own = [grant for grant in self._given if grant.grantee == grantee and grant.database is not None]
        exact = [
            grant for grant in own if grant.table is not None and (grant.database, grant.table) == (database, table)
        ]
        matching = [grant for grant in own if grant.table is None and _matches(grant.database or "", database)]
        # Of several patterns that match, the server obeys the closest one alone.
        closest = max((_closeness(grant.database or "") for grant in matching), default=0)
        return exact + [grant for grant in matching if _closeness(grant.database or "") == closest]


def _parsed(line: str) -> Grant | None:
    found = _LINE.match(line)
    if found is None:
        return None
    privileges = frozenset(name for name, columns in _PRIVILEGE.findall(found["privileges"]) if not columns)
    database, table = (
        None if part == "*" else part[1:-1].replace("``", "`") for part in found.group("database", "table")
    )
    return Grant(privileges, database, table, found["grantee"], found["verb"] == "REVOKE")


def _matches(pattern: str, database: str) -> bool:
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return re.fullmatch("".join(_WILDCARDS.get(part) or re.escape(part[-1]) for part in parts), database) is not None


_WILDCARDS = {"%": ".*", "_": "."}


def _closeness(pattern: str) -> float:
    wildcard = re.search(r"(?<!\\)[%_]", pattern)
    return wildcard.start() if wildcard else float("inf")


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return "`" + name.replace("`", "``") + "`"


def account(current_user: str) -> str:
    """`CURRENT_USER()` as a GRANT statement takes it."""
    return "@".join(quoted(part) for part in current_user.rsplit("@", 1))


def scope(database: str) -> str:
    """All tables of a database as a GRANT statement takes it, which reads the database's name as a pattern."""
    return quoted(re.sub(r"([\\_%])", r"\\\1", database)) + ".*"
