"""Calls: what was asked of the executor at once, under way in threads, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from threading import Condition
from typing import Protocol

from backupman.errors import BackupmanError
from backupman.records import Backup, Restore, Status

_TICK = 0.5


class Stoppable(Protocol):
    """Whoever works on a call."""

    def stop(self, reason: str) -> None:
        """End everything that is under way."""


Begun = Callable[[Sequence[Backup | Restore]], None]
"""Told the records of a task as soon as they are there."""

Task = Callable[[Begun], "Result"]


@dataclass
class Result:
    """What came of a call: the settled records, the sources that were busy, and what went wrong beside them."""

    backups: list[Backup] = field(default_factory=list)
    restores: list[Restore] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    errors: list[BackupmanError] = field(default_factory=list)
    interrupted: bool = False

    @property
    def good(self) -> bool:
        """Whether everything that was asked for is finished."""
        finished = all(backup.status == Status.FINISHED for backup in self.backups)
        finished = finished and all(restore.status == Status.FINISHED for restore in self.restores)
        return finished and not (self.busy or self.errors or self.interrupted)

    def add(self, other: "Result") -> None:
        """Take over what came of a part of the call."""
        self.backups += other.backups
        self.restores += other.restores
        self.busy += other.busy
        self.errors += other.errors


class Call:
    """A call under way: a thread a source. Most of them wait, for a source's lock or for a free data plane."""

    def __init__(self, executor: Stoppable, tasks: Mapping[str, Task]) -> None:
        self._executor = executor
        self._begun: list[str] = []
        self._silent = set(tasks)
        self._changed = Condition()
        pool = ThreadPoolExecutor(max(1, len(tasks)), thread_name_prefix="backup")
        self._pending: set[Future[Result]] = set()
        for name, task in tasks.items():
            future = pool.submit(task, partial(self._hear, name))
            future.add_done_callback(lambda _, name=name: self._hear(name, ()))  # type: ignore[misc]
            self._pending.add(future)
        pool.shutdown(wait=False)

    def _hear(self, name: str, records: Sequence[Backup | Restore]) -> None:
        """A task has made its records, or has ended without."""
        with self._changed:
            self._begun += [record.id for record in records]
            self._silent.discard(name)
            self._changed.notify_all()

    def ids(self, timeout: float | None) -> list[str]:
        """The ids of the records, once every task has made its own or has ended, or `timeout` seconds are over."""
        with self._changed:
            self._changed.wait_for(lambda: not self._silent, timeout)
            return list(self._begun)

    def ended(self) -> bool:
        """Whether nothing of the call is under way any more."""
        return all(future.done() for future in self._pending)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call back once nothing of the call is under way any more; at once if that is so already."""
        left = set(self._pending)

        def one(future: Future[Result]) -> None:
            with self._changed:
                left.discard(future)
                last = not left
            if last:
                callback()

        if not left:
            callback()
        for future in list(left):
            future.add_done_callback(one)

    def result(self) -> Result:
        """Wait for the end; Ctrl-C ends everything that is under way and is part of the result."""
        result, pending = Result(), self._pending
        try:
            while pending:  # in short turns, so that Ctrl-C reaches this thread
                done, pending = wait(pending, timeout=_TICK, return_when=FIRST_COMPLETED)
                for future in done:
                    result.add(future.result())
        except KeyboardInterrupt:
            self._executor.stop("the backup was interrupted")
            result.interrupted = True
            for future in pending:
                result.add(future.result())
        return result
