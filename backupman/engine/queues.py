"""Watches that somebody works: tells once of a queue in which work waits and that no living worker takes from.

What it has told stands in incidents that stay open until the queue is in order again, each written in one transaction
with its event: a restart forgets nothing and repeats nothing.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock

from pydantic import Field

from backupman.config import Config, JobPlan, wanting
from backupman.engine.workers import Fleet, Queue, fleet, has_fleet, waits
from backupman.events import EventKind, Time, View
from backupman.records import Event, Incident
from backupman.store import Store
from backupman.store.jobs import Alarm, Changes
from backupman.text import minute

log = logging.getLogger(__name__)

_REMEMBERED = timedelta(days=7)
"""How long a worker stays on record of which nothing is heard: where hosts come and go there would be ever more."""


class QueueReport(View):
    """The payload of `queue_unattended` and `queue_recovered`."""

    label: str = Field(description="The queue's name for people: `@db-7` is what only the worker on db-7 can do.")
    queue: str = Field(description="The queue's name.")
    instance: str
    incident: str = Field(description="`queue_unattended`; of a recovery, that this is over.")
    waiting: int = Field(description="How many assignments wait in it now.")
    oldest: Time | None = Field(description="When the oldest of them was handed out; null where none waits.")
    unattended_since: Time = Field(description="Since when work has waited, or had waited, and nobody took it.")
    workers: list[str] = Field(description="The hosts of the living workers that take from it now.")
    last_worker: str | None = Field(description="The host of the last worker that took from it, if any ever did.")
    last_heard: Time | None = Field(description="When that worker was last heard of.")
    since: Time = Field(description="When it was first told.")
    reminder: bool = Field(description="Whether it was told before.")
    reason: str = Field(description="All this in a sentence.")


class QueueWatch:
    """The queues of an installation, and the incidents of those that nobody works off. Thread-safe."""

    def __init__(self, store: Store, instance: str, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._instance = instance
        self._clock = clock
        self._lock = Lock()
        self._config: Config | None = None

    def watch(self, config: Config, plans: Sequence[JobPlan]) -> None:
        """Take this config from now on."""
        with self._lock:
            self._config = config

    def check(self) -> None:
        """Tell of queues that have waited too long, again of those that still do, and of what is over."""
        with self._lock:
            config, at = self._config, self._clock()
            if config is None:
                return
            known = {
                incident.source: incident
                for incident in self._store.jobs.open_incidents(self._instance)
                if incident.kind == EventKind.QUEUE_UNATTENDED
            }
            if has_fleet(config):
                self._store.workers.forget(self._instance, at - _REMEMBERED)
                changes = _review(config, fleet(self._store, self._instance), known, at)
            else:
                changes = Changes(closed=list(known.values()))  # there are no queues any more
            if changes:
                self._store.jobs.change_incidents(changes, at)
            for alarm in changes.alarms:
                level = logging.ERROR if alarm.event.kind == EventKind.QUEUE_UNATTENDED else logging.INFO
                log.log(level, "%s: %s", alarm.event.kind, alarm.event.payload["Reason"])


def _review(config: Config, found: Fleet, known: dict[str, Incident], at: datetime) -> Changes:
    """What has to change, with the incidents that are open by the names of their queues."""
    changes = Changes()
    for queue in found.unattended:
        assert queue.unattended_since  # noqa: S101 - they were chosen by it
        incident = known.pop(queue.name, None)
        if incident is None:
            if at - queue.unattended_since > config.database.takeover_after:
                incident = _incident(config, queue.name, queue.unattended_since, at)
                changes.opened.append(incident)
                changes.alarms.append(_told(config, queue, incident, EventKind.QUEUE_UNATTENDED))
        # a time that lies ahead was written by a clock that was wrong
        elif incident.reminded_at > at or at - incident.reminded_at >= config.deadlines.remind_every:
            changes.reminded.append(incident)
            changes.alarms.append(_told(config, queue, incident, EventKind.QUEUE_UNATTENDED, reminder=True))
    for name, incident in known.items():
        changes.closed.append(incident)
        changes.alarms.append(_told(config, found.queue(name), incident, EventKind.QUEUE_RECOVERED))
    return changes


def _incident(config: Config, queue: str, since: datetime, at: datetime) -> Incident:
    return Incident(
        instance=config.instance,
        kind=EventKind.QUEUE_UNATTENDED,
        job="",
        source=queue,
        database="",
        due_at=since,
        opened_at=at,
        reminded_at=at,
    )


def report_on(
    queue: Queue, instance: str, since: datetime, reason: str, *, told: datetime | None = None, reminder: bool = False
) -> QueueReport:
    """The payload of an event about a queue that nobody took from since then; `told` is when that was first told."""
    return QueueReport(
        label=queue.label,
        queue=queue.name,
        instance=instance,
        incident=EventKind.QUEUE_UNATTENDED,
        waiting=queue.waiting,
        oldest=queue.oldest,
        unattended_since=since,
        workers=[worker.host for worker in queue.workers],
        last_worker=queue.last.host if queue.last else None,
        last_heard=queue.last.heard_at if queue.last else None,
        since=told or since,
        reminder=reminder,
        reason=reason,
    )


def _told(config: Config, queue: Queue, incident: Incident, kind: EventKind, *, reminder: bool = False) -> Alarm:
    reason = _unattended(queue, incident.due_at) if kind == EventKind.QUEUE_UNATTENDED else _recovered(queue)
    since, told = incident.due_at, incident.opened_at
    report = report_on(queue, config.instance, since, reason, told=told, reminder=reminder)
    event = Event(kind=kind, instance=config.instance, job="", payload=report.document())
    return Alarm(event, wanting(config, None, kind))


def _unattended(queue: Queue, since: datetime) -> str:
    last = queue.last
    before = f"; the last that did, on {last.host}, was heard of at {minute(last.heard_at)}" if last else ""
    return (
        f"{waits(queue)} in the queue {queue.label}, and no living worker takes from it since {minute(since)}"
        f"{before}: {queue.remedy}"
    )


def _recovered(queue: Queue) -> str:
    if queue.workers:
        hosts = ", ".join(sorted({worker.host for worker in queue.workers}))
        return f"a worker takes from the queue {queue.label} again, on {hosts}"
    return f"nothing waits in the queue {queue.label} any more"
