"""The records of the original Go program, as its own migrations and services leave them in each kind of database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from sqlalchemy import Engine, make_url, text

from backupman.store._engines import engine

_TIME = "timestamp not null default current_timestamp"
_KEYS = {
    "sqlite": ("text", "text"),
    "postgresql": ("varchar(36)", "varchar(255)"),
    "mysql": ("varchar(36)", "varchar(255)"),
}


@dataclass
class GoProgram:
    """Its database at an address; `add` records a backup with its files."""

    address: str
    _engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self._engine = engine(make_url(self.address))
        key, words = _KEYS[self._engine.dialect.name]
        updated = "timestamp null on update current_timestamp" if self._engine.dialect.name == "mysql" else "timestamp"
        self.execute(
            f"create table backups (id {key} primary key, status {words} not null, label {words} not null, "
            f"dump_path {words}, created_at {_TIME}, updated_at {updated})",
            f"create table backup_drive_files (id {key} primary key, backup_id {key} not null, "
            f"provider {words} not null, "
            f"label {words} not null, path {words}, status {words} not null, created_at {_TIME}, updated_at {updated}, "
            "foreign key (backup_id) references backups (id) on delete cascade)",
        )

    def execute(self, *statements: str, **values: object) -> None:
        """Run statements."""
        with self._engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement), values)

    def add(
        self, label: str, *files: tuple[str, str, str], at: str = "2025-07-02 10:00:00", status: str = "finished"
    ) -> str:
        """A backup, and its files as (provider, drive, path), all of that status; its id."""
        name = str(uuid4())
        self.execute(
            "insert into backups (id, status, label, dump_path, created_at) values (:id, :status, :label, '', :at)",
            id=name,
            status=status,
            label=label,
            at=self._time(at),
        )
        for provider, drive, path in files:
            self.add_file(name, provider, drive, path, at=at, status=status)
        return name

    def add_file(
        self,
        backup: str,
        provider: str,
        drive: str,
        path: str,
        *,
        at: str = "2025-07-02 10:00:00",
        status: str = "finished",
    ) -> str:
        """A file of a backup; its id."""
        name = str(uuid4())
        self.execute(
            "insert into backup_drive_files (id, backup_id, provider, label, path, status, created_at) "
            "values (:id, :backup, :provider, :drive, :path, :status, :at)",
            id=name,
            backup=backup,
            provider=provider,
            drive=drive,
            path=path,
            status=status,
            at=self._time(at),
        )
        return name

    def add_many(self, label: str, drive: str, paths: Sequence[str]) -> set[str]:
        """Finished backups with a file each on a local drive; their ids."""
        backups = [{"id": str(uuid4()), "label": label} for _ in paths]
        files = [
            {"id": str(uuid4()), "backup": backup["id"], "drive": drive, "path": path}
            for backup, path in zip(backups, paths, strict=True)
        ]
        with self._engine.begin() as connection:
            connection.execute(
                text("insert into backups (id, status, label) values (:id, 'finished', :label)"), backups
            )
            connection.execute(
                text(
                    "insert into backup_drive_files (id, backup_id, provider, label, path, status) "
                    "values (:id, :backup, 'local', :drive, :path, 'finished')"
                ),
                files,
            )
        return {backup["id"] for backup in backups}

    def rows(self) -> list[tuple[object, ...]]:
        """Everything in its tables."""
        with self._engine.connect() as connection:
            return [
                tuple(row)
                for name in ("backups", "backup_drive_files")
                for row in connection.execute(text(f"select * from {name} order by id"))
            ]

    def close(self) -> None:
        """Let go of the connection."""
        self._engine.dispose()

    def _time(self, at: str) -> object:
        """SQLite holds times as text."""
        return at if self._engine.dialect.name == "sqlite" else datetime.fromisoformat(at)
