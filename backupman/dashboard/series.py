"""Every series of backups that there is: ingested ones are read once, and kept up by the events that tell of them."""

from threading import Lock

from backupman.daemon import Daemon
from backupman.events import EventKind
from backupman.records import Kind
from backupman.store import Store
from backupman.store.statistics import Series

_BATCH = 1000
_OUTCOMES = (EventKind.BACKUP_SUCCESS, EventKind.BACKUP_FAILURE)


class KnownSeries:
    """The series of one daemon, without reading millions of records for each page. Thread-safe."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._lock = Lock()
        self._store: Store | None = None
        self._seq = 0
        self._ingested: set[Series] = set()

    def own(self) -> set[Series]:
        """Every database of the config's sources."""
        app = self._daemon.app
        return app.store.statistics.own_series(app.config.source_labels)

    def ingested(self) -> set[Series]:
        """Every job of other machines."""
        store = self._daemon.app.store
        with self._lock:
            if store is not self._store:  # the first time, and after each reload of the config
                self._seq = store.outbox.last_seq()
                self._ingested, self._store = store.statistics.ingested_series(), store
            while events := store.outbox.events_after(self._seq, _BATCH):
                for event in events:
                    told = event.payload
                    if event.kind in _OUTCOMES and told.get("Kind") == Kind.INGESTED:
                        self._ingested.add(Series(told["Source"], told["Database"], told["Sender"]))
                self._seq = events[-1].seq or self._seq
            return set(self._ingested)
