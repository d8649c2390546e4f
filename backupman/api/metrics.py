"""Prometheus metrics. What alerts are made of comes from the store at each scrape, so that no restart clears them."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from threading import Lock

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from backupman import __version__
from backupman.app import endpoints
from backupman.config import Config
from backupman.daemon import Daemon
from backupman.engine.alarm_drills import Outcome
from backupman.engine.reaching import reached
from backupman.engine.workers import fleet, has_fleet
from backupman.events import EventKind
from backupman.records import DeliveryState, Event, Kind, Status, now
from backupman.sources import Source
from backupman.store import Store
from backupman.store.statistics import Copy, Series

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_KEPT = 5.0
"""Seconds that an exposition is given again, to several who scrape at once."""
_BATCH = 1000
_OUTCOMES = (EventKind.BACKUP_SUCCESS, EventKind.BACKUP_FAILURE)
_TOLD = (EventKind.BACKUP_START, *_OUTCOMES)
_ENDS = (Status.FAILED, Status.FINISHED)
_OF = ("source", "database")
_INGESTED = ("device", "job", "sender")


class Metrics:
    """The metrics of one daemon. Thread-safe."""

    def __init__(self, daemon: Daemon, clock: Callable[[], float] = time.monotonic) -> None:
        self._daemon = daemon
        self._clock = clock
        self._lock = Lock()
        self._made = b""
        self._at = -_KEPT
        self._ended = _Ended(daemon.app.store)

    def exposition(self) -> bytes:
        """The metrics as they are now, or were a moment ago, in Prometheus' text format."""
        with self._lock:
            if self._clock() - self._at >= _KEPT:
                registry = CollectorRegistry()
                registry.register(_Collector(self._daemon, self._ended))
                self._made, self._at = generate_latest(registry), self._clock()
            return self._made


class _Ended:
    """What has ended since the daemon began, and every series there is: read once, then kept up by the events."""

    def __init__(self, store: Store) -> None:
        self._store: Store | None = None
        self._seq = store.outbox.last_seq()
        self.outcomes: Counter[tuple[Series, str]] = Counter()
        self.seconds: Counter[Series] = Counter()
        self.stored: Counter[Series] = Counter()
        self.ingested: set[Series] = set()
        self.own: set[Series] = set()

    def catch_up(self, store: Store, config: Config) -> None:
        """Take in what has happened since the last time; after a reload of the config all series are read anew."""
        if store is not self._store:
            self._store = store
            self._seq = min(self._seq, store.outbox.last_seq())
            sources = config.data_sources
            self.own = store.statistics.own_series([source.label for source in sources])
            self.own |= {Series(source.label, name) for source in sources for name in _named(source)}
            self.ingested = store.statistics.ingested_series()
            self.ingested |= {Series(job.device, job.job, job.sender) for job in config.ingest.jobs}
        while events := store.outbox.events_after(self._seq, _BATCH):
            for event in events:
                self._take(event)
            self._seq = events[-1].seq or self._seq

    def _take(self, event: Event) -> None:
        if event.kind not in _TOLD or event.backup_id is None:  # a sample, of an alarm drill
            return
        payload = event.payload
        told = payload.get("Kind") == Kind.INGESTED
        series = Series(payload["Source"], payload["Database"], payload.get("Sender") if told else None)
        (self.ingested if told else self.own).add(series)
        if not told and series.database and event.kind == EventKind.BACKUP_SUCCESS:
            self.own.discard(Series(series.source, ""))  # what failed before the databases were known
        if event.kind in _OUTCOMES:
            self.outcomes[series, payload["Status"]] += 1
        if event.kind == EventKind.BACKUP_SUCCESS:
            self.seconds[series] += payload.get("Seconds") or 0
            self.stored[series] += payload.get("StoredSize") or 0


class _Collector:
    """Times are seconds, sizes bytes."""

    def __init__(self, daemon: Daemon, ended: _Ended) -> None:
        self._app = daemon.app
        self._daemon = daemon
        self._ended = ended

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        config, store = self._app.config, self._app.store
        sources = config.source_labels
        self._ended.catch_up(store, config)
        own = sorted(series for series in self._ended.own if series.source in sources)
        info = _gauge("info", "The running version.", "version", "instance")
        info.add_metric([__version__, config.instance], 1)
        yield info
        drives = config.drive_labels
        copies = [copy for on, series in self._promised(own).items() for copy in store.statistics.newest_on(series, on)]
        yield from _newest("newest_finished", "newest finished backup on a drive", (*_OF, "drive"), copies)
        verified = store.statistics.newest_on(own, drives, "verified")
        yield from _newest("newest_verified", "newest verified backup on a drive", (*_OF, "drive"), verified)
        proved = store.statistics.newest_on(own, drives, "proved")
        yield from _newest("newest_proved", "newest backup that a drill has restored", (*_OF, "drive"), proved)
        yield from self._drills()
        yield from self._last("last_backup", "last backup", _OF, own)
        yield from self._counted("backups", "Backups", _OF, Kind.OWN, own)
        yield from self._totals(own)
        yield from self._ingested()
        yield from self._work()
        yield from self._jobs()
        yield from self._fleet()

    def _promised(self, own: list[Series]) -> dict[tuple[str, ...], list[Series]]:
        """The series by the drives onto which jobs put them; on others their newest copy would be sought in vain."""
        drives: dict[str, list[str]] = {}
        for plan in self._app.plans:
            for source in plan.sources:
                its = drives.setdefault(source.label, [])
                its += [drive.label for drive in plan.drives if drive.label not in its]
        every, found = self._app.config.drive_labels, dict[tuple[str, ...], list[Series]]()
        for series in own:
            found.setdefault(tuple(drives.get(series.source, every)), []).append(series)
        return found

    def _last(self, name: str, what: str, labels: tuple[str, ...], series: list[Series]) -> Iterator[Metric]:
        good = _gauge(f"{name}_success", f"1 when the {what} that has ended was good, 0 when it failed.", *labels)
        at = _gauge(f"{name}_timestamp_seconds", f"When the {what} that has ended was begun.", *labels)
        for outcome in self._app.store.statistics.last(series):
            good.add_metric(_values(outcome.series), outcome.good)
            at.add_metric(_values(outcome.series), outcome.created_at.timestamp())
        yield from (good, at)

    def _counted(
        self, name: str, what: str, labels: tuple[str, ...], kind: Kind, known: list[Series]
    ) -> Iterator[Metric]:
        """Of what is known also those of which none has ended: at 0, for the first one has to be an increase."""
        about = f"{what} that have ended since the daemon began, by status."
        ended = CounterMetricFamily(f"backupman_{name}", about, labels=[*labels, "status"])
        counts: dict[tuple[Series, str], int] = {(series, status): 0 for series in known for status in _ENDS}
        counts |= {of: count for of, count in self._ended.outcomes.items() if of[0].kind == kind}
        for (series, status), count in sorted(counts.items()):
            ended.add_metric([*_values(series), status], count)
        yield ended

    def _totals(self, known: list[Series]) -> Iterator[Metric]:
        for name, about, totals in (
            ("stored_bytes", "Bytes of finished backups since the daemon began.", self._ended.stored),
            ("backup_seconds", "Time that finished backups took since the daemon began.", self._ended.seconds),
        ):
            total = CounterMetricFamily(f"backupman_{name}", about, labels=_OF)
            ours = {series: amount for series, amount in totals.items() if series.kind == Kind.OWN}
            for series, amount in sorted((dict.fromkeys(known, 0) | ours).items()):
                total.add_metric(_values(series), amount)
            yield total

    def _ingested(self) -> Iterator[Metric]:
        series = sorted(self._ended.ingested)
        copies = self._app.store.statistics.newest(series)
        yield from _newest("ingested_newest_finished", "newest finished result of an ingested job", _INGESTED, copies)
        yield from self._last("ingested_last", "last result of an ingested job", _INGESTED, series)
        yield from self._counted("ingested", "Results that were ingested", _INGESTED, Kind.INGESTED, series)

    def _work(self) -> Iterator[Metric]:
        running = _gauge("backups_running", "Backups that are under way in the daemon.")
        running.add_metric([], len(self._daemon.live.running()))
        owed = _gauge("deliveries_owed", "Messages that were not delivered yet.", "endpoint")
        nothing = dict.fromkeys(endpoints(self._app.config), 0)
        counts, instance = self._app.store.reached.deliveries, self._app.config.instance
        for endpoint, count in (nothing | counts(instance, DeliveryState.OWED)).items():
            owed.add_metric([endpoint], count)
        lost = _gauge("deliveries_given_up", "Messages that were given up and stand in the records.", "endpoint")
        for endpoint, count in (nothing | counts(instance, DeliveryState.FAILED)).items():
            lost.add_metric([endpoint], count)
        yield from (running, owed, lost)
        yield from self._reached()

    def _reached(self) -> Iterator[Metric]:
        age = _gauge("last_delivery_age_seconds", "How long ago an endpoint took a message.", "endpoint")
        at = _gauge("last_delivery_timestamp_seconds", "When an endpoint last took a message.", "endpoint")
        drill = _gauge("alarm_drill_success", "1 when the last alarm drill got there, 0 when it failed.", "endpoint")
        drill_at = _gauge("alarm_drill_timestamp_seconds", "When the last alarm drill began.", "endpoint")
        time_now = now()
        for each in reached(self._app.config, self._app.store, time_now):
            if each.last_delivered:
                age.add_metric([each.endpoint], max(0.0, (time_now - each.last_delivered).total_seconds()))
                at.add_metric([each.endpoint], each.last_delivered.timestamp())
            if each.result.at and each.result.outcome in (Outcome.PROVEN, Outcome.FAILED):
                drill.add_metric([each.endpoint], each.result.outcome == Outcome.PROVEN)
                drill_at.add_metric([each.endpoint], each.result.at.timestamp())
        yield from (age, at, drill, drill_at)

    def _drills(self) -> Iterator[Metric]:
        labels = (*_OF, "drive")
        restore = _gauge("drill_restore_seconds", "How long the restore of the last good drill took.", *labels)
        newest = _gauge("drill_newest_row_age_seconds", "How old the newest row was at the last good drill.", *labels)
        for of, drill in self._app.store.proofs.last_drills(self._app.config.instance).items():
            restore.add_metric(of, drill.restore_seconds)
            if drill.newest_age_seconds is not None:
                newest.add_metric(of, drill.newest_age_seconds)
        yield from (restore, newest)

    def _jobs(self) -> Iterator[Metric]:
        upcoming = _gauge("next_run_timestamp_seconds", "When a job runs next.", "job")
        for plan in self._app.plans:
            for due in self._daemon.upcoming(plan, 1):
                upcoming.add_metric([plan.label], due.timestamp())
        incidents = _gauge("incidents_open", "Deadlines that do not hold.", "kind", "job", *_OF)
        for incident in self._app.store.jobs.open_incidents(self._app.config.instance):
            incidents.add_metric([incident.kind, incident.job, incident.source, incident.database], 1)
        yield from (upcoming, incidents)

    def _fleet(self) -> Iterator[Metric]:
        config = self._app.config
        if not has_fleet(config):
            return
        found, time_now = fleet(self._app.store, config.instance), now()
        workers = _gauge("workers", "Workers that live.")
        workers.add_metric([], found.living)
        waiting = _gauge("queue_waiting", "Assignments that wait for a worker.", "queue")
        oldest = _gauge("queue_oldest_seconds", "How long ago the oldest of them was handed out.", "queue")
        for queue in found.queues:
            waiting.add_metric([queue.name], queue.waiting)
            age = time_now - queue.oldest if queue.oldest else timedelta(0)
            oldest.add_metric([queue.name], max(0.0, age.total_seconds()))
        yield from (workers, waiting, oldest)


def _named(source: Source) -> Sequence[str]:
    """The databases that the settings name; those of a whole server are known when they are on record."""
    return (source.named or ()) if source.many else source.list_databases()


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"backupman_{name}", about, labels=labels)


def _newest(name: str, what: str, labels: tuple[str, ...], copies: list[Copy]) -> Iterator[Metric]:
    age = _gauge(f"{name}_age_seconds", f"Age of the {what}.", *labels)
    at = _gauge(f"{name}_timestamp_seconds", f"When the {what} was begun.", *labels)
    taken = _gauge(f"{name}_duration_seconds", f"How long the {what} took.", *labels)
    size = _gauge(f"{name}_stored_bytes", f"Size of the {what}.", *labels)
    time_now = now()
    for copy in copies:
        values = [*_values(copy.series), *([copy.drive] if copy.drive is not None else [])]
        age.add_metric(values, max(0.0, (time_now - copy.created_at).total_seconds()))
        at.add_metric(values, copy.created_at.timestamp())
        if copy.seconds is not None:
            taken.add_metric(values, copy.seconds)
        if copy.stored_size is not None:
            size.add_metric(values, copy.stored_size)
    yield from (age, at, taken)
    if "drive" in labels:
        yield size


def _values(series: Series) -> list[str]:
    return [series.source, series.database, *([series.sender] if series.sender is not None else [])]
