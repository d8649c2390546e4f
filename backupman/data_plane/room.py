"""In the child: how much of a disk stays free while others write into a folder."""

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread

from backupman.errors import NoRoom, Terminated
from backupman.pipeline.spool import check_room

_LOOK_EVERY = 0.5


check_drill_room = partial(check_room, what="the drill", setting="verify.folder")
"""`check_room` where drills restore."""


class Room:
    """Sees to it that what is written into a folder (a copy, a directory, a database) leaves enough of the disk free.

    Raises:
        NoRoom: it did not; the work is ended by the signal that ends any task.
    """

    def __init__(self, folder: Path, keep_free: int, check: Callable[[Path, int], None] = check_room) -> None:
        self._folder = folder
        self._keep_free = keep_free
        self._check = check
        self._short: NoRoom | None = None
        self._over = Event()
        self._watcher = Thread(target=self._watch, name="room", daemon=True)

    def __enter__(self) -> None:
        if self._keep_free:
            self._watcher.start()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._over.set()
        if self._short and isinstance(error, Terminated):
            raise self._short from error

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            try:
                self._check(self._folder, self._keep_free)
            except NoRoom as error:
                self._short = error
                os.kill(os.getpid(), signal.SIGTERM)
                return
