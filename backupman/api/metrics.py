"""Prometheus metrics, made from the store at each scrape, so that no restart clears an alert."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from backupman import __version__
from backupman.daemon import Daemon
from backupman.records import Status, now

_OF = ["source", "database", "drive"]


def exposition(daemon: Daemon) -> tuple[bytes, str]:
    """The metrics as they are now, and their content type."""
    registry = CollectorRegistry()
    registry.register(_Metrics(daemon))
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class _Metrics:
    """Times are seconds, sizes bytes."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        info = GaugeMetricFamily("backupman_info", "The running version.", labels=["version", "instance"])
        info.add_metric([__version__, self._daemon.app.config.instance], 1)
        yield info
        yield from self._newest()
        yield from self._outcomes()
        running = GaugeMetricFamily("backupman_backups_running", "Backups that are under way.")
        running.add_metric([], len(self._daemon.live.running()))
        yield running
        owed = GaugeMetricFamily(
            "backupman_deliveries_owed", "Messages that were not delivered yet.", labels=["endpoint"]
        )
        for endpoint, count in self._daemon.app.store.outbox.owed_by_endpoint().items():
            owed.add_metric([endpoint], count)
        yield owed
        yield from self._jobs()

    def _newest(self) -> Iterator[Metric]:
        age = GaugeMetricFamily("backupman_newest_finished_age_seconds", "Age of the newest good copy.", labels=_OF)
        time = GaugeMetricFamily("backupman_newest_finished_timestamp_seconds", "When it was made.", labels=_OF)
        size = GaugeMetricFamily("backupman_newest_finished_stored_bytes", "Its size on the drive.", labels=_OF)
        taken = GaugeMetricFamily("backupman_newest_finished_duration_seconds", "How long it took.", labels=_OF)
        at = now()
        for newest in self._daemon.app.store.backups.newest_finished():
            labels = [newest.source, newest.database, newest.drive]
            age.add_metric(labels, (at - newest.created_at).total_seconds())
            time.add_metric(labels, newest.created_at.timestamp())
            size.add_metric(labels, newest.stored_size or 0)
            taken.add_metric(labels, newest.seconds or 0)
        yield from (age, time, size, taken)

    def _outcomes(self) -> Iterator[Metric]:
        backups = CounterMetricFamily(
            "backupman_backups", "Backups by outcome.", labels=["source", "database", "status"]
        )
        stored = CounterMetricFamily(
            "backupman_stored_bytes", "Bytes stored by good backups.", labels=["source", "database"]
        )
        for each in self._daemon.app.store.backups.outcomes():
            backups.add_metric([each.source, each.database, each.status], each.count)
            if each.status == Status.FINISHED:
                stored.add_metric([each.source, each.database], each.stored_size)
        yield from (backups, stored)

    def _jobs(self) -> Iterator[Metric]:
        upcoming = GaugeMetricFamily("backupman_next_run_timestamp_seconds", "When a job runs next.", labels=["job"])
        for plan in self._daemon.app.plans:
            for due in self._daemon.upcoming(plan, 1):
                upcoming.add_metric([plan.label], due.timestamp())
        incidents = GaugeMetricFamily(
            "backupman_incidents_open", "Deadlines that do not hold.", labels=["kind", "job", "source", "database"]
        )
        for incident in self._daemon.app.store.jobs.open_incidents():
            incidents.add_metric([incident.kind, incident.job, incident.source, incident.database], 1)
        yield from (upcoming, incidents)
