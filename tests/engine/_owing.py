"""Events that are owed, and dispatchers that send them to notifiers which only record."""

from datetime import timedelta

from backupman.config.model import Deliveries
from backupman.engine.dispatcher import Dispatcher
from backupman.events import EventKind
from backupman.records import Backup, Delivery, DeliveryState, now
from backupman.store import Announcement, Store
from backupman.store.outbox import Attempt
from backupman.testing import RecordingNotifier

SOON = timedelta(milliseconds=10)
QUICK = Deliveries(first_wait=SOON, max_wait=SOON)


def owe(store: Store, *endpoints: str, job: str = "nightly", instance: str = "host1") -> str:
    """One event owed to the endpoints; its id."""
    backup = Backup(
        label="shop",
        job=job,
        source="shop",
        database="shop",
        source_provider="sqlite",
        instance=instance,
        object_name="shop/x",
    )
    store.backups.begin(backup, [Announcement(EventKind.BACKUP_START, endpoints)])
    return store.outbox.events(backup_id=backup.id)[0].id


def try_in_vain(store: Store, ahead: timedelta) -> None:
    """An attempt at what is owed, by a clock that is so far ahead, after which the next one is due in an hour."""
    (delivery,) = store.outbox.claim("host1", 1, timedelta(minutes=1))
    assert delivery.id is not None
    then = now() + ahead
    tried = Attempt(delivery.attempts, DeliveryState.OWED, then, 0.1, next_attempt_at=then + timedelta(hours=1))
    store.outbox.record(delivery.id, tried)


def dispatcher(store: Store, *notifiers: RecordingNotifier, settings: Deliveries = QUICK) -> Dispatcher:
    """A dispatcher of the instance `host1` to these."""
    endpoints = {endpoint.name: endpoint for notifier in notifiers for endpoint in notifier.endpoints()}
    return Dispatcher(settings, endpoints, store, "host1")


def drain(store: Store, *notifiers: RecordingNotifier, seconds: float = 60.0, settings: Deliveries = QUICK) -> int:
    """Deliver until nothing is owed, or nothing that becomes due in time; what is still owed."""
    return dispatcher(store, *notifiers, settings=settings).drain(timedelta(seconds=seconds))


def only(store: Store) -> Delivery:
    """The one delivery that there is."""
    (delivery,) = store.outbox.deliveries()
    return delivery
