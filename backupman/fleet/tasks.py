"""What a worker does with an assignment: takes it, works by its excerpt of the config, and says what came of it."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from threading import Event, Lock
from typing import Any, TypeVar

from sqlmodel import Session

from backupman.app import App
from backupman.config.worker import LoadedWorker, plans_of, refused, with_excerpt
from backupman.engine.calls import Call
from backupman.engine.holding import Holding
from backupman.engine.live import Live
from backupman.errors import BackupmanError, ConfigError, StoreError
from backupman.fleet.deeds import CALLS, DEEDS
from backupman.fleet.queue import Queue
from backupman.logs import about, hide_secrets
from backupman.records import Assignment, Backup, Restore
from backupman.store import Store
from backupman.text import without

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN_AFTER = timedelta(seconds=10)
"""After how long something that could not be begun is taken again, by whatever worker."""
_STOPPED = "the worker was stopped"
_PAUSE = 1.0
_LEFT_EVERY = 10.0
"""Seconds between two looks at what an earlier worker left, as long as something of it still runs."""


@dataclass(frozen=True)
class Outcome:
    """What came of an assignment: why it is without a record, and whether another try may help."""

    error: str | None = None
    busy: bool = False
    again: bool = False


class Tasks:
    """Does assignments on this host, several at once. Thread-safe."""

    def __init__(
        self,
        loaded: LoadedWorker,
        store: Store,
        holding: Holding,
        queue: Queue,
        live: Live,
        clock: Callable[[], datetime],
    ) -> None:
        self._loaded = loaded
        self._store = store
        self._holding = holding
        self._queue = queue
        self._live = live
        self._clock = clock
        self._guard = Lock()
        self._apps: dict[str, App] = {}
        self._doing: set[str] = set()
        self._secrets: set[str] = set()
        hide_secrets(self._redact)
        self._closed = Event()
        self._stopped = Event()
        holding.on_lost.append(self.stop)

    def do(self, assignment_id: str, excerpt: dict[str, Any]) -> None:
        """Take an assignment, do it, and say what came of it; nothing where another worker has it, or it has ended."""
        with self._guard:
            self._doing.add(assignment_id)
        try:
            self._do(assignment_id, excerpt)
        finally:
            with self._guard:
                self._doing.discard(assignment_id)

    def _do(self, assignment_id: str, excerpt: dict[str, Any]) -> None:
        holder = self._holding.holder
        taken = self._surely(
            lambda: self._store.assignments.take(
                assignment_id, home=holder.home, holder=holder.id, host=holder.host, at=self._clock()
            )
        )
        if taken is None:
            return
        with about(job=taken.job, source=taken.source):
            log.info("%s: taken from the queue %s", taken.about, taken.queue)
            outcome = self._outcome(taken, excerpt)
            if outcome.error:
                log.error("%s: %s", taken.about, outcome.error)
            self._conclude(taken, excerpt, outcome)

    def go_on(self) -> None:
        """Settle what an earlier process of this state folder was doing; uploads go on from its spool.

        Again and again, because a child that outlived its parent takes a while to end. Whether an assignment is done
        again says the control host, once its records are settled. It settles itself what cannot be settled here: its
        task is gone, or this host has not what it takes any more.
        """
        left = self._left()
        while left:
            for dead in left:
                self._go_on(dead)
            left = [dead for dead in self._left() if self._unsettled(dead)]
            for dead in left:
                log.warning("%s: what an earlier worker has begun is not through here yet: we wait", dead.about)
            if left and self._stopped.wait(_LEFT_EVERY):
                return

    def _left(self) -> list[Assignment]:
        """What an earlier process of this state folder had under way, and nobody has seen to."""
        mine, assignments = self._holding.holder, self._store.assignments
        running = self._surely(lambda: assignments.running(mine.instance))
        own = [each for each in running if each.home == mine.home and each.task_id is not None]
        return [each for each in own if each.holder not in (mine.id, None)]

    def _unsettled(self, dead: Assignment) -> bool:
        pending = self._surely(lambda: self._store.backups.pending(dead.instance))
        return any((each.job, each.source, each.home) == (dead.job, dead.source, dead.home) for each in pending)

    def _go_on(self, dead: Assignment) -> None:
        assignments = self._store.assignments
        read = partial(assignments.within, partial(self._queue.excerpt_of, task_id=dead.task_id or 0))
        try:
            if excerpt := self._surely(read):
                with self._working(dead, excerpt) as app:
                    self._settle(app, dead, dead.records)
                return
        except BackupmanError as error:
            log.error("%s, which an earlier worker had under way: %s", dead.about, error.sentence)
        self._surely(partial(assignments.leave, dead.id, dead.holder))

    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._apps)

    def look(self) -> None:
        """Store what was logged so far, end what somebody has cancelled, and put back what nobody is at work on."""
        for app in self._under_way():
            app.keeping.flush()
        mine = self._holding.holder
        for each in self._store.assignments.running(mine.instance):
            with self._guard:
                working, doing = self._apps.get(each.id), each.id in self._doing
            if working:
                for record_id, reason in each.cancelled.items():
                    working.executor.cancel(record_id, reason)
            elif each.holder == mine.id and not doing:
                self._give_back(each)

    def _give_back(self, stray: Assignment) -> None:
        """Put back what stands on record as ours and is not: its end was lost with PostgreSQL's last moments."""
        holder, assignments = self._holding.holder.id, self._store.assignments
        if self._store.backups.all_finished(stray.records, cancelled=stray.cancelled):
            assignments.end(stray.id, self._clock(), holder=holder)
        elif assignments.wait_again(stray.id, holder, "its end was lost", lambda session, again: None):
            log.warning("%s: nobody is at work on it although it was taken; it is begun once more", stray.about)

    def cancel(self, record_id: str, reason: str) -> None:
        """End a record's work, if it is under way here."""
        for app in self._under_way():
            app.executor.cancel(record_id, reason)

    def close(self) -> None:
        """Begin nothing more."""
        self._closed.set()
        for app in self._under_way():
            app.executor.close()

    def stop(self, reason: str) -> None:
        """End everything that is under way, and begin nothing more."""
        self.close()
        self._stopped.set()
        for app in self._under_way():
            app.executor.stop(reason)
            app.verifier.stop(reason)

    def _redact(self, text: str) -> str:
        """The text without the secrets of anything that was done here."""
        return without(sorted(self._secrets, key=len, reverse=True), text)

    def _under_way(self) -> list[App]:
        with self._guard:
            return list(self._apps.values())

    @contextmanager
    def _working(self, taken: Assignment, excerpt: dict[str, Any]) -> Iterator[App]:
        """The app of an excerpt, while it is worked with. Raises ConfigError where this host cannot, or may not."""
        config = with_excerpt(self._loaded, excerpt)
        if reason := refused(self._loaded.config, config):
            raise ConfigError(reason, permanent=True)
        self._secrets |= config.secrets()
        app = App.of(
            config,
            plans_of(config, excerpt),
            self._loaded.path,
            self._store,
            self._live,
            config.monitoring_verbosity,
            holding=self._holding,
        )
        with self._guard:
            self._apps[taken.id] = app
        try:
            if self._closed.is_set():
                app.executor.close()
            yield app
        finally:
            with self._guard:
                del self._apps[taken.id]
            app.release()

    def _outcome(self, taken: Assignment, excerpt: dict[str, Any]) -> Outcome:
        try:
            with self._working(taken, excerpt) as app:
                if call := CALLS.get(taken.kind):
                    return self._watched(app, taken, call(app, taken))
                DEEDS[taken.kind](app, taken)
                return Outcome()
        except BackupmanError as error:
            return Outcome(error.sentence, again=isinstance(error, StoreError) or self._closed.is_set())
        except Exception as error:  # the door of everything that a worker does
            log.exception("%s: unexpected", taken.about)
            return Outcome(f"unexpected {type(error).__name__}")

    def _conclude(self, taken: Assignment, excerpt: dict[str, Any], outcome: Outcome) -> None:
        """End it, or put it back into its queue while that makes sense."""

        def defer(session: Session, assignment: Assignment) -> None:
            self._queue.put(session, assignment, excerpt, AGAIN_AFTER)

        assignments, holder = self._store.assignments, self._holding.holder.id
        if outcome.again and taken.begin_until and self._clock() < taken.begin_until:
            self._surely(lambda: assignments.wait_again(taken.id, holder, outcome.error, defer))
            return
        self._surely(
            lambda: assignments.end(taken.id, self._clock(), holder=holder, error=outcome.error, busy=outcome.busy)
        )

    def _watched(self, app: App, taken: Assignment, call: Call) -> Outcome:
        """Wait for a call's end, with its records noted from their beginning."""
        ids = call.ids(None)
        self._surely(lambda: self._store.assignments.began(taken.id, ids))
        result = call.result()
        if ids:
            self._settle(app, taken, ids)
            [known] = self._surely(lambda: self._store.assignments.among([taken.id]))
            if self._surely(lambda: self._store.backups.all_finished(ids, cancelled=known.cancelled)):
                return Outcome()  # perhaps from the spool, after a bad moment of the store
        made = result.backups or result.restores
        if self._closed.is_set() and not (made and result.good):  # of what was not even begun there is no word
            return Outcome(_STOPPED, again=True)
        if result.errors and not made:
            return Outcome(result.errors[0].sentence, again=isinstance(result.errors[0], StoreError))
        if result.busy:
            return Outcome(f"{taken.source} is being backed up already", busy=True)
        return Outcome()

    def _settle(self, app: App, taken: Assignment, ids: Sequence[str]) -> None:
        """Let no record stay pending: the store may have had a bad moment just when it was to be settled."""

        def ours(record: Backup | Restore) -> bool:
            if isinstance(record, Restore):
                return record.id in ids
            return (record.job, record.source) == (taken.job, taken.source)

        resumable = self._surely(lambda: app.recovery.settle(which=ours))
        if resumable:
            app.executor.start_retry(app.plans, resumable, wait=True).result()

    def _surely(self, work: Callable[[], T]) -> T:
        """Do it although the store has a bad moment, until another host may have taken over."""
        while True:
            try:
                return work()
            except StoreError as error:
                if self._holding.lost:
                    raise
                log.warning("%s", error.sentence)
            self._stopped.wait(_PAUSE)
