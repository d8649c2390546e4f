"""Watches that what the config promises of backups is kept, and tells once what is not, and once that it is again.

Everything follows from the records and from the incidents that stand open in the store, each written in one
transaction with its event: a restart forgets nothing and repeats nothing. What is in order costs no query until its
next deadline ends or a backup of it is settled.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Lock

from backupman.config import Config, JobPlan
from backupman.engine.promises import Missed, Promise, Target, next_due
from backupman.engine.review import OF_PROMISES, Review
from backupman.errors import BackupmanError
from backupman.logs import about
from backupman.records import Incident
from backupman.store import Store
from backupman.store.jobs import Changes, Key
from backupman.store.standing import Of

log = logging.getLogger(__name__)

_SKEW = timedelta(minutes=10)
"""What was begun later than so much from now was recorded by a clock that was ahead, and says nothing."""
_OUT = 50
"""So many numbers of events may be out whose transactions are still to come: a server gives them out before."""
_NEVER = datetime.max.replace(tzinfo=UTC)


class Deadlines:
    """The deadlines of all jobs of an installation, ingested ones too. Thread-safe."""

    def __init__(self, store: Store, instance: str, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._instance = instance
        self._clock = clock
        self._lock = Lock()
        self._config: Config | None = None
        self._promises: dict[Key, Promise] = {}
        self._again_at: dict[Key, datetime] = {}
        self._checked_at: datetime | None = None
        self._last_event = 0
        self._seen: set[int] = set()

    def watch(self, config: Config, plans: Sequence[JobPlan]) -> None:
        """Take these promises from now on; raises StoreError, and then nothing has changed."""
        texts = {Key(plan.label, source.label): plan.schedule_text for plan in plans for source in plan.sources}
        texts |= {Key(job.job, job.device, job.sender): "" for job in config.ingest.jobs}
        with self._lock:
            at = self._clock()
            since = self._store.jobs.seen_sources(self._instance, texts, at)
            scheduled = {plan.label: plan.schedule_text for plan in plans if plan.schedule}
            anchors = self._store.jobs.seen_jobs(self._instance, scheduled, at)
            if self._config is None:
                self._last_event = self._store.standing.last_event()
            self._config = config
            self._promises = {
                promise.key: promise for promise in _promises(config, plans, self._instance, since, anchors)
            }
            self._again_at.clear()

    def promises(self) -> list[Promise]:
        """What is promised now."""
        with self._lock:
            return list(self._promises.values())

    def check(self) -> None:
        """Look at everything that may have changed since the last time, and tell what there is to tell."""
        with self._lock:
            at = self._clock()
            if self._checked_at and at < self._checked_at:
                self._again_at.clear()  # the clock was set back
            self._checked_at = at
            incidents = self._incidents()
            for key in self._settled():
                self._again_at[key] = at  # and so the next time too, should it come to nothing now
            for key, promise in self._promises.items():
                if key in incidents or self._again_at.get(key, at) <= at:
                    self._look(promise, incidents.pop(key, []), at)
            gone = [incident for each in incidents.values() for incident in each]
            self._enter(Changes(closed=gone), at)

    def _look(self, promise: Promise, incidents: Sequence[Incident], at: datetime) -> None:
        """Look at one promise; a fault of ours in it keeps no other from its turn. Raises StoreError."""
        try:
            review = self._review(promise, incidents, at)
            self._enter(review.look(), at)
            self._again_at[promise.key] = review.again_at or _NEVER
        except BackupmanError:
            raise
        except Exception:
            log.exception("%s: whether its backups are late cannot be said: unexpected", promise.label)

    def missed(self, plan: JobPlan, missed: Missed) -> None:
        """Record due times of a job that were not run, and tell of them."""
        with self._lock:
            at, incidents, changes = self._clock(), self._incidents(), Changes()
            for source in plan.sources:
                if promise := self._promises.get(Key(plan.label, source.label)):
                    changes += self._review(promise, incidents.get(promise.key, []), at).miss(missed)
            if self._store.jobs.miss(self._instance, plan.label, missed.due, missed.reason, changes, at):
                with about(job=plan.label):
                    log.error("job %s: the run due at %s was missed: %s", plan.label, missed.due, missed.reason)

    def _review(self, promise: Promise, incidents: Sequence[Incident], at: datetime) -> Review:
        assert self._config  # noqa: S101 - without a config there are no promises
        return Review(self._config, promise, list(self._targets(promise, at)), incidents, at)

    def _targets(self, promise: Promise, at: datetime) -> Iterator[Target]:
        """How the databases of a promise stand."""
        standing, of, until = self._store.standing, promise.of, at + _SKEW
        databases: Sequence[str] = () if promise.ingested else standing.databases(of, until)
        any_good = bool(standing.good(of, None, until, 1))
        window = self._config.deadlines.size_window if self._config else 0
        for database in databases or [""]:
            good = standing.good(of, database or None, until, window + 1 if database else 1)
            target = Target(
                database=database,
                good=good[0] if good else None,
                newest=standing.newest(of, database or None, until),
                first=standing.first_begun(of, database) if any_good and not good else None,
                met=self._store.jobs.skipped(self._instance, of.job, *good[0].span)
                if good and promise.schedule
                else None,
                sizes=[made.size for made in good if made.size is not None] if database else [],
            )
            due = next_due(promise, target)
            yield replace(target, started=self._store.jobs.first_start(self._instance, of.job, due)) if due else target

    def _incidents(self) -> dict[Key, list[Incident]]:
        """The open incidents by promise; those that belong to none by themselves."""
        found: dict[Key, list[Incident]] = defaultdict(list)
        for incident in self._store.jobs.open_incidents(self._instance):
            if incident.kind not in OF_PROMISES:
                continue
            exact = Key(incident.job, incident.source, incident.database)
            found[exact if exact in self._promises else Key(incident.job, incident.source)].append(incident)
        return found

    def _settled(self) -> set[Key]:
        """The promises of which a backup was settled since the last time, whoever made it."""
        settled = self._store.standing.settled_after(self._last_event - _OUT, self._instance)
        fresh = [(seq, of) for seq, of in settled if seq not in self._seen]
        self._seen = {seq for seq, _ in settled}
        self._last_event = max([self._last_event, *self._seen])
        keys = {promise.of: key for key, promise in self._promises.items()}
        return {keys[of] for _, of in fresh if of in keys}

    def _enter(self, changes: Changes, at: datetime) -> None:
        if changes:
            self._store.jobs.change_incidents(changes, at)
            for alarm in changes.alarms:
                event = alarm.event
                with about(job=event.job, source=event.payload["Source"], backup_id=event.backup_id or ""):
                    log.warning("%s: %s", event.kind, event.payload["Reason"])


def _promises(
    config: Config, plans: Sequence[JobPlan], instance: str, since: dict[Key, datetime], anchors: dict[str, datetime]
) -> Iterator[Promise]:
    for plan in plans:
        for source in plan.sources:
            key = Key(plan.label, source.label)
            yield Promise(
                key=key,
                of=Of(instance, plan.label, source.label),
                label=source.label,
                since=since[key],
                anchor=anchors.get(plan.label, since[key]),
                schedule=plan.schedule,
                grace=config.deadlines.grace,
                max_age=plan.max_age,
                plan=plan,
                source=source,
            )
    for job in config.ingest.jobs:
        key = Key(job.job, job.device, job.sender)
        yield Promise(
            key=key,
            of=Of(instance, job.job, job.device, job.sender),
            label=f"{job.job} on {job.device}",
            since=since[key],
            anchor=since[key],
            max_age=job.max_age,
        )
