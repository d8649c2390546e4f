"""What an account may not read is found before the dump, for the tools leave most of it out without a word."""

from collections.abc import Sequence
from dataclasses import dataclass

import pymysql

from backupman.errors import DumpError
from backupman.sources._mysql_client import Client, is_skipped
from backupman.sources._mysql_errors import BROKEN_VIEW, number_of, text_of
from backupman.sources._mysql_grants import Grants, account, quoted
from backupman.sources._mysql_server import Session

_TABLES = """
SELECT t.TABLE_NAME, t.TABLE_TYPE, t.ENGINE, e.TRANSACTIONS
FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
WHERE t.TABLE_SCHEMA = %s ORDER BY t.TABLE_NAME
"""
_UNREADABLE_ROUTINES = """
SELECT ROUTINE_NAME FROM information_schema.ROUTINES
WHERE ROUTINE_SCHEMA = %s AND ROUTINE_DEFINITION IS NULL ORDER BY ROUTINE_NAME
"""
_GENERATED = """
SELECT DISTINCT TABLE_NAME FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = %s AND GENERATION_EXPRESSION <> '' ORDER BY TABLE_NAME
"""


@dataclass(frozen=True)
class Table:
    """A table, view or sequence of the database."""

    name: str
    kind: str
    engine: str | None
    transactions: str | None


@dataclass(frozen=True)
class Preflight:
    """The look at one database before its dump."""

    label: str
    session: Session
    client: Client
    database: str
    tables: Sequence[str]
    exclude_tables: Sequence[str]
    options: Sequence[str]

    def warnings(self) -> list[str]:
        """What the report should say of a dump that is good all the same.

        Raises:
            DumpError: something is not there, or would be left out; the sentence holds the GRANT that mends it.
        """
        if not self.session.rows("SHOW DATABASES WHERE `Database` = %s", self.database):
            raise self._refusal(
                f"there is no database {self.database}, or the account may not see it: create or grant it"
            )
        found = [Table(*row) for row in self.session.rows(_TABLES, self.database)]
        if absent := set(self.tables) - {table.name for table in found}:
            names = ", ".join(sorted(absent))
            raise self._refusal(f"{self.database} has no table {names}, or the account may not see it: correct tables")
        dumped = [t for t in found if t.name not in self.exclude_tables and t.name in (self.tables or [t.name])]
        self._refuse_gaps(dumped)
        self._refuse_broken_views(dumped)
        about = [self._about_engines(dumped), self._about_history(dumped), self._about_the_client(dumped)]
        return [f"{self.label}: {warning}" for warning in about if warning]

    def _refuse_gaps(self, dumped: Sequence[Table]) -> None:
        grants = Grants(self.session.column("SHOW GRANTS"))
        wanted = self._wanted(dumped)
        missing = [
            what
            for privilege, what in wanted.items()
            if not all(grants.has(privilege, self.database, table) for table in (self.tables or (None,)))
        ]
        whom = account(self.session.column("SELECT CURRENT_USER()")[0])
        where = grants.scope(whom, self.database)
        statements = [f"GRANT {', '.join(wanted)} ON {where}"] if missing else []
        if not self.tables and not is_skipped("routines", self.options) and (gap := self._routines_gap(grants)):
            missing.append(gap)
            statements.append(f"GRANT {_routines_grant(self.session, where)}")
        if missing:
            cure = " ".join(f"{statement} TO {whom};" for statement in statements)
            raise self._refusal(
                f"the dump of {self.database} would lack its {' and '.join(missing)}, for the account may not read "
                f"them; let an administrator run: {cure}"
            )

    def _wanted(self, dumped: Sequence[Table]) -> dict[str, str]:
        """The privileges that the dump needs, and what it would lack without each."""
        wanted = {"SELECT": "tables", "TRIGGER": "triggers"}
        if any(table.kind == "VIEW" for table in dumped):
            wanted["SHOW VIEW"] = "views"
        if not self.tables:
            wanted["EVENT"] = "events"
        return {privilege: what for privilege, what in wanted.items() if not is_skipped(what, self.options)}

    def _routines_gap(self, grants: Grants) -> str | None:
        if any(grants.has(*full) for full in _routines_readers(self.session, self.database)):
            return None
        if not any(grants.has(privilege, self.database) for privilege in ("EXECUTE", "ALTER ROUTINE")):
            return "routines"
        # All of them are listed then, but only those of the account itself with their text.
        names = self.session.column(_UNREADABLE_ROUTINES, self.database)
        return f"routines ({', '.join(names)})" if names else None

    def _refuse_broken_views(self, dumped: Sequence[Table]) -> None:
        broken: dict[str, str] = {}
        for view in (table.name for table in dumped if table.kind == "VIEW"):
            try:
                self.session.rows(f"SHOW COLUMNS FROM {quoted(self.database)}.{quoted(view)}")
            except pymysql.err.OperationalError as error:
                if number_of(error) not in BROKEN_VIEW:
                    raise
                broken[view] = text_of(error)
        if broken:
            raise self._refusal(
                f"{self.database} has broken views, which no tool dumps: repair or drop {', '.join(broken)}, or name "
                f"them in exclude_tables ({'; '.join(broken.values())})"
            )

    def _about_engines(self, dumped: Sequence[Table]) -> str | None:
        plain = [t for t in dumped if t.engine and t.kind != "SEQUENCE" and t.transactions != "YES"]
        if not plain:
            return None
        return (
            f"these tables of {self.database} know no transactions, so that changes made during the dump may be in it "
            f"by halves: {', '.join(f'{t.name} ({t.engine})' for t in plain)}; ALTER TABLE … ENGINE=InnoDB mends it"
        )

    def _about_history(self, dumped: Sequence[Table]) -> str | None:
        names = [table.name for table in dumped if table.kind == "SYSTEM VERSIONED"]
        if not names or any(option.startswith("--dump-history") for option in self.options):
            return None
        [[_, at]] = self.session.rows("SHOW SESSION VARIABLES LIKE 'system_versioning_asof'")
        if at != "DEFAULT":
            raise self._refusal(
                f"the server shows the rows of {at} in place of the present ones (system_versioning_asof) in the "
                f"system-versioned tables {', '.join(names)} of {self.database}: remove that from the server's "
                "settings and its init_connect, and run SET GLOBAL system_versioning_asof = DEFAULT"
            )
        newer = "" if self.client.knows("--dump-history") else "take mariadb-dump 10.11 or newer, and "
        return (
            f"the dump of {self.database} holds the present rows only, without the history, of the system-versioned "
            f"tables {', '.join(names)}; {newer}add --dump-history to options to have it"
        )

    def _about_the_client(self, dumped: Sequence[Table]) -> str | None:
        if self.client.flavour == self.session.flavour:
            return None
        names = {table.name for table in dumped}
        if generated := [name for name in self.session.column(_GENERATED, self.database) if name in names]:
            raise self._refusal(
                f"MySQL would not restore what MariaDB's {self.client.path} writes of generated columns, as in "
                f"{', '.join(generated)}: install MySQL's own mysqldump, or set tool_path"
            )
        return (
            f"the server is MySQL and {self.client.path} is MariaDB's, which does not know all of it: install MySQL's "
            "own mysqldump, or set tool_path"
        )

    def _refusal(self, why: str) -> DumpError:
        return DumpError(f"{self.label}: {why}", permanent=True)


def _routines_readers(session: Session, database: str) -> list[tuple[str, ...]]:
    """Privileges of which any one shows the text of every routine, as arguments of `Grants.has`."""
    if session.flavour == "MariaDB":
        return [("SELECT", "mysql", "proc"), ("SELECT", "mysql")] + (
            [("SHOW CREATE ROUTINE", database)] if session.number >= (11, 3) else []
        )
    if session.number >= (8,):
        return [("SHOW_ROUTINE",), ("SELECT",)]
    return [("SELECT", "mysql", "proc")]


def _routines_grant(session: Session, where: str) -> str:
    if session.flavour == "MariaDB" and session.number >= (11, 3):
        return f"SHOW CREATE ROUTINE ON {where}"
    if session.flavour == "MySQL" and session.number >= (8, 0, 20):
        return "SHOW_ROUTINE ON *.*"
    return "SELECT ON *.*" if session.flavour == "MySQL" and session.number >= (8,) else "SELECT ON mysql.proc"
