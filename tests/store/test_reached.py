"""What the records say of who was reached and who was not: by endpoint and installation, on every database."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from backupman.errors import StoreError
from backupman.events import EventKind
from backupman.records import DeliveryState, Event, now
from backupman.store import Store
from backupman.store.jobs import Alarm, Changes
from tests.store.test_outbox import claim, ended, owe


def settle(store: Store, state: DeliveryState) -> None:
    """Enter the same for everything that can be claimed."""
    for delivery in claim(store):
        store.outbox.record(*ended(delivery, state))


def test_what_was_given_up_is_counted_by_endpoint_with_the_oldest(store: Store) -> None:
    assert store.reached.given_up("host1") == {}
    for job in ("nightly", "weekly"):
        owe(store, "mail/ops", "webhook/Ops", job=job)
    owe(store, "mail/ops", instance="host2")
    settle(store, DeliveryState.FAILED)
    owe(store, "pagerduty")
    settle(store, DeliveryState.DELIVERED)
    found = store.reached.given_up("host1")
    assert {name: lost.count for name, lost in found.items()} == {"mail/ops": 2, "webhook/Ops": 2}
    oldest = min(each.created_at for each in store.outbox.deliveries("failed", "mail/ops"))
    assert found["mail/ops"].oldest == oldest
    assert timedelta(0) <= now() - found["mail/ops"].oldest < timedelta(hours=1)
    assert store.reached.given_up("host2") == {}


def test_what_is_owed_and_was_given_up_is_counted_by_installation(store: Store) -> None:
    owe(store, "mail/ops", "webhook/Ops")
    settle(store, DeliveryState.FAILED)
    for job in ("nightly", "weekly"):
        owe(store, "mail/ops", job=job)
    owe(store, "mail/ops", instance="host2")
    counts = store.reached.deliveries
    assert counts("host1", DeliveryState.FAILED) == {"mail/ops": 1, "webhook/Ops": 1}
    assert counts("host1", DeliveryState.OWED) == {"mail/ops": 2}
    assert counts("host2", DeliveryState.OWED) == {"mail/ops": 1}


def test_when_an_endpoint_last_took_a_message_in_any_of_the_lanes(store: Store) -> None:
    owe(store, "mail/ops", job="nightly")
    settle(store, DeliveryState.DELIVERED)
    owe(store, "mail/ops", "webhook/Ops", job="weekly")
    settle(store, DeliveryState.FAILED)
    owe(store, "mail/ops", job="alarm drill")
    settle(store, DeliveryState.DELIVERED)
    names, lanes = ["mail/ops", "webhook/Ops"], ["nightly", "weekly", "alarm drill"]
    newest, oldest = store.outbox.deliveries("delivered")
    assert store.reached.last_delivered("host1", names, lanes) == {"mail/ops": newest.settled_at}
    assert store.reached.last_delivered("host1", names, lanes[:2]) == {"mail/ops": oldest.settled_at}
    assert store.reached.last_delivered("host2", names, lanes) == {}


def test_the_newest_deliveries_of_a_lane_come_with_their_events(store: Store) -> None:
    owe(store, "mail/ops", job="alarm drill")
    newest = owe(store, "mail/ops", job="alarm drill")
    owe(store, "mail/ops", job="nightly")
    owe(store, "webhook/Ops", job="alarm drill")
    [found] = store.reached.newest_to("host1", "mail/ops", "alarm drill", 1)
    assert (found.event.id, found.event.payload) == (newest.id, newest.payload)
    assert len(store.reached.newest_to("host1", "mail/ops", "alarm drill", 10)) == 2
    assert store.reached.newest_to("host2", "mail/ops", "alarm drill", 10) == []


def test_an_event_of_one_id_is_written_once_and_with_it_all_that_comes_together(store: Store) -> None:
    def drill(event_id: str) -> Alarm:
        event = Event(id=event_id, kind=EventKind.ALARM_DRILL, instance="host1", job="alarm drill", payload={})
        return Alarm(event, ["mail/ops"])

    store.jobs.change_incidents(Changes(alarms=[drill("a")]), now())
    with pytest.raises(StoreError) as raised:
        store.jobs.change_incidents(Changes(alarms=[drill("b"), drill("a")]), now())
    assert isinstance(raised.value.__cause__, IntegrityError)
    assert [event.id for event in store.outbox.events()] == ["a"]
