"""PostgreSQL: pg_dump as plain SQL, as a custom archive or as a directory; roles and tablespaces by pg_dumpall."""

import json
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, Self, cast

from pydantic import AfterValidator, Field, model_validator

from backupman.errors import DumpError, SourceError
from backupman.sources import GLOBALS, Dump, Origin, Target
from backupman.sources._postgres_archive import CUSTOM_END, Head, Observed, list_toc, read_toc
from backupman.sources._postgres_back import PostgresBack
from backupman.sources._postgres_client import Login, major, version_of
from backupman.sources._postgres_directory import TAR_END, Packed
from backupman.sources._postgres_manifest import Census, census, dumped_tables
from backupman.sources._postgres_options import (
    drop_before,
    leave_out_definitions,
    leave_out_objects,
    leave_out_rows,
    leave_out_tables,
    must_be_harmless,
)
from backupman.sources._postgres_queries import (
    CLOSED_OBJECTS,
    DATABASES,
    FIRST_SUPERUSER,
    HIDDEN,
    LEFT_OUT_ON_A_STANDBY,
    MAY_READ_PASSWORDS,
    SERVER_VERSION,
    TABLESPACES,
    UNREADABLE,
    ask,
)
from backupman.sources._process import Tool, running
from backupman.sources._server_databases import named_by, server_of, without
from backupman.text import few

_SUFFIXES = {"plain": ".sql", "custom": ".dump", "directory": ".tar"}
_ENDS = {"custom": CUSTOM_END, "directory": TAR_END}


class Postgres(PostgresBack):
    """One database of a PostgreSQL server, or several, each dumped on its own."""

    db_name: str | None = Field(default=None, min_length=1, description="The one database to dump.")
    databases: Literal["all"] | Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="Instead of `db_name`: several databases, or `all` with roles and tablespaces."
    )
    exclude: list[str] = Field(
        default_factory=list, description="With `databases: all`: the names to leave out; `*` and `?` are wildcards."
    )
    format: Literal["plain", "custom", "directory"] = Field(
        default="plain", description="`plain` is for psql, the other two for pg_restore; `directory` is packed by tar."
    )
    jobs: int = Field(
        default=1, ge=1, le=64, description="How many tables of `format: directory` are dumped, and restored, at once."
    )
    tables: list[str] = Field(
        default_factory=list, description="Only these tables: pg_dump's patterns, each must match."
    )
    exclude_tables: list[str] = Field(default_factory=list, description="Not these tables: pg_dump's patterns.")
    role_passwords: bool = Field(
        default=True, description="Whether roles are dumped with their passwords, which only a superuser may read."
    )
    options: Annotated[list[str], AfterValidator(must_be_harmless)] = Field(
        default_factory=list, description="More arguments for pg_dump."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        password = self.password.get_secret_value()
        rules = {
            "give either db_name or databases": (self.db_name is None) == (self.databases is None),
            "exclude goes with databases: all": self.exclude and self.databases != "all",
            "tables goes with db_name": self.tables and self.db_name is None,
            "jobs goes with format: directory": self.jobs > 1 and self.format != "directory",
            "bandwidth goes with format: plain or custom; a directory pg_dump writes by itself, as fast as it can": (
                self.bandwidth and self.format == "directory"
            ),
            "tls and tls_mode say the same: give one": self.tls is not None and self.tls_mode is not None,
            "tls is off, and tls_ca is given": self.tls_ca and (self.tls is False or self.tls_mode == "disable"),
            "tls_cert and tls_key go together": (self.tls_cert is None) != (self.tls_key is None),
            "password holds a line break, which libpq cannot read": not {"\n", "\r", "\0"}.isdisjoint(password),
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
        return server_of("postgres", self.host, self.port, self.socket)

    @property
    def named(self) -> list[str] | None:
        return named_by(self.db_name, self.databases)

    def suffix_of(self, database: str) -> str:
        return _SUFFIXES["plain" if database == GLOBALS else self.format]

    def trailers_of(self, database: str) -> tuple[bytes, ...]:
        if database == GLOBALS:
            return (b"-- PostgreSQL database cluster dump complete",)
        return (b"-- PostgreSQL database dump complete",) if self.format == "plain" else ()

    def list_databases(self) -> list[str]:
        if (named := self.named) is not None:
            return named
        return without(self.label, self._there(), self.exclude)

    def others(self, named: Collection[str]) -> list[str]:
        return sorted(set(self._there()).difference(named, {self.maintenance_db}))

    def _there(self) -> list[str]:
        with self._explained(), self._logged_in(self.maintenance_db) as login:
            return ask(self.label, login, DATABASES, self.tool_path)

    @contextmanager
    def dump(self, database: str, folder: Path) -> Iterator[Dump]:
        if database == GLOBALS:
            with self._explained(), self._logged_in(self.maintenance_db) as login:
                argv = self._globals_argv(login)
                # A drill's server has to have them before, or it would make them where they are on this one.
                spaces = ask(self.label, login, TABLESPACES, self.tool_path)
                facts = self._tool_facts(argv) | ({"tablespaces": json.dumps(spaces)} if spaces else {})
                facts["superuser"] = ask(self.label, login, FIRST_SUPERUSER, self.tool_path)[0]
                with self._streamed(argv, login, plain=True) as dump:
                    dump.facts |= facts
                    yield dump
            return
        with self._explained(), self._logged_in(database) as login, self._census(login) as census:
            chosen = self._chosen_argv(login, census.snapshot)
            argv = [*chosen, *self._format_argv(folder / "dump")]
            facts = self._tool_facts(argv) | census.facts
            warnings = [*self._left_out(login), *self._rows_alone(database)]
            self._narrow(census, chosen, login, folder)
            census.count()
            packed = self.format == "directory"
            plain = self.format == "plain"
            with self._packed(argv, login, folder / "dump") if packed else self._streamed(argv, login, plain) as dump:
                dump.facts |= facts
                dump.warnings += warnings
                yield dump
            dump.manifest = census.manifest(self.provider, dump.facts)
            dump.warnings += census.warnings
            if census.listed and not dump.manifest.tables and database != self.maintenance_db:
                dump.warnings.append(f"{self.label}: there is no table in the dump of {database}")

    def accept(self, database: str, dump: Dump) -> None:
        super().accept(database, dump)
        if not self.options:  # which may leave out what makes the tables
            self.must_name_its_tables(database, dump)
        end = _ENDS.get(self.format) if database != GLOBALS else None
        if end and not dump.tail.endswith(end):
            raise DumpError(
                f"{self.label}: the dump is cut off: it has not the last bytes of a whole one", permanent=True
            )

    def restore(self, dump: BinaryIO, origin: Origin, target: Target, folder: Path) -> list[str]:
        if target.jobs is None and origin.suffix == _SUFFIXES["directory"]:
            target = replace(target, jobs=self.jobs)
        return super().restore(dump, origin, target, folder)

    def check(self) -> None:
        with self._explained(), self._logged_in(self.db_name or self.maintenance_db) as login:
            client = version_of(self.label, self._program("pg_dump"))
            [server] = ask(self.label, login, SERVER_VERSION, self.tool_path)
            if major(client) < major(server):
                raise DumpError(f"server version: {server}; pg_dump version: {client}")
            if self.db_name:
                self._must_read_all(login)

    def examine(self) -> list[str]:
        self.check()
        return [remark for database in self.list_databases() for remark in self._examined(database)]

    def _examined(self, database: str) -> list[str]:
        everywhere = database == GLOBALS
        with self._explained(), self._logged_in(self.maintenance_db if everywhere else database) as login:
            if everywhere:
                if self.role_passwords and ask(self.label, login, MAY_READ_PASSWORDS, self.tool_path) == ["f"]:
                    raise DumpError("permission denied for table pg_authid")
                return []
            self._must_read_all(login)
            return self._left_out(login) + self._rows_alone(database)

    def _must_read_all(self, login: Login) -> None:
        """Raise what pg_dump would say, unless only it knows which tables it takes."""
        if self.tables or self.exclude_tables or leave_out_tables(self.options):
            return
        if unreadable := ask(self.label, login, UNREADABLE, self.tool_path):
            raise DumpError(f"permission denied for table {few(unreadable)}")
        if leave_out_rows(self.options):
            return
        if hidden := ask(self.label, login, HIDDEN, self.tool_path):
            raise DumpError(f'row-level security policy for table "{few(hidden)}"')
        if not leave_out_objects(self.options):
            for closed in ask(self.label, login, CLOSED_OBJECTS, self.tool_path):
                raise DumpError(f"permission denied for large object {closed}")

    @contextmanager
    def _streamed(self, argv: list[str], login: Login, plain: bool) -> Iterator[Dump]:
        """The tool's own stream, and somebody who reads its beginning along."""
        with nullcontext(Head()) if plain else read_toc(self.label, self._program("pg_restore")) as start:
            with running(self.label, argv, env=login.env, pass_fds=login.pass_fds) as tool:
                dump = Dump(cast(BinaryIO, Observed(tool.stdout, start.feed)))
                yield dump
            dump.facts |= start.facts()
            dump.warnings += self._warnings(tool)

    @contextmanager
    def _packed(self, argv: list[str], login: Login, place: Path) -> Iterator[Dump]:
        """The folder that the tool writes, as a stream."""
        with running(self.label, argv, env=login.env, pass_fds=login.pass_fds) as tool:

            def ended(within: float) -> bool:
                if not tool.ended(within):
                    return False
                dump.facts |= list_toc(self.label, self._program("pg_restore"), place)
                dump.warnings += self._warnings(tool)
                return True

            with Packed(self.label, place, ended) as stream:
                dump = Dump(cast(BinaryIO, stream))
                yield dump

    def _census(self, login: Login) -> AbstractContextManager[Census]:
        shares = not any(option.startswith(("--se", "--sn")) for option in self.options)  # --serializable, --snapshot
        return census(self._server(), login, self.manifest, shares=shares, all_rows=not leave_out_rows(self.options))

    def _narrow(self, census: Census, argv: list[str], login: Login, folder: Path) -> None:
        """Have only those tables in the manifest that are in the dump and come back with it."""
        if leave_out_definitions(self.options):
            census.only(set())
            census.listed = False
            return
        if census.lists and (self.tables or self.exclude_tables or leave_out_tables(self.options)):
            try:
                census.only(dumped_tables(self.label, argv, login, self._program("pg_restore"), folder))
            except SourceError as error:
                census.only(set())
                census.listed = False
                census.warn(error.sentence)

    def _tool_facts(self, argv: list[str]) -> dict[str, str]:
        return {"tool": Path(argv[0]).name, "tool_version": version_of(self.label, Path(argv[0]))}

    def _chosen_argv(self, login: Login, snapshot: str | None) -> list[str]:
        milliseconds = int(self.lock_timeout.total_seconds() * 1000)
        argv = [str(self._program("pg_dump")), f"--dbname={login.conninfo}", "--no-password"]
        argv += [f"--lock-wait-timeout={milliseconds}", *([f"--snapshot={snapshot}"] if snapshot else [])]
        if self.tables:
            argv += [*(f"--table={pattern}" for pattern in self.tables), "--strict-names"]
        argv += [f"--exclude-table={pattern}" for pattern in self.exclude_tables]
        # or nothing could bring it back into a new database, where nothing is there to be dropped
        return [*argv, *(["--if-exists"] if drop_before(self.options) else []), *self.options]

    def _format_argv(self, place: Path) -> list[str]:
        argv = [f"--format={self.format}"]
        if self.format != "plain":
            argv.append("--compress=0")  # the pipeline is several times as fast
        if self.format == "directory":
            argv += [f"--file={place}", f"--jobs={self.jobs}", "--no-sync"]
        return argv

    def _globals_argv(self, login: Login) -> list[str]:
        argv = [str(self._program("pg_dumpall")), f"--dbname={login.conninfo}", "--no-password", "--globals-only"]
        return argv if self.role_passwords else [*argv, "--no-role-passwords"]

    def _left_out(self, login: Login) -> list[str]:
        tables = ask(self.label, login, LEFT_OUT_ON_A_STANDBY, self.tool_path)
        said = f"{self.label}: the server is a standby, so the rows of unlogged tables are left out: {few(tables)}"
        return [said] if tables else []

    def _rows_alone(self, database: str) -> list[str]:
        option = leave_out_definitions(self.options)
        said = f"the dump of {database} holds rows and no tables ({option}), so that neither a restore nor a drill can"
        return [f"{self.label}: {said} make a database of it"] if option else []

    def _warnings(self, tool: Tool) -> list[str]:
        said = (line.partition(": warning: ")[2] for line in tool.stderr().splitlines())
        return [f"{self.label}: {warning}" for warning in said if warning]
