"""A world without waiting: a clock that tests move, a real store, real plans, and backups that are only recorded."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import yaml
from sqlmodel import Session, select

from backupman.app import Unobserved
from backupman.config import Config, JobPlan, load, plans
from backupman.engine.calls import Begun, Call, Result
from backupman.engine.deadlines import Deadlines
from backupman.engine.executor import Executor
from backupman.engine.pruning import Pruner
from backupman.engine.restoring import Restorer
from backupman.engine.runner import Order, Runner
from backupman.engine.runs import RunsHere
from backupman.engine.scheduler import Scheduler
from backupman.engine.spools import Spools
from backupman.errors import StoreError
from backupman.events import EventKind
from backupman.records import Backup, DriveFile, Incident, Run, Status, new_id
from backupman.store import Announcement, Store

INSTANCE = "host1"
NIGHTLY = {"cron": "30 2 * * *"}
ALARMS = ["backup_late", "backup_missed", "backup_stuck", "backup_recovered", "size_anomaly"]


class Clock:
    """The time, which stands still unless it is moved."""

    def __init__(self, text: str) -> None:
        self.now = at(text)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: float) -> None:
        """Move on, or back."""
        self.now += timedelta(**delta)

    def set(self, text: str) -> None:
        """Move to a time."""
        self.now = at(text)


def at(text: str) -> datetime:
    """`2026-03-02 04:30`, in UTC, or with an offset."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass
class World:
    """What a daemon would hold. `backups` says how the databases of a source turn out when it is run."""

    folder: Path
    store: Store
    clock: Clock
    settings: dict[str, Any]
    databases: dict[str, list[str]] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    """Sources, or databases, whose backups fail."""
    held: dict[str, Event] = field(default_factory=dict)
    """Sources whose backups take until the event is set."""
    unable: set[str] = field(default_factory=set)
    """Sources that cannot even record a backup."""
    sizes: dict[str, int] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    started: list[tuple[str, str]] = field(default_factory=list)
    triggers: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A daemon is there (again): everything but the store and the clock is made anew."""
        self.config: Config = self._load()
        self.plans: list[JobPlan] = plans(self.config)
        self.deadlines = Deadlines(self.store, INSTANCE, self.clock)
        self.scheduler = self._scheduler()
        self.deadlines.watch(self.config, self.plans)

    def start(self) -> None:
        """As the daemon starts, but nothing wakes the scheduler by itself."""
        self.store.jobs.end_dead_runs(INSTANCE)
        self.scheduler.reschedule(self.plans)
        self.wait()

    def reload(self, **settings: Any) -> None:
        """Take a changed config."""
        self.settings |= settings
        self.config = self._load()
        self.plans = plans(self.config)
        self.deadlines.watch(self.config, self.plans)
        self.scheduler.reschedule(self.plans)
        self.wait()

    def tick(self) -> None:
        """Wake the scheduler for every job, and wait for what can end."""
        for plan in self.plans:
            if plan.schedule:
                self.scheduler.tick(plan)
        self.wait()

    def live(self, until: str, step: timedelta = timedelta(hours=1)) -> None:
        """Let the time pass, from one due time or step to the next; at each one the deadlines are looked at too."""
        end = at(until)
        while self.clock.now < end:
            coming = [due for plan in self.plans for due in self.scheduler.upcoming(plan, self.clock(), 1)]
            self.clock.now = min([self.clock.now + step, end, *coming])
            if self.clock.now in coming:
                self.tick()
            self.deadlines.check()

    def run(self, plan: JobPlan, order: Order, sources: Sequence[str]) -> Call:
        """What the scheduler starts."""

        def task_of(source: str) -> Callable[[Begun], Result]:
            def task(begun: Begun) -> Result:
                if source in self.unable:
                    return Result(errors=[StoreError("the store cannot be used")])
                made = [self.record(plan.label, source, name) for name in self.databases.get(source, [source.lower()])]
                begun(made)
                if source in self.held:
                    self.held[source].wait(100)
                return Result(backups=[self.settle(backup, failed=self._fails(backup)) for backup in made])

            return task

        self.triggers.add(order.trigger)
        self.started += [(plan.label, source) for source in sources]
        call = Call(self._executor(), {source: task_of(source) for source in sources})
        self.calls.append(call)
        return call

    def record(self, job: str, source: str, database: str, **fields: Any) -> Backup:
        """A backup that begins now."""
        backup_id = new_id()
        known: dict[str, Any] = {
            "id": backup_id,
            "label": f"{source}/{database}" if source in self.databases else source,
            "job": job,
            "source": source,
            "database": database,
            "source_provider": "command",
            "instance": INSTANCE,
            "object_name": f"{source}/{backup_id}",
            "created_at": self.clock(),
            "drive_files": [DriveFile(backup_id=backup_id, provider="local", label="Disk")],
        }
        return self.store.backups.begin(Backup(**(known | fields)), [])

    def settle(self, backup: Backup, *, failed: bool = False, **fields: Any) -> Backup:
        """A backup ends now, with its report."""

        def enter(record: Backup) -> None:
            record.dump_status = Status.FAILED if failed else Status.FINISHED
            for file in record.drive_files:
                file.status = record.dump_status
            record.size = self.sizes.get(record.database, 1000)

        report = Announcement(EventKind.BACKUP_REPORT, [])
        settled = self.store.backups.settle(backup.id, enter, lambda _: [report])
        self.store.backups.change(backup.id, finished_at=self.clock(), **fields)
        return settled

    def make(self, job: str, source: str, database: str | None = None, *, failed: bool = False, **fields: Any) -> None:
        """A whole backup of now, made by whomever."""
        self.settle(self.record(job, source, database or source.lower()), failed=failed, **fields)

    def wait(self) -> None:
        """Wait for the end of every run that is not held."""
        deadline = time.monotonic() + 90
        while any(not call.ended() for call in self.calls) and not any(not e.is_set() for e in self.held.values()):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        if not any(not e.is_set() for e in self.held.values()):
            while any(run.state == "running" for plan in self.plans for run in self.runs(plan.label)):
                assert time.monotonic() < deadline
                time.sleep(0.001)

    def runs(self, job: str) -> Sequence[Run]:
        """A job's runs, the oldest first."""
        return list(reversed(self.store.jobs.runs(INSTANCE, job, 1000)))

    def states(self, job: str) -> list[tuple[str, str]]:
        """When the runs of a job were due, and what came of them."""
        return [(f"{run.due_at:%m-%d %H:%M}", run.state) for run in self.runs(job)]

    def alarms(self) -> list[tuple[str, dict[str, Any]]]:
        """What was told of deadlines, in order."""
        events = reversed(self.store.outbox.events(limit=None))
        return [(event.kind, event.payload) for event in events if event.kind in ALARMS]

    def told(self) -> list[str]:
        """The kinds of what was told of deadlines, in order; a reminder with a `again` behind."""
        return [kind + " again" * payload["Reminder"] for kind, payload in self.alarms()]

    def _fails(self, backup: Backup) -> bool:
        return bool({backup.source, backup.database} & self.failing)

    def _scheduler(self) -> Scheduler:
        runs = RunsHere(
            self.store, INSTANCE, self.folder, self.run, lambda label: self.scheduler.wake_again(label), self.clock
        )
        return Scheduler(self.store, INSTANCE, runs, self.deadlines.missed, self.clock)

    def _load(self) -> Config:
        file = self.folder / "config.yml"
        file.write_text(yaml.safe_dump(self.settings))
        return load(file).config

    def _executor(self) -> Executor:
        spools = Spools(self.config, self.store)
        runner = Runner(self.config, self.store, spools, Unobserved(), self.folder / "c")
        restorer = Restorer(self.config, self.plans, self.store, spools)
        return Executor(self.config, runner, Pruner(self.config, self.store), restorer)


def settings(folder: Path, *sources: str, **job: Any) -> dict[str, Any]:
    """A config with these sources, one job and one webhook that wants everything."""
    return {
        "instance": INSTANCE,
        "state_folder": str(folder),
        "data_sources": [{"provider": "command", "label": source, "argv": ["true"]} for source in sources],
        "drives": [{"provider": "local", "label": "Disk", "folder": str(folder / "drive")}],
        "jobs": [{"label": "nightly", "timezone": "UTC"} | job],
        "notifiers": {"mail": [_mail()]},
    }


def _mail() -> dict[str, Any]:
    return {
        "smtp_host": "127.0.0.1",
        "destinations": [{"email": "ops@example.com"}],
        "events": ["backup_report", *ALARMS],
    }


def last(world: World) -> dict[str, Any]:
    """The payload of what was told last."""
    return world.alarms()[-1][1]


def open_kinds(world: World) -> list[tuple[str, str]]:
    """The open incidents: kind and database."""
    return [(incident.kind, incident.database) for incident in world.store.jobs.open_incidents()]


def all_incidents(world: World) -> list[Incident]:
    """Closed ones too."""
    with Session(world.store._engine) as session:
        return list(session.exec(select(Incident)))
