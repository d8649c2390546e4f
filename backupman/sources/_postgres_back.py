"""The way back of a PostgreSQL source: restore, look at a stored dump, a throwaway server, and what a drill asks."""

from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, ClassVar

from backupman.errors import RestoreError, SourceError
from backupman.manifest import TableRows
from backupman.sources import GLOBALS, Origin, Source, Target
from backupman.sources._postgres_errors import RESTORE_MEANINGS
from backupman.sources._postgres_login import PostgresLogin
from backupman.sources._postgres_restore import inspect, restore
from backupman.sources._postgres_rows import count_rows, scalar
from backupman.sources._postgres_scratch import scratch_server
from backupman.sources._postgres_server import Server


class PostgresBack(PostgresLogin, ABC):
    """A source on a PostgreSQL server that its dumps can be brought back into."""

    restores: ClassVar[bool] = True

    def exists(self, database: str) -> bool:
        with self._restoring() as server:
            return database == GLOBALS or server.exists(database)

    def restore(self, dump: BinaryIO, origin: Origin, target: Target, folder: Path) -> list[str]:
        with self._restoring() as server:
            return restore(server, dump, origin, target, folder)

    def remove(self, database: str) -> None:
        if database != GLOBALS:
            with self._restoring() as server:
                server.drop(database)

    def count_rows(self, database: str) -> list[TableRows]:
        with self._restoring() as server:
            return count_rows(server, database)

    def scalar(self, database: str, sql: str, timeout: float) -> str | None:
        with self._restoring() as server:
            return scalar(server, database, sql, timeout)

    def inspect(self, dump: BinaryIO, origin: Origin, folder: Path) -> None:
        inspect(self._server(), dump, origin, folder)

    @contextmanager
    def scratch(self, folder: Path, origin: Origin) -> Iterator[Source]:
        with scratch_server(self.label, folder, origin) as settings:
            yield type(self).model_validate({"provider": self.provider, "label": self.label, **settings})

    def _server(self) -> Server:
        return Server(self.label, self.maintenance_db, self.tool_path, self._logged_in)

    @contextmanager
    def _restoring(self) -> Iterator[Server]:
        try:
            with self._explained(RESTORE_MEANINGS):
                yield self._server()
        except SourceError as error:
            raise RestoreError(error.sentence, permanent=error.permanent) from error
