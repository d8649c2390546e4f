"""Compares records and drives by the clock, in a thread beside the daemon's others.

A due time is run once, also by several daemons of one name on one store; the runs stand beside those of the jobs. What
was missed is caught up once, however late: it tells how things are now.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from threading import Lock, Thread

from backupman.config import Config
from backupman.engine.reconcile_report import sentence
from backupman.engine.reconciling import Reconciler
from backupman.errors import BackupmanError, BusyError
from backupman.store import Store

log = logging.getLogger(__name__)

_RUNS = "reconcile: drives"
"""What stands in place of a job in the records of its runs."""


class ReconcileSchedule:
    """The planned comparisons of an installation. Thread-safe."""

    def __init__(self, store: Store, instance: str, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._instance = instance
        self._clock = clock
        self._guard = Lock()
        self._config: Config | None = None
        self._reconciler: Reconciler | None = None
        self._under_way: tuple[Thread, Reconciler] | None = None
        self._stopped = False

    def watch(self, config: Config, reconciler: Reconciler) -> None:
        """Take this config from now on; what has begun goes on with the one that it began with."""
        with self._guard:
            self._config, self._reconciler = config, reconciler

    def check(self) -> None:
        """Begin what is due now. Raises StoreError; what was not recorded then is looked at again."""
        with self._guard:
            config, reconciler = self._config, self._reconciler
            if not (config and config.reconcile and reconciler) or self._stopped:
                return
            if (run := self._due(config)) is None:
                return
            thread = Thread(target=self._run, args=(config, reconciler, run), name="reconcile", daemon=True)
            self._under_way = thread, reconciler
            thread.start()

    def stop(self, reason: str) -> None:
        """End what is under way, and begin nothing more."""
        with self._guard:
            self._stopped = True
        if self._under_way:
            thread, reconciler = self._under_way
            reconciler.stop(reason)
            thread.join(timeout=60)

    def _due(self, config: Config) -> int | None:
        """The run of a due time that nobody has begun yet."""
        assert config.reconcile  # noqa: S101 - asked before
        jobs, at = self._store.jobs, self._clock()
        last = jobs.last_run(self._instance, _RUNS, at)
        if last is None:
            jobs.skip(self._instance, _RUNS, at, "from now on records and drives are compared by the clock")
            return None
        due = config.reconcile.schedule.latest(at, last.due_at)
        if due is None or due <= last.due_at:
            return None
        if self._under_way and self._under_way[0].is_alive():
            jobs.skip(self._instance, _RUNS, due, "still under way since before")
            return None
        return jobs.open_run(self._instance, _RUNS, due, at)

    def _run(self, config: Config, reconciler: Reconciler, run: int) -> None:
        unfinished = None
        try:
            assert config.reconcile  # noqa: S101 - asked before
            for review in reconciler.reconcile(config.drives, fix=config.reconcile.fix):
                log.log(logging.INFO if review.good else logging.WARNING, "%s", sentence(review))
        except BusyError as error:  # somebody does it by hand just now
            log.info("%s", error.sentence)
        except BackupmanError as error:
            log.error("records and drives could not be compared: %s", error.sentence)
            unfinished = error.sentence
        except Exception as error:  # the door of everything that the daemon does by itself
            log.exception("records and drives could not be compared: unexpected")
            unfinished = f"unexpected {type(error).__name__}"
        try:
            self._store.jobs.end_run(run, self._clock(), unfinished)
        except BackupmanError as error:
            log.error("the end of a run could not be recorded: %s", error.sentence)
