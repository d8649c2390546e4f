"""What the sources `mysql` and `mariadb` share: what is dumped, by which program, and when it is whole."""

import io
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO, ClassVar, Literal, Self, cast

from pydantic import AfterValidator, Field, model_validator

from backupman.errors import DumpError, SourceError
from backupman.manifest import Manifest, TableRows
from backupman.sources import GLOBALS, Dump, Origin, Target
from backupman.sources._mysql_accounts import (
    Completed,
    accounts_facts,
    accounts_script,
    left_out,
    must_show_accounts,
)
from backupman.sources._mysql_client import (
    ENVIRONMENT,
    Client,
    dump_arguments,
    find_client,
    login,
    must_be_harmless,
    system_arguments,
)
from backupman.sources._mysql_content import count_rows, facts_of, scalar
from backupman.sources._mysql_grants import Grants, account
from backupman.sources._mysql_locks import LockWatch
from backupman.sources._mysql_manifest import Count, counted, counting_of
from backupman.sources._mysql_preflight import Preflight
from backupman.sources._mysql_restore import Restoration, exists, remove
from backupman.sources._mysql_scratch import prepare, scratch_server
from backupman.sources._mysql_server import MysqlServer, Session
from backupman.sources._process import descriptor, environment, running, secret_file
from backupman.sources._server_databases import named_by, server_of, without

_SYSTEM = ("information_schema", "performance_schema", "sys", "mysql", "ndbinfo", "#mysql50#lost+found")
"""What SHOW DATABASES lists besides the users' databases."""

_SEQUENCES = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE = 'SEQUENCE' LIMIT 1"


class MysqlSource(MysqlServer):
    """One, some or all databases of a MySQL or MariaDB server; the server decides which program dumps them."""

    restores: ClassVar[bool] = True

    db_name: str | None = Field(default=None, min_length=1, description="The one database to dump.")
    databases: Literal["all"] | Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="Instead of `db_name`: several databases, or `all` with the server's accounts."
    )
    exclude: list[str] = Field(
        default_factory=list,
        description="With `databases: all`: the names to leave out; `*` and `?` are wildcards, `_globals` is the "
        "accounts.",
    )
    tables: list[str] = Field(
        default_factory=list, description="Only these tables and views, with their triggers; no routines, no events."
    )
    exclude_tables: list[str] = Field(
        default_factory=list, description="Not these tables and views, by their name without a database."
    )
    options: Annotated[list[str], AfterValidator(must_be_harmless)] = Field(
        default_factory=list, description="More arguments for the dump program, each as `--name` or `--name=value`."
    )
    tool_path: Path | None = Field(
        default=None, description="The dump program, or the folder that holds it; default: the PATH is searched."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rules = {
            "give either db_name or databases": (self.db_name is None) == (self.databases is None),
            "exclude goes with databases: all": self.exclude and self.databases != "all",
            "tables goes with db_name": self.tables and self.db_name is None,
            "tls_cert and tls_key go together": (self.tls_cert is None) != (self.tls_key is None),
            "tls: custom needs tls_ca, or tls_cert and tls_key": self.tls == "custom"
            and not (self.tls_ca or self.tls_cert),
            "tls_ca verifies nothing with tls: false, preferred or skip-verify": self.tls_ca
            and self.tls in ("false", "preferred", "skip-verify"),
        }
        for rule, broken in rules.items():
            if broken:
                raise ValueError(rule)
        return self

    @property
    def many(self) -> bool:
        return self.databases is not None

    @property
    def server(self) -> str:
        return server_of("mysql", self.host, self.port, self.socket)

    @property
    def named(self) -> list[str] | None:
        return named_by(self.db_name, self.databases)

    def suffix_of(self, database: str) -> str:
        return ".sql"

    def trailers_of(self, database: str) -> tuple[bytes, ...]:
        return (b"-- Dump completed",)

    def accept(self, database: str, dump: Dump) -> None:
        super().accept(database, dump)
        if not self.options:  # which may leave out what makes the tables
            self.must_name_its_tables(database, dump)

    def list_databases(self) -> list[str]:
        if (named := self.named) is not None:
            return named
        with self.session() as session:
            self._must_see_all(session)
            there = _there(session)
        return without(self.label, there, self.exclude)

    def others(self, named: Collection[str]) -> list[str]:
        with self.session() as session:
            return sorted(_there(session).difference(named))

    @contextmanager
    def dump(self, database: str, folder: Path) -> Iterator[Dump]:
        with self.session(database) as session:
            self._must_answer_in_full(session)
            facts = {"server": session.flavour, "server_version": session.version}
            if database != GLOBALS:
                opened = self._database(session, database, facts)
            elif session.flavour == "MariaDB":
                opened = self._accounts(session, facts | accounts_facts(session))
            else:
                opened = self._script(session, facts | accounts_facts(session))
            with opened as dump:
                yield dump

    def exists(self, database: str) -> bool:
        return exists(self, database)

    def restore(self, dump: BinaryIO, origin: Origin, target: Target, folder: Path) -> list[str]:
        return Restoration(self, self.tool_path, origin, target).fill(dump)

    def remove(self, database: str) -> None:
        remove(self, database)

    def count_rows(self, database: str) -> list[TableRows]:
        return count_rows(self, database)

    def scalar(self, database: str, sql: str, timeout: float) -> str | None:
        return scalar(self, database, sql, timeout)

    @contextmanager
    def scratch(self, folder: Path, origin: Origin) -> Iterator[Self]:
        with scratch_server(self.label, self.tool_path, folder, origin) as reached:
            own = {"provider": self.provider, "label": self.label}
            server = type(self).model_validate(
                {**own, **reached, **({"tool_path": self.tool_path} if self.tool_path else {})}
            )
            prepare(server, origin)
            yield server

    def examine(self) -> list[str]:
        remarks: list[str] = []
        for database in self.list_databases():
            with self.session(database) as session:
                self._must_answer_in_full(session)
                client = find_client(self, self.tool_path, session)
                if database == GLOBALS and session.flavour == "MariaDB":
                    must_show_accounts(session)
                elif database == GLOBALS:
                    accounts_script(session)
                else:
                    remarks += self._look(session, client, database).warnings()
        return remarks

    def _look(self, session: Session, client: Client, database: str) -> Preflight:
        return Preflight(self.label, session, client, database, self.tables, self.exclude_tables, self.options)

    def _database(self, session: Session, database: str, facts: dict[str, str]) -> AbstractContextManager[Dump]:
        client = find_client(self, self.tool_path, session)
        warnings = self._look(session, client, database).warnings()
        # A table that is locked cannot reach its sequence, and so none of its rows would be restored by hand.
        unlocked = ["--skip-add-locks"] if session.rows(_SEQUENCES, database) else []
        options = [*unlocked, *self.options]
        arguments = dump_arguments(client, database, self.tables, self.exclude_tables, options)
        count = Count(self, database, self._is_dumped(database), counting_of(self.manifest.rows, self.options))
        facts |= facts_of(session, database)
        return self._streamed(session, client, database, arguments, warnings, facts, count)

    def _is_dumped(self, database: str) -> Callable[[str], bool]:
        out = {*self.exclude_tables, *(option.partition(f"={database}.")[2] for option in self.options)}
        return lambda table: table not in out and (not self.tables or table in self.tables)

    @contextmanager
    def _accounts(self, session: Session, facts: dict[str, str]) -> Iterator[Dump]:
        client = find_client(self, self.tool_path, session)
        more = left_out(session).encode()
        with self._streamed(session, client, "", system_arguments(self, client), [], facts, None) as dump:
            dump.stream = cast(BinaryIO, Completed(dump.stream, more))
            yield dump

    @contextmanager
    def _script(self, session: Session, facts: dict[str, str]) -> Iterator[Dump]:
        facts |= {"tool": "backupman"}
        manifest = Manifest(provider=self.provider, facts=facts)
        yield Dump(io.BytesIO(accounts_script(session).encode()), facts=facts, manifest=manifest)

    @contextmanager
    def _streamed(
        self,
        session: Session,
        client: Client,
        database: str,
        arguments: list[str],
        warnings: list[str],
        facts: dict[str, str],
        count: Count | None,
    ) -> Iterator[Dump]:
        """The tool's own stream; from here on the session belongs to the watch."""
        facts |= {"tool": client.path.name, "tool_version": f"{client.flavour} {client.version}"}
        watch = LockWatch(session, database, self.lock_timeout.total_seconds())
        with secret_file(login(self, client)) as path:
            argv = [str(client.path), f"--defaults-file={path}", *arguments]
            fds = (descriptor(path),)
            counting = counted(count, session) if count else nullcontext()
            try:
                with counting, watch, running(self.label, argv, env=environment(ENVIRONMENT), pass_fds=fds) as tool:
                    dump = Dump(tool.stdout, warnings, facts)
                    yield dump
            except DumpError as error:
                if not watch.overdue:
                    raise
                seconds = self.lock_timeout.total_seconds()
                raise DumpError(
                    f"{self.label}: the dump of {database} waited {seconds:g} s for a lock of another session (in "
                    f"{watch.overdue}) and was ended: end that session's transaction or schema change, or raise "
                    "lock_timeout"
                ) from error
        dump.warnings += [
            f"{self.label}: {client.path.name} said: {line}" for line in tool.stderr().splitlines() if line
        ]
        dump.warnings += count.warnings if count else []
        if count and not count.tables and not count.warnings:
            dump.warnings.append(f"{self.label}: there is no table in the dump of {database}")
        dump.manifest = Manifest(
            provider=self.provider,
            facts=facts,
            restorable_by=".".join(client.version.split(".")[:2]),
            same_snapshot=False,
            tables=count.tables if count else [],
        )

    def _must_answer_in_full(self, session: Session) -> None:
        if session.select_limit is not None:
            raise DumpError(
                f"{self.label}: the server ends every answer after {session.select_limit:,} rows (sql_select_limit), "
                "so that the dump would lack the others: remove that from the server's settings and its init_connect, "
                "and run SET GLOBAL sql_select_limit = DEFAULT",
                permanent=True,
            )

    def _must_see_all(self, session: Session) -> None:
        grants = Grants(session.column("SHOW GRANTS"))
        if not any(grants.has(privilege) for privilege in ("SHOW DATABASES", "SELECT")):
            whom = account(session.column("SELECT CURRENT_USER()")[0])
            raise SourceError(
                f"{self.label}: databases: all would leave out databases that the account may not see; let an "
                f"administrator run: GRANT SHOW DATABASES ON *.* TO {whom}; or list the databases by name",
                permanent=True,
            )


def _there(session: Session) -> set[str]:
    """The databases that the account sees and that are no part of the server itself."""
    return set(session.column("SHOW DATABASES")).difference(_SYSTEM)
