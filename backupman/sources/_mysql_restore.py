"""Brings a MySQL dump back: into a new database, by the client, and nothing of it when it fails."""

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import BinaryIO

import pymysql

from backupman.errors import DumpError, RestoreError, SourceError
from backupman.sources import GLOBALS, Dump, Origin, Target
from backupman.sources._mysql_accounts import revokes_partially
from backupman.sources._mysql_client import ENVIRONMENT, Client, find_shell, login, restore_arguments
from backupman.sources._mysql_errors import restore_advice
from backupman.sources._mysql_grants import Grants, quoted
from backupman.sources._mysql_server import MysqlServer, Session, numbers_of
from backupman.sources._mysql_statements import Statements
from backupman.sources._process import Tool, descriptor, environment, running, secret_file

_LOG = logging.getLogger(__name__)
_CHUNK = 2**18
_SAID = re.compile(r"\bERROR (\d+) \(\w+\)(?: at line (\d+))?(?: in file: '.*?')?: (.*)$", re.MULTILINE)
_THERE_ALREADY = 1396
"""CREATE USER and CREATE ROLE say it of a name that is taken, in which case nothing is changed."""


_ANY_DEFINER = ("SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER")
"""Privileges of which any one lets an account make what belongs to another."""


@dataclass
class _Made:
    """How far the new database has come."""

    begun: bool = False
    replaces: bool = False
    """Whether another one was there, and is no more."""


@dataclass(frozen=True)
class Restoration:
    """One restore into one database, or of the accounts."""

    source: MysqlServer
    tool_path: Path | None
    origin: Origin
    target: Target

    def fill(self, dump: BinaryIO) -> list[str]:
        """Run the dump; the warnings of it.

        Raises:
            RestoreError: it is refused, or the client or the server has failed; there is no database of it then.
        """
        self._must_fit()
        accounts = self.target.database == GLOBALS
        made = _Made()
        try:
            with as_restore_error(), self.source.session() as session:
                client = find_shell(self.source, self.tool_path, session)
                warnings = self._about_versions(session)
                there = set(session.column("SELECT User FROM mysql.user")) if accounts else set()
                if accounts:
                    self._must_grant_no_more(session)
                else:
                    self._make(session, made)
            statements = self._run(client, dump)
            if accounts:
                return warnings + self._about_accounts(statements, there)
            with as_restore_error(), self.source.session() as session:
                return warnings + self._about_events(session)
        except BaseException as error:
            if made.begun:
                self._withdraw(error)
            if made.replaces and isinstance(error, RestoreError):
                raise RestoreError(
                    f"{error.sentence}; what was in {self.target.database} before had been dropped by then: restore an "
                    "earlier dump",
                    permanent=error.permanent,
                ) from error
            raise

    def _must_fit(self) -> None:
        if self.origin.suffix != ".sql":
            raise self._refusal(f"a dump of {self.origin.suffix} is no SQL")
        if self.target.tables:
            raise self._refusal(
                f"a dump of SQL is restored whole: restore it under another name, and copy the tables "
                f"{', '.join(self.target.tables)} from there"
            )
        if (self.origin.database == GLOBALS) != (self.target.database == GLOBALS):
            raise self._refusal("the accounts of a server are restored as such, and a database as a database")

    def _make(self, session: Session, made: "_Made") -> None:
        name = self.target.database
        if _is_there(session, name):
            if not self.target.overwrite:
                raise self._refusal(f"there is a database {name} already: name another, or let it be overwritten")
            self._must_be_likely(session)
            session.rows(f"DROP DATABASE {quoted(name)}")
            made.replaces = True
        facts = self.origin.facts
        letters = [
            f"{clause} {facts[fact]}"
            for clause, fact in (("CHARACTER SET", "character_set"), ("COLLATE", "collation"))
            if re.fullmatch(r"\w+", facts.get(fact, ""))
        ]
        comment = [facts["comment"]] if "comment" in facts and session.comments_databases else []
        made.begun = True  # before it is so, for a signal may come between the two
        try:
            words = " ".join([f"CREATE DATABASE {quoted(name)}", *letters])
            session.rows(f"{words.replace('%', '%%')} COMMENT %s" if comment else words, *comment)
        except pymysql.Error:
            made.begun = False  # it may be somebody else's
            raise

    def _must_be_likely(self, session: Session) -> None:
        """Refuse to drop a database for a dump that may then turn out to be none that server and account can take."""
        under = "restore it under another name first"
        if warnings := self._about_versions(session):
            raise RestoreError(f"{warnings[0]}; {under}", permanent=True)
        whom = session.column("SELECT CURRENT_USER()")[0]
        others = set(json.loads(self.origin.facts.get("definers", "[]"))) - {whom}
        grants = Grants(session.column("SHOW GRANTS"))
        if others and not any(grants.has(privilege) for privilege in _ANY_DEFINER):
            raise self._refusal(
                f"parts of the dump belong to other accounts ({', '.join(sorted(others))}), which {whom} may not "
                f"restore: use an administrator's account, or {under}"
            )

    def _must_grant_no_more(self, session: Session) -> None:
        if self.origin.facts.get("partial_revokes") == "ON" and not revokes_partially(session):
            raise self._refusal(
                "the accounts come from a server with partial_revokes, and would get more rights on this one: run SET "
                "GLOBAL partial_revokes = ON there (MySQL 8.0.16 or newer), and restore them again"
            )

    def _run(self, client: Client, dump: BinaryIO) -> Statements:
        accounts = self.target.database == GLOBALS
        name = "" if accounts else self.target.database
        statements = Statements(self.source.label, name, whole_server=accounts, origin=self.origin.database)
        seen = Dump(dump)
        with secret_file(login(self.source, client)) as path:
            argv = [str(client.path), f"--defaults-file={path}", *restore_arguments(client, name, go_on=accounts)]
            try:
                with running(
                    self.source.label, argv, env=environment(ENVIRONMENT), pass_fds=(descriptor(path),), fed=True
                ) as tool:
                    _discard_output(tool)
                    held = b""
                    while chunk := dump.read(_CHUNK):
                        seen.saw(chunk)
                        passed = statements.pass_on(chunk)
                        if accounts:  # half of a statement might be an account without a password
                            held += passed
                        elif not tool.feed(passed):
                            tool.wait()
                            raise DumpError(f"{self.source.label}: {tool.name} ended before the dump did")
                    self._must_be_whole(seen)
                    tool.feed(held + statements.pass_on(b"", last=True))
                    tool.end_of_input()
            except DumpError as error:
                raise self._failure(error, statements) from error
        for found in _SAID.finditer(tool.stderr()):  # which the client goes on after with accounts
            if int(found[1]) != _THERE_ALREADY:
                raise self._failure(DumpError(found[0]), statements)
        return statements

    def _must_be_whole(self, seen: Dump) -> None:
        try:
            self.source.accept(self.origin.database, seen)
        except DumpError as error:
            raise RestoreError(error.sentence, permanent=True) from error

    def _failure(self, error: DumpError, statements: Statements) -> RestoreError:
        found = _SAID.search(error.sentence)
        if found is None:
            return RestoreError(self.source.redact(error.sentence), permanent=error.permanent)
        number, line, said = found.groups()
        advice = restore_advice(int(number))
        where = f" at line {line}" if line else ""
        statement = statements.at(int(line)) if line else ""
        return self._refusal(
            f"{self.target.database} cannot be restored: {advice}the server said: {said} ({number}){where}"
            f"{f' in: {statement}' if statement else ''}"
        )

    def _about_versions(self, session: Session) -> list[str]:
        flavour, version = (self.origin.facts.get(name, "") for name in ("server", "server_version"))
        if not flavour or not version:
            return []
        here = f"and the server is {session.flavour} {session.version}"
        if flavour != session.flavour:
            return [f"{self.source.label}: the dump is of {flavour} {version}, {here}: it may not take all of it"]
        if numbers_of(version)[:2] > session.number[:2]:
            return [f"{self.source.label}: the dump is of a newer {flavour} {version}, {here}"]
        return []

    def _about_accounts(self, statements: Statements, there: set[str]) -> list[str]:
        kept = sorted(there & statements.accounts)
        if not kept:
            return []
        return [
            f"{self.source.label}: these accounts were there and keep their passwords; grants of the dump were added: "
            f"{', '.join(kept)}"
        ]

    def _about_events(self, session: Session) -> list[str]:
        [[scheduler]] = session.rows("SELECT @@event_scheduler")
        if str(scheduler) not in ("ON", "1"):
            return []
        events = session.column(
            "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s AND STATUS = 'ENABLED'",
            self.target.database,
        )
        if not events:
            return []
        return [
            f"{self.source.label}: the server runs the events of {self.target.database} from now on: "
            f"{', '.join(events)}; stop those that are not wanted with ALTER EVENT … DISABLE"
        ]

    def _withdraw(self, error: BaseException) -> None:
        try:
            remove(self.source, self.target.database)
        except RestoreError as another:
            _LOG.warning("what was restored until then could not be removed: %s", another.sentence)
            if isinstance(error, RestoreError):
                raise RestoreError(f"{error.sentence}; and it could not be removed: {another.sentence}") from error

    def _refusal(self, why: str) -> RestoreError:
        return RestoreError(self.source.redact(f"{self.source.label}: {why}"), permanent=True)


def _discard_output(tool: Tool) -> None:
    """What a script selects is of no use, but the client would wait for somebody to read it."""
    own = os.dup(tool.stdout.fileno())

    def read() -> None:
        with open(own, "rb", buffering=0) as stdout:  # noqa: PTH123 - a descriptor
            while stdout.read(_CHUNK):
                pass

    Thread(target=read, name=f"{tool.name}-stdout", daemon=True).start()


def exists(source: MysqlServer, database: str) -> bool:
    """Whether the server has a database of that name; the accounts are never in the way."""
    if database == GLOBALS:
        return False
    with as_restore_error(), source.session() as session:
        return _is_there(session, database)


def remove(source: MysqlServer, database: str) -> None:
    """Drop a database, and end those who still fill it; one that is gone is fine."""
    if database == GLOBALS:
        return
    with as_restore_error(), source.session() as session:
        busy = session.column("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = %s", database)
        for connection in busy:
            try:
                session.rows(f"KILL {int(connection)}")
            except pymysql.Error as error:
                _LOG.debug("connection %s is not ours, or has ended: %s", connection, error)
        session.rows(f"DROP DATABASE IF EXISTS {quoted(database)}")


def _is_there(session: Session, database: str) -> bool:
    return bool(session.rows("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", database))


@contextmanager
def as_restore_error() -> Iterator[None]:
    """What the server says to a dump is said to a restore just as well."""
    try:
        yield
    except SourceError as error:
        raise RestoreError(error.sentence, permanent=error.permanent) from error
