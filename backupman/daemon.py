"""The service: recovers, schedules, delivers and watches; on SIGHUP it takes a new config and keeps what is running."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from backupman.app import App
from backupman.config import Config, JobPlan
from backupman.engine.alarm_drills import LANE, AlarmDrills
from backupman.engine.calls import Call
from backupman.engine.deadlines import Deadlines
from backupman.engine.dispatcher import delivering
from backupman.engine.health import Checkup, Health
from backupman.engine.history import purge
from backupman.engine.holding import LEAD
from backupman.engine.live import Live
from backupman.engine.locks import daemon_lock
from backupman.engine.proofs import ProofsHere
from backupman.engine.queues import QueueWatch
from backupman.engine.readiness import OwnFiles
from backupman.engine.reconcile_schedule import ReconcileSchedule
from backupman.engine.records_watch import RecordsWatch
from backupman.engine.runner import Order
from backupman.engine.runs import RunsHere
from backupman.engine.scheduler import Scheduler
from backupman.engine.verify_schedule import VerifySchedule
from backupman.errors import BackupmanError, ConfigError
from backupman.fleet import control_of
from backupman.records import now

if TYPE_CHECKING:
    from backupman.engine.executor import Executor
    from backupman.fleet.handing import Handing

log = logging.getLogger(__name__)

_ASK_EVERY = 2.0
"""Seconds after which a daemon that stands by looks again whether it is to lead."""
_TICK = 0.2
_RECOVER_EVERY = timedelta(seconds=10)
_CHECK_EVERY = timedelta(minutes=1)
_DRILL_EVERY = timedelta(seconds=20)
"""How soon it is noticed that an alarm drill is due or has failed, or that copies are to be verified."""
_SWEEP_EVERY = timedelta(minutes=10)
_PURGE_EVERY = timedelta(days=1)
_BEAT_EVERY = timedelta(seconds=10)
_DEAD_AFTER = timedelta(minutes=5)
_LONGEST_GAP = 5.0
_DEADLINES = "deadlines"
_FIXED = ("instance", "state_folder", "database", "executor")
"""Settings that locks, records and schedules were begun under."""


class Daemon:
    """Everything that `backupman serve` keeps going, apart from HTTP.

    Raises:
        ConfigError: the config is wrong.
        StoreError: the store cannot be used.
        BusyError: another daemon works in the same state folder.
    """

    def __init__(self, config_file: Path, clock: Callable[[], datetime] = now) -> None:
        self._config_file = config_file
        self._clock = clock
        self._hurried = Event()
        self._stopping = Event()
        self._silence = 0.0
        self._asked_at = time.monotonic()
        self._old: list[App] = []
        self._checkup = Checkup()
        self.live = Live(lambda: self.scheduler.soon(_DEADLINES))
        self.app = replace(App.from_config(config_file, self.live), own_holding=None)
        config, store = self.app.config, self.app.store
        self._served = config.http.at_start()
        self._lock = daemon_lock(config.state_folder)
        self.own_files = OwnFiles("daemon", config.state_folder / "daemon.lock", store.file)
        self._store = store  # of the first config, which everything below goes on with
        self.deadlines = Deadlines(store, config.instance, clock)
        self.alarm_drills = AlarmDrills(store, config.instance, clock)
        self.queues = QueueWatch(store, config.instance, clock)
        self.reconciling = ReconcileSchedule(store, config.instance, clock)
        self._control = control_of(self.app, self.live, clock)
        proofs = self._control.proofs if self._control else ProofsHere(store, clock)
        self.verifying = VerifySchedule(store, config.instance, proofs, clock)
        self.verifying.watch(self.app.plans, self.app.verifier)
        runs = self._control.runs if self._control else self._runs_here(config)
        self.scheduler = Scheduler(store, config.instance, runs, self.deadlines.missed, clock)
        self._dispatcher = delivering(lambda: self.app.dispatcher, self._stopping, self.scheduler.waits)
        self._holding = self.app.holding  # what we claim, under every config that comes
        self._leads = False
        self._half_way = False  # it has begun to lead and not got through with that
        self._closing = Event()
        self._stand_by = Thread(target=self._wait_for_lead, name="standing by", daemon=True)

    def _runs_here(self, config: Config) -> RunsHere:
        wake_again = lambda job: self.scheduler.wake_again(job)  # noqa: E731 - there is none yet
        return RunsHere(self._store, config.instance, config.state_folder, self.run, wake_again, self._clock)

    @property
    def executor(self) -> "Executor | Handing":
        """Whoever does what is asked for: this process, or the workers of a fleet."""
        return self._control.handing if self._control else self.app.executor

    @property
    def leads(self) -> bool:
        """Whether it is the one daemon of its instance that watches the clocks and sends what is owed."""
        return self._leads

    def start(self) -> None:
        """Settle what a crash left, then schedule and deliver; stand by as long as another daemon does so."""
        if self._control:
            self._control.start()
        if self._holding:
            self._holding.take(f"daemon {self._holding.home}")
            self.app.store.jobs.fence = self._holding.fence
            if leader := self._holding.take(LEAD):
                log.info("another daemon of %s leads, on %s: standing by", self.app.config.instance, leader)
                self.recover()
                self.app.spools.expire()
                self._watch()
                self._stand_by.start()
                return
        self._lead()

    def _wait_for_lead(self) -> None:
        assert self._holding  # noqa: S101 - nobody else stands by
        while not self._closing.wait(_ASK_EVERY):
            try:
                with self.scheduler.waits.of("standing by"):
                    self.recover()
                    leader = self._holding.take(LEAD)
            except BackupmanError as error:
                log.error("standing by: %s", error.sentence)
                continue
            if leader is None:
                log.warning("this daemon leads now: the one before has stopped, or nothing was heard of it")
                self._half_way = True
                self._lead()
                self._half_way = False
                return

    def _watch(self) -> None:
        self.deadlines.watch(self.app.config, self.app.plans)
        self.alarm_drills.watch(self.app.config)
        self.queues.watch(self.app.config, self.app.plans)
        self.reconciling.watch(self.app.config, self.app.reconciler)
        self.verifying.watch(self.app.plans, self.app.verifier)

    def _lead(self) -> None:
        self._leads = True
        self.app.store.outbox.release(self.app.config.instance)  # a `run` beside us may send twice, with the same id
        self.recover()
        self._dispatcher.start()
        self._watch()
        self.scheduler.start(self.app.plans)
        self.scheduler.every(_RECOVER_EVERY, "recovery", self.recover)
        records = RecordsWatch(self._store, lambda: self.app.config, self.scheduler.waits, self._clock)
        self.scheduler.every(_RECOVER_EVERY, records.lane, records.check)
        if control := self._control:
            for interval, name, work in control.lanes():
                self.scheduler.every(interval, name, work)
        self.scheduler.every(_CHECK_EVERY, _DEADLINES, self.deadlines.check)
        self.scheduler.every(_DRILL_EVERY, LANE, self.alarm_drills.check)
        self.scheduler.every(_DRILL_EVERY, "queues", self.queues.check)
        self.scheduler.every(_CHECK_EVERY, "reconcile", self.reconciling.check)
        self.scheduler.every(_DRILL_EVERY, "verifying", self.verifying.check)
        self.scheduler.every(_SWEEP_EVERY, "drills", self.verifying.sweep)
        self.scheduler.every(_SWEEP_EVERY, "spool", lambda: self.app.spools.expire())
        self.scheduler.every(_PURGE_EVERY, "history", self._purge)
        self.scheduler.every(_BEAT_EVERY, "heartbeat", self._beat)

    def recover(self) -> None:
        """Settle what a crash left; again and again, because a child that outlived its parent takes a while to end."""
        app = self.app
        if resumable := app.recovery.settle(others=self._leads):
            app.executor.start_retry(app.plans, resumable, wait=True)

    def run(self, plan: JobPlan, order: Order, sources: list[str] | None = None) -> Call:
        """Start a job; a source that another job is dumping is waited for."""
        return self.app.executor.start([plan], sources, order, wait=order.trigger == "schedule")

    def _purge(self) -> None:
        purge(self.app.store, self.app.config.instance, self.app.config.history.keep, self._clock())

    def _beat(self) -> None:
        self._silence = 0.0

    @property
    def lost(self) -> bool:
        """Whether another host may have taken over."""
        return self._holding is not None and self._holding.lost

    def lives(self) -> bool:
        """Whether it still schedules and delivers, as it should from `start` on; to be asked every second or so."""
        at = time.monotonic()
        self._silence += min(at - self._asked_at, _LONGEST_GAP)  # we do not ask, either, while the machine is paused
        self._asked_at = at
        if self.lost or self.own_files.displaced():
            return False
        if self._stand_by.is_alive():
            self._silence = 0.0
            return True
        return not self._half_way and self._dispatcher.is_alive() and self._silence < _DEAD_AFTER.total_seconds()

    @property
    def stopping(self) -> bool:
        """Whether the service is about to end."""
        return self._stopping.is_set()

    def upcoming(self, plan: JobPlan, count: int) -> list[datetime]:
        """The next due times of a job."""
        return self.scheduler.upcoming(plan, self._clock(), count)

    def health(self, timeout: timedelta) -> Health:
        """What the checks found, now or a short while ago."""
        return self._checkup.of(self.app.config, timeout)

    def cancel(self, backup_id: str, reason: str) -> bool:
        """End one backup, also one of an earlier config or of a worker; whether it was under way."""
        here = any(app.executor.cancel(backup_id, reason) for app in [*self._old, self.app])
        return here or (self._control is not None and self._control.handing.cancel(backup_id, reason))

    def reload(self) -> None:
        """Take the config anew; a wrong one changes nothing and is reported in the log."""
        before, fresh = self.app, None
        try:
            fresh = App.from_config(self._config_file, self.live, holding=self._holding)
            if changed := [name for name in _FIXED if getattr(fresh.config, name) != getattr(before.config, name)]:
                raise ConfigError(f"{', '.join(changed)} can only change with a restart")
            handing = self._control.hand_of(fresh) if self._control else None
            self.app = fresh  # before anything runs by its plans
            self._watch()
            if self._leads:
                self.scheduler.reschedule(fresh.plans)
            if self._control and handing:
                self._control.handing = handing
        except BackupmanError as error:
            self.app = before
            log.error("the config was not taken, the old one stays: %s", error.sentence)
            if fresh:
                with suppress(BackupmanError):
                    self._watch()
                fresh.close()
            return
        self._retire(before)
        log.info("the config was read anew: %d jobs", len(fresh.plans))
        wanted = fresh.config.http.at_start()
        if changed := [f"http.{name}" for name in wanted if wanted[name] != self._served[name]]:
            log.warning("%s: taken at the next start; until then it is served as before", ", ".join(changed))

    def _retire(self, before: App) -> None:
        """Keep an earlier config's app for as long as something that it has begun goes on."""
        apps = [*self._old, before]
        self._old = [app for app in apps if app.executor.busy]
        for app in apps:
            if not app.executor.busy:
                app.close()

    def hurry(self) -> None:
        """Let `stop` wait no longer for what is running."""
        self._hurried.set()

    def stop(self, grace: timedelta) -> None:
        """Take no more work, give what is running a while, end the rest and record it."""
        self._closing.set()
        if self._stand_by.is_alive():
            self._stand_by.join()
        self.scheduler.stop()
        self.reconciling.stop("backupman was stopped")
        apps = [*self._old, self.app]
        for app in apps:
            app.executor.close()
        deadline = time.monotonic() + grace.total_seconds()
        while any(app.executor.busy for app in apps) and time.monotonic() < deadline and not self._hurried.wait(_TICK):
            pass
        self.verifying.stop("backupman was stopped")
        for app in apps:
            app.executor.stop("backupman was stopped")
        while any(app.executor.busy for app in apps):
            time.sleep(_TICK)
        self._stopping.set()
        self.scheduler.close()
        if self._dispatcher.is_alive():
            self._dispatcher.join(timeout=5)
        if self._control:
            self._control.close()
        if self._holding:
            self._holding.close()
        for app in apps:
            app.close()
        self._store.close()
        os.close(self._lock)
