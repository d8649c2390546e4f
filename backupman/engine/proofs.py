"""How copies are verified that somebody asked for or that are due: here, one after the other, or by `fleet.proofs`."""

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Protocol

from backupman.engine.verifying import Verifier
from backupman.errors import BackupmanError, Interrupted
from backupman.levels import Level
from backupman.records import Backup
from backupman.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """Something to verify; `run` is the record of a due time."""

    name: str
    level: Level
    backups: Callable[[], Iterator[Backup]]
    verifier: Verifier
    drives: Collection[str] | None = None
    run: int | None = None


class Proofs(Protocol):
    """Verifies what it is given."""

    def begin(self, work: Work) -> bool:
        """Verify it as soon as it is its turn; false when something of that name waits or is under way already."""

    def waits(self, name: str) -> bool:
        """Whether something of that name waits or is under way."""

    def stop(self, reason: str) -> None:
        """End what is under way here, and begin nothing more here."""


class ProofsHere:
    """One thread for all that is verified in the daemon. Thread-safe."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._waiting: set[str] = set()
        self._guard = Lock()
        self._current: Work | None = None
        self._stopped = False
        self._worker = Thread(target=self._work, name="verifying", daemon=True)

    def waits(self, name: str) -> bool:
        """See Proofs."""
        return name in self._waiting

    def stop(self, reason: str) -> None:
        """See Proofs; a due time that was not finished is caught up."""
        self._stopped = True
        self._queue.put(None)
        with self._guard:
            if self._current:
                self._current.verifier.stop(reason)
        if self._worker.ident is not None:
            self._worker.join(timeout=60)

    def begin(self, work: Work) -> bool:
        """See Proofs."""
        with self._guard:
            if work.name in self._waiting or self._stopped:
                return False
            self._waiting.add(work.name)
            if self._worker.ident is None:
                self._worker.start()
        self._queue.put(work)
        return True

    def _work(self) -> None:
        while work := self._queue.get():
            with self._guard:
                self._current = None if self._stopped else work
            try:
                self._end(work, self._do(work) if self._current else "backupman was stopped")
            finally:
                with self._guard:
                    self._current = None
                    self._waiting.discard(work.name)

    def _do(self, work: Work) -> str | None:
        """Verify it; why it was not finished, if it was not."""
        try:
            checked = work.verifier.verify(work.backups(), work.drives, work.level)
            errors = [each.error is not None for each in checked]
        except Interrupted as error:
            return error.sentence
        except BackupmanError as error:
            log.error("%s: %s", work.name, error.sentence)
            return error.sentence
        except Exception as error:  # the door of everything that the daemon does by itself
            log.exception("%s: unexpected", work.name)
            return f"unexpected {type(error).__name__}"
        log.info("%s: %d copies at level %s, %d not right", work.name, len(errors), work.level, sum(errors))
        return None

    def _end(self, work: Work, unfinished: str | None) -> None:
        if work.run is None:
            return
        try:
            self._store.jobs.end_run(work.run, self._clock(), unfinished)
        except BackupmanError as error:
            log.error("the end of a run could not be recorded: %s", error.sentence)
