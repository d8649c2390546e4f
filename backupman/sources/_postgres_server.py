"""A PostgreSQL server that dumps are brought back into: what is asked of it and done to its databases, by psql."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from backupman.errors import DumpError, RestoreError, SourceError
from backupman.sources._postgres_client import Login, find_program, major
from backupman.sources._postgres_queries import SERVER_VERSION, ask
from backupman.sources._process import output

_CREATION_SECONDS = 60.0
_ENDING_SECONDS = 60.0
"""PostgreSQL itself waits 5 s for those who are cut off, which a busy server may need longer for."""
_LIKE_THE_OLD = """SELECT json_build_object('owner', rolname, 'encoding', pg_encoding_to_char(encoding),
    'collate', datcollate, 'ctype', datctype, 'tablespace', nullif(spcname, 'pg_default'))
    FROM pg_database d JOIN pg_roles r ON r.oid = datdba JOIN pg_tablespace t ON t.oid = dattablespace
    WHERE datname = """


@dataclass(frozen=True)
class Server:
    """A server, and how to log in to one of its databases."""

    label: str
    maintenance_db: str
    tool_path: Path | None
    login: Callable[[str], AbstractContextManager[Login]]

    def program(self, name: str) -> Path:
        """One of PostgreSQL's programs; beside `tool_path`, which may hold pg_dump alone, else the newest."""
        try:
            return find_program(self.label, name, self.tool_path)
        except DumpError:
            return find_program(self.label, name, None)

    def ask(self, query: str, database: str | None = None) -> list[str]:
        """The first column of a query's rows."""
        with self.login(database or self.maintenance_db) as login:
            return ask(self.label, login, query, self.tool_path)

    def psql(self, script: str, database: str | None = None, *options: str) -> str:
        """What psql prints for a script, of which each statement is a transaction of its own.

        Raises:
            SourceError: one of them failed; those after it were not run.
        """
        with self.login(database or self.maintenance_db) as login:
            argv = self.psql_argv(login, "--set=ON_ERROR_STOP=1", *options)
            return output(
                self.label,
                argv,
                env={**login.env, "PGCLIENTENCODING": "UTF8"},
                pass_fds=login.pass_fds,
                timeout=None,
                script=f"SET statement_timeout = 0;\n{script}",
            )

    def psql_argv(self, login: Login, *options: str) -> list[str]:
        """psql as it is always run: it reads a script, and nobody's settings."""
        argv = [str(self.program("psql")), "--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only"]
        return [*argv, *options, f"--dbname={login.conninfo}", "--file=-"]

    def major(self) -> int:
        """The first number of the server's version."""
        return major(self.ask(SERVER_VERSION)[0])

    def exists(self, database: str) -> bool:
        """Whether there is a database of that name."""
        return bool(self.ask(f"SELECT datname FROM pg_database WHERE datname = {literal(database)}"))  # noqa: S608 - quoted

    def drop(self, database: str) -> None:
        """Drop a database with whoever is connected; one that is gone is fine."""
        if self.exists(database):
            self._unsubscribe(database)
            self._cut_off(database)
            self.psql(f"DROP DATABASE IF EXISTS {name(database)};")

    def _unsubscribe(self, database: str) -> None:
        """End its subscriptions, for none that has any can be dropped. What their publishers keep for them stays."""
        if self.major() < 10:  # which knows none
            return
        whose = "FROM pg_subscription JOIN pg_database d ON d.oid = subdbid WHERE datname = "
        if held := self.ask(f"SELECT subname {whose}{literal(database)}"):
            self.psql(f"ALTER DATABASE {name(database)} ALLOW_CONNECTIONS true;")
        for each in map(name, held):
            altered = f"ALTER SUBSCRIPTION {each}"
            self.psql(f"{altered} DISABLE; {altered} SET (slot_name = NONE); DROP SUBSCRIPTION {each};", database)

    def _cut_off(self, database: str) -> None:
        """End everybody's connection to a database, and let nobody in any more."""
        query = f"FROM pg_stat_activity WHERE datname = {literal(database)}"
        with suppress(SourceError):  # one whose DROP was interrupted cannot be altered, and need not be
            self.psql(f"ALTER DATABASE {name(database)} ALLOW_CONNECTIONS false;")
        self.psql(f"SELECT pg_terminate_backend(pid) {query};")
        end = time.monotonic() + _ENDING_SECONDS
        while self.ask(f"SELECT pid {query}") and time.monotonic() < end:
            time.sleep(0.1)

    def create(self, database: str, facts: Mapping[str, str]) -> list[str]:
        """Make an empty database like the one that facts tell of; the warnings of it."""
        words = [f"CREATE DATABASE {name(database)} TEMPLATE template0"]
        if "owner" in facts:
            words.append(f"OWNER {name(facts['owner'])}")
        if "tablespace" in facts:
            words.append(f"TABLESPACE {name(facts['tablespace'])}")
        if "encoding" in facts:
            words.append(f"ENCODING {literal(facts['encoding'])}")
        plain, warnings = list(words), []
        if "collate" in facts:
            ctype = facts.get("ctype", facts["collate"])
            words.append(f"LC_COLLATE {literal(facts['collate'])} LC_CTYPE {literal(ctype)}")
        if provider := facts.get("locale_provider"):  # quoted like all that comes from a drive: psql runs commands
            locale = literal(facts.get("locale", ""))
            words.append(f"LOCALE_PROVIDER {name(provider)} {name(f'{provider}_locale')} {locale}")
            if rules := facts.get("icu_rules"):
                words.append(f"ICU_RULES {literal(rules)}")
        try:
            self._create(database, " ".join(words))
        except SourceError as error:
            if "collate" not in facts or not ("locale" in error.sentence or "LC_" in error.sentence):
                raise
            # A server on another system may not know the locale's name.
            self._create(database, " ".join([*plain, "LC_COLLATE 'C' LC_CTYPE 'C'"]))
            said = facts.get("locale") or facts["collate"]
            warnings = [f"{self.label}: the server has no locale {said}: the database has C, and sorts by it"]
        return warnings

    def _create(self, database: str, statement: str) -> None:
        try:
            self.psql(f"{statement};")
        except SourceError:
            raise
        except BaseException:  # interrupted: the server goes on with what it has begun
            self._wait_for_creation(statement)
            self.drop(database)
            raise

    def _wait_for_creation(self, statement: str) -> None:
        active = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE "
        begun = active + literal(_pattern(statement[:200]) + "%")
        end = time.monotonic() + _CREATION_SECONDS
        while self.ask(begun) and time.monotonic() < end:
            time.sleep(0.1)

    def traits(self, database: str) -> dict[str, str]:
        """The owner, tablespace, encoding and locale of a database that is there, as facts for another like it."""
        [row] = self.ask(_LIKE_THE_OLD + literal(database))
        return {trait: value for trait, value in json.loads(row).items() if value}

    @contextmanager
    def replacing(self, database: str, warnings: list[str]) -> Iterator[str]:
        """The name to restore under; the database of that name takes the place of `database` when the `with` ends well.

        Others who are connected to the old one are cut off then.
        """
        new = f"backupman_new_{sha256(database.encode()).hexdigest()[:12]}"
        old = new.replace("_new_", "_old_")
        for left in (new, old):  # by a restore that was killed
            self.drop(left)
        with self.dropped_unless_whole(new):
            yield new
            try:
                self._cut_off(database)
                self._swap(database, new, old)
            except BaseException:
                with suppress(SourceError):
                    self.psql(f"ALTER DATABASE {name(database)} ALLOW_CONNECTIONS true;")
                raise
        try:
            self.drop(old)
        except SourceError as error:
            warnings.append(f"{self.label}: the old database is still there as {old}: drop it ({error.sentence})")

    @contextmanager
    def dropped_unless_whole(self, database: str) -> Iterator[None]:
        """A database that is dropped when the `with` ends by an error or an interruption."""
        try:
            yield
        except BaseException as error:
            try:
                self.drop(database)
            except SourceError as why:
                left = f"and the half-filled database {database} could not be dropped: drop it"
                if isinstance(error, SourceError | RestoreError):
                    raise type(error)(f"{error.sentence}; {left}", permanent=error.permanent) from error
                error.add_note(f"{left} ({why.sentence})")
            raise

    def _swap(self, database: str, new: str, old: str) -> None:
        renamed = "ALTER DATABASE {} RENAME TO {};"
        self.psql(
            f"BEGIN;\n{renamed.format(name(database), name(old))}\n{renamed.format(name(new), name(database))}\nCOMMIT;"
        )


def _pattern(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def name(text: str) -> str:
    """An identifier for SQL."""
    return '"' + text.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string for SQL, whatever standard_conforming_strings says."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
