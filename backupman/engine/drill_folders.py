"""The folders that drills restore in: one for a source, held by a lock, and emptied also after a crash.

What a drill makes on a scratch server is noted in its folder before it is made, and exactly that is dropped.
"""

import json
import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from backupman.config import Config
from backupman.data_plane import DataPlane
from backupman.data_plane.tasks import DropTask
from backupman.engine.locks import source_lock
from backupman.errors import BackupmanError, BusyError
from backupman.naming import slug
from backupman.sources import Source
from backupman.sources._scratch import sweep

log = logging.getLogger(__name__)

_MADE = "made.json"


@dataclass(frozen=True)
class DrillFolder:
    """A source's folder, while its lock is held."""

    path: Path
    lock: int

    @property
    def work(self) -> Path:
        """What the child makes and removes."""
        return self.path / "work"

    def note(self, server: str, database: str) -> None:
        """Say what is going to be made on a scratch server."""
        (self.path / _MADE).write_text(json.dumps({"server": server, "database": database}))


class DrillFolders:
    """All of them, in `verify.folder`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._folder = (config.verify.folder or config.state_folder / "drills").resolve()  # as /proc says it

    @contextmanager
    def of(self, source: str, stop: Callable[[], bool] = lambda: False) -> Iterator[DrillFolder]:
        """The source's folder, new; nothing of it is there afterwards. Waits for another drill of the source to end.

        Raises:
            BusyError: `stop` asked to end the waiting.
            BackupmanError: the folder cannot be made, or what a dead drill has left cannot be dropped.
        """
        name = slug(source)
        with self._held(name, wait=True, stop=stop) as lock:
            folder = DrillFolder(self._folder / name, lock)
            self._clear(folder.path)
            try:
                folder.path.mkdir(mode=0o700, parents=True)
            except OSError as error:
                raise BackupmanError(
                    f"{source}: the drill's folder {folder.path} cannot be made: {error.strerror}: give the account "
                    "write access, or set verify.folder"
                ) from error
            try:
                yield folder
            finally:
                with suppress(BackupmanError):  # it is noted still, and is tried again
                    self._clear(folder.path)

    def sweep(self) -> None:
        """Remove what dead drills have left; what cannot be dropped yet stays noted."""
        sweep()
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            try:
                with self._held(path.name, wait=False):
                    self._clear(path)
            except BusyError:
                continue
            except BackupmanError as error:
                log.warning("%s", error.sentence)

    @contextmanager
    def _held(self, name: str, *, wait: bool, stop: Callable[[], bool] = lambda: False) -> Iterator[int]:
        with source_lock(self._config.state_folder, f"drill-{name}", wait=wait, stop=stop) as lock:
            yield lock

    def _clear(self, path: Path) -> None:
        if not path.is_dir():
            return
        _end_what_runs_in(path)
        self._drop_what_was_made(path)
        shutil.rmtree(path, ignore_errors=True)

    def _drop_what_was_made(self, path: Path) -> None:
        try:
            made = json.loads((path / _MADE).read_text())
        except (OSError, ValueError):  # not noted, so not made
            return
        server: Source | None = self._config.scratch_server(made["server"])
        if server is None:
            log.warning(
                "the database %s may be left on %s, which is not in scratch_servers any more: drop it there",
                made["database"],
                made["server"],
            )
            return
        DataPlane().run(DropTask(source=server.revealed(), database=made["database"]))


def _end_what_runs_in(folder: Path) -> None:
    """Kill the servers that a killed drill has left: they work in the folder, and nobody else does."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder) and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
