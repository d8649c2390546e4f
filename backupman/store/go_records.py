"""The records of the original Go program, read out of its own database: SQLite, PostgreSQL, MySQL or MariaDB.

Its tables are `backups` and `backup_drive_files` (https://github.com/heryTz/backupman, `migration/`). Columns are found
by their names; the connection can only read, and everything comes from one statement, so from one moment.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import URL, Connection, Engine, column, create_engine, event, func, inspect, make_url, select, table
from sqlalchemy.exc import SQLAlchemyError

from backupman.errors import StoreError
from backupman.store._engines import engine, sqlite_file
from backupman.text import first_line

_BACKUPS, _FILES = "backups", "backup_drive_files"
_COLUMNS = {
    _BACKUPS: ("id", "status", "label", "dump_path", "created_at", "updated_at"),
    _FILES: ("id", "backup_id", "provider", "label", "path", "status", "created_at", "updated_at"),
}
_OPTIONAL = {"dump_path", "updated_at", "path"}
_AT_ONCE = 1000
Row = dict[str, Any]


@dataclass(frozen=True)
class GoFile:
    """A row of `backup_drive_files`: every value as text, or as a time, and None for what cannot be read."""

    id: str
    provider: str
    label: str
    path: str
    status: str
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True)
class GoBackup:
    """A row of `backups` with its files, the oldest first."""

    id: str
    status: str
    label: str
    dump_path: str
    created_at: datetime | None
    updated_at: datetime | None
    files: Sequence[GoFile]


class GoRecords:
    """The Go program's database. `not_understood` names the columns that it has and that nobody here knows.

    Args:
        address: as `Store` takes it.

    Raises:
        StoreError: it cannot be reached, or does not hold the Go program's tables.
    """

    def __init__(self, address: str) -> None:
        url = make_url(address)
        self.place = url.set(query={}).render_as_string(hide_password=True)
        self.not_understood: list[str] = []
        self._tables: dict[str, Any] = {}
        self._zoned: set[str] = set()
        with self._translated():
            self._engine = _read_only(url)
            try:
                with self._engine.connect() as connection:
                    self._find_tables(connection)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Let go of the connection."""
        self._engine.dispose()

    def count(self) -> int:
        """How many backups there are."""
        with self._translated(), self._engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(self._tables[_BACKUPS])).scalar_one())

    def backups(self) -> Iterator[GoBackup]:
        """All of them, a few in memory at a time. Raises StoreError."""
        backups, files = self._tables[_BACKUPS], self._tables[_FILES]
        joined = backups.outerjoin(files, backups.c.id == files.c.backup_id)
        query = select(*self._columns(backups, "b_"), *self._columns(files, "f_"))
        query = query.select_from(joined).order_by(backups.c.id)
        for _, group in groupby(self._rows(query), key=lambda row: row["b_id"]):
            rows = list(group)
            found = sorted((_file(row) for row in rows if row["f_id"] is not None), key=_began)
            yield _backup(rows[0], found)

    def lost(self) -> Iterator[tuple[str, str]]:
        """The ids of files whose backup is not there, each with the backup's."""
        backups, files = self._tables[_BACKUPS], self._tables[_FILES]
        joined = files.outerjoin(backups, backups.c.id == files.c.backup_id)
        query = select(files.c.id, files.c.backup_id).select_from(joined).where(backups.c.id.is_(None))
        for row in self._rows(query):
            yield str(row["id"]), str(row["backup_id"])

    def shared(self) -> dict[tuple[str, str], str | None]:
        """The (drive, path) that several files have, each with the id of the file that was stored last.

        The Go program names objects by the second. None: nobody can tell which of them was the last.
        """
        files = self._tables[_FILES]
        finished = files.c.status == "finished"
        twice = select(files.c.label, files.c.path).where(finished, files.c.path.is_not(None), files.c.path != "")
        again = twice.group_by(files.c.label, files.c.path).having(func.count() > 1).subquery()
        of = files.join(again, (files.c.label == again.c.label) & (files.c.path == again.c.path))
        query = select(*self._columns(files, "f_")).select_from(of).where(finished)
        found: dict[tuple[str, str], list[GoFile]] = {}
        for row in self._rows(query):
            file = _file(row)
            found.setdefault((file.label, file.path), []).append(file)
        return {place: _last(several) for place, several in found.items()}

    def _rows(self, query: Any) -> Iterator[Row]:
        with self._translated(), self._engine.connect() as connection:
            options = {"stream_results": True, "yield_per": _AT_ONCE}
            for row in connection.execution_options(**options).execute(query).mappings():
                yield dict(row)

    def _find_tables(self, connection: Connection) -> None:
        inspector = inspect(connection)
        for name, wanted in _COLUMNS.items():
            if not inspector.has_table(name):
                raise StoreError(
                    f"{self.place} holds no table {name!r}: it is not the Go program's database, or that never ran"
                )
            there = {str(each["name"]).lower(): each for each in inspector.get_columns(name)}
            if missing := [each for each in wanted if each not in there and each not in _OPTIONAL]:
                raise StoreError(f"{self.place}: the table {name!r} has no column {', '.join(missing)}")
            self.not_understood += [f"{name}.{each}" for each in there if each not in wanted]
            self._tables[name] = table(name, *(column(str(there[each]["name"])) for each in wanted if each in there))
            zoned = (each for each in there if getattr(there[each]["type"], "timezone", False))
            self._zoned |= {f"{name}.{each}" for each in zoned}

    def _columns(self, of: Any, prefix: str) -> list[Any]:
        return [self._value(of, each).label(prefix + each.name.lower()) for each in of.c]

    def _value(self, of: Any, each: Any) -> Any:
        """A time without a zone is PostgreSQL's own local time: its zone is added here."""
        is_time = each.name.lower().endswith("_at")
        if (
            is_time
            and self._engine.dialect.name == "postgresql"
            and f"{of.name}.{each.name.lower()}" not in self._zoned
        ):
            return func.timezone(func.current_setting("TimeZone"), each)
        return each

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ModuleNotFoundError as error:
            raise StoreError(f"{self.place} needs {error.name}: pip install 'backupman[all]'") from error
        except (SQLAlchemyError, OSError) as error:
            told = getattr(error, "orig", None) or error
            reason = first_line(str(told))
            raise StoreError(f"the Go program's database {self.place} cannot be read: {reason}") from error


def _read_only(url: URL) -> Engine:
    """An engine that writes nothing, and gives times in UTC."""
    if file := sqlite_file(url):
        if not file.exists():
            raise StoreError(
                f"there is no {file}: name the Go program's database with --database-url, or run it where "
                "the Go program ran: its path counts from there"
            )
        # By its bytes: a path may hold what means something in a URI.
        return create_engine(
            URL.create("sqlite", database=f"{file.absolute().as_uri()}", query={"mode": "ro", "uri": "true"})
        )
    found = engine(url)
    if found.dialect.name == "postgresql":
        return found.execution_options(postgresql_readonly=True)

    @event.listens_for(found, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            cursor.execute("SET SESSION time_zone = '+00:00'")

    return found


def _backup(row: Row, files: Sequence[GoFile]) -> GoBackup:
    return GoBackup(
        id=_text(row["b_id"]),
        status=_text(row["b_status"]),
        label=_text(row["b_label"]),
        dump_path=_text(row.get("b_dump_path")),
        created_at=_time(row["b_created_at"]),
        updated_at=_time(row.get("b_updated_at")),
        files=files,
    )


def _file(row: Row) -> GoFile:
    return GoFile(
        id=_text(row["f_id"]),
        provider=_text(row["f_provider"]),
        label=_text(row["f_label"]),
        path=_text(row.get("f_path")),
        status=_text(row["f_status"]),
        created_at=_time(row["f_created_at"]),
        updated_at=_time(row.get("f_updated_at")),
    )


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)


def _time(value: object) -> datetime | None:
    """Go's zero time and MySQL's zero date are no times."""
    if not isinstance(value, datetime):
        try:
            value = datetime.fromisoformat(_text(value))
        except ValueError:
            return None
    known = value if value.tzinfo else value.replace(tzinfo=UTC)
    return known.astimezone(UTC) if known.year > 1 else None


def _began(file: GoFile) -> tuple[datetime, str]:
    return file.created_at or datetime.min.replace(tzinfo=UTC), file.id


def _last(files: Sequence[GoFile]) -> str | None:
    *_, before, last = sorted(files, key=_began)
    return last.id if _began(last)[0] > _began(before)[0] else None
