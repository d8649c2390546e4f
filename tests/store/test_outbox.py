"""The outbox: every delivery is claimed by one, sent in order within its lane, and never forgotten."""

import multiprocessing
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from backupman.errors import NotFoundError, StoreError
from backupman.events import EventKind
from backupman.records import Delivery, DeliveryState, Event, now
from backupman.store import Announcement, Store
from backupman.store.outbox import Attempt
from tests.store.conftest import a_backup

LEASE = timedelta(minutes=10)


def owe(store: Store, *endpoints: str, job: str = "nightly", instance: str = "host1") -> Event:
    """One event owed to each endpoint."""
    wanted = [Announcement(EventKind.BACKUP_START, endpoints)]
    backup = store.backups.begin(a_backup(job=job, instance=instance), wanted)
    (event,) = store.outbox.events(backup_id=backup.id)
    return event


def claim(store: Store, at: datetime | None = None, limit: int = 100) -> list[Delivery]:
    """What the instance `host1` can claim."""
    return list(store.outbox.claim("host1", limit, LEASE, at))


def ended(delivery: Delivery, state: DeliveryState, wait: timedelta | None = None, **said: Any) -> tuple[int, Attempt]:
    """What `record` is told of a claimed delivery."""
    assert delivery.id is not None
    at = now()
    next_at = at + wait if wait else None
    return delivery.id, Attempt(delivery.attempts, state, at, 0.25, next_attempt_at=next_at, **said)


def only(store: Store) -> Delivery:
    """The one delivery that there is."""
    (delivery,) = store.outbox.deliveries()
    return delivery


def test_a_claimed_delivery_comes_with_its_event_and_counts_the_attempt(store: Store) -> None:
    event = owe(store, "webhook/Ops")
    (delivery,) = claim(store)
    assert (delivery.endpoint, delivery.lane, delivery.instance, delivery.attempts) == (
        "webhook/Ops",
        "nightly",
        "host1",
        1,
    )
    assert (delivery.event.id, delivery.event.payload) == (event.id, event.payload)
    assert delivery.lease_until and delivery.lease_until > now() + LEASE - timedelta(minutes=1)


def test_a_claimed_delivery_is_nobody_elses_until_its_lease_ends(store: Store) -> None:
    owe(store, "webhook/Ops")
    start = now()
    assert len(claim(store, start)) == 1
    assert claim(store, start) == []
    assert claim(store, start + LEASE - timedelta(seconds=1)) == []
    (again,) = claim(store, start + LEASE + timedelta(seconds=1))
    assert again.attempts == 2


def test_a_delivery_to_an_endpoint_that_is_left_out_waits(store: Store) -> None:
    owe(store, "webhook/Ops", "webhook/Dev")
    (other,) = store.outbox.claim("host1", 10, LEASE, without=["webhook/Ops"])
    assert other.endpoint == "webhook/Dev"
    (left,) = claim(store)
    assert left.endpoint == "webhook/Ops"


def test_what_one_instance_owes_no_other_sends(store: Store) -> None:
    owe(store, "webhook/Ops", instance="host2")
    assert claim(store) == []
    assert (store.outbox.next_due("host1"), store.outbox.owed("host1")) == (None, 0)
    assert (store.outbox.owed("host2"), store.outbox.owed()) == (1, 1)
    assert len(store.outbox.claim("host2", 100, LEASE)) == 1


def test_one_instances_lane_does_not_wait_for_anothers(store: Store) -> None:
    owe(store, "webhook/Ops", instance="host2")
    owe(store, "webhook/Ops", instance="host1")
    assert len(claim(store)) == 1


def test_deliveries_of_a_lane_go_out_one_after_the_other(store: Store) -> None:
    events = [owe(store, "webhook/Ops") for _ in range(3)]
    sent = []
    while claimed := claim(store):
        assert len(claimed) == 1
        sent.append(claimed[0].event.id)
        store.outbox.record(*ended(claimed[0], DeliveryState.DELIVERED))
    assert sent == [event.id for event in events]


def test_a_delivery_that_waits_holds_up_its_own_lane_alone(store: Store) -> None:
    owe(store, "webhook/Ops", "mail/a")
    for delivery in claim(store):
        if delivery.endpoint == "webhook/Ops":
            store.outbox.record(*ended(delivery, DeliveryState.OWED, timedelta(hours=1)))
        else:
            store.outbox.record(*ended(delivery, DeliveryState.DELIVERED))
    owe(store, "webhook/Ops", "mail/a")
    owe(store, "webhook/Ops", job="weekly")
    assert {(delivery.endpoint, delivery.lane) for delivery in claim(store)} == {
        ("mail/a", "nightly"),
        ("webhook/Ops", "weekly"),
    }


@pytest.mark.parametrize("state", [DeliveryState.FAILED, DeliveryState.DROPPED])
def test_a_delivery_that_was_given_up_lets_its_lane_go_on(store: Store, state: DeliveryState) -> None:
    owe(store, "webhook/Ops")
    (first,) = claim(store)
    store.outbox.record(*ended(first, state, error="gone"))
    following = owe(store, "webhook/Ops")
    assert [delivery.event.id for delivery in claim(store)] == [following.id]


def test_more_poisoned_lanes_than_a_batch_hold_nothing_up(store: Store) -> None:
    for number in range(12):
        owe(store, "webhook/Ops", job=f"poisoned{number}")
    for delivery in claim(store):
        store.outbox.record(*ended(delivery, DeliveryState.OWED, timedelta(hours=1)))
    for number in range(12):
        owe(store, "webhook/Ops", job=f"poisoned{number}")
    fine = owe(store, "webhook/Ops", job="fine")
    assert [delivery.event.id for delivery in claim(store, limit=5)] == [fine.id]


def test_a_batch_has_its_limit_and_the_oldest_go_first(store: Store) -> None:
    events = [owe(store, "webhook/Ops", job=f"job{number}") for number in range(5)]
    assert [delivery.event.id for delivery in claim(store, limit=3)] == [event.id for event in events[:3]]
    assert [delivery.event.id for delivery in claim(store, limit=3)] == [event.id for event in events[3:]]


def test_every_attempt_is_recorded(store: Store) -> None:
    owe(store, "webhook/Ops")
    (first,) = claim(store)
    store.outbox.record(*ended(first, DeliveryState.OWED, timedelta(seconds=5), error="502 Bad Gateway", answer="oops"))
    waiting = only(store)
    assert (waiting.state, waiting.error, waiting.answer) == ("owed", "502 Bad Gateway", "oops")
    assert (waiting.lease_until, waiting.settled_at) == (None, None)
    assert waiting.next_attempt_at > now() + timedelta(seconds=3)
    assert claim(store) == []
    (second,) = claim(store, now() + timedelta(seconds=6))
    store.outbox.record(*ended(second, DeliveryState.DELIVERED, answer="200 OK"))
    done = only(store)
    assert (done.state, done.error, done.answer, done.attempts) == ("delivered", None, "200 OK", 2)
    assert done.settled_at
    assert [(each.delivered, each.error, each.answer, each.seconds) for each in done.history] == [
        (False, "502 Bad Gateway", "oops", 0.25),
        (True, None, "200 OK", 0.25),
    ]


def test_a_late_failure_cannot_undo_what_a_newer_attempt_does(store: Store) -> None:
    owe(store, "webhook/Ops")
    (late,) = claim(store)
    (newer,) = claim(store, now() + LEASE * 2)
    store.outbox.record(*ended(late, DeliveryState.FAILED, error="too late"))
    assert (only(store).state, only(store).lease_until) == ("owed", newer.lease_until)
    store.outbox.record(*ended(newer, DeliveryState.DELIVERED))
    store.outbox.record(*ended(late, DeliveryState.OWED, timedelta(seconds=1), error="too late"))
    assert (only(store).state, only(store).error, len(only(store).history)) == ("delivered", None, 3)


def test_a_late_success_is_a_success(store: Store) -> None:
    owe(store, "webhook/Ops")
    (late,) = claim(store)
    (newer,) = claim(store, now() + LEASE * 2)
    store.outbox.record(*ended(late, DeliveryState.DELIVERED))
    store.outbox.record(*ended(newer, DeliveryState.FAILED, error="409 Conflict"))
    assert only(store).state == "delivered"


def test_an_attempt_at_nothing_is_an_error(sqlite_store: Store) -> None:
    with pytest.raises(StoreError):
        sqlite_store.outbox.record(7, Attempt(1, DeliveryState.DELIVERED, now(), 0.1))


def test_the_next_due_time_is_of_what_can_be_claimed_then(store: Store) -> None:
    assert store.outbox.next_due("host1") is None
    owe(store, "webhook/Ops")
    owe(store, "webhook/Ops")
    due = store.outbox.next_due("host1")
    assert due and due.tzinfo and due <= now()
    (head,) = claim(store)
    assert store.outbox.next_due("host1") == head.lease_until
    store.outbox.record(*ended(head, DeliveryState.OWED, timedelta(hours=1)))
    due = store.outbox.next_due("host1")
    assert due and timedelta(minutes=59) < due - now() < timedelta(minutes=61)
    owe(store, "webhook/Ops", job="weekly")
    due = store.outbox.next_due("host1")
    assert due and due <= now()


def test_replay_owes_the_same_event_again(store: Store) -> None:
    event = owe(store, "webhook/Ops")
    (first,) = claim(store)
    store.outbox.record(*ended(first, DeliveryState.DELIVERED))
    made = store.outbox.replay(event.id[:8], ["webhook/Ops", "mail/a"], "host1")
    again = claim(store)
    assert sorted(delivery.id or 0 for delivery in again) == sorted(made)
    assert {delivery.event.id for delivery in again} == {event.id}
    assert {delivery.event.payload["Id"] for delivery in again} == {event.backup_id}
    assert len(store.outbox.events()) == 1


@pytest.mark.parametrize("name", ["%", "_", "nope", "'"])
def test_only_an_event_that_is_there_can_be_replayed(store: Store, name: str) -> None:
    owe(store, "webhook/Ops")
    with pytest.raises(NotFoundError, match="there is no event"):
        store.outbox.replay(name, ["webhook/Ops"], "host1")
    assert len(store.outbox.deliveries()) == 1


def test_a_delivery_that_was_given_up_can_be_owed_again(store: Store) -> None:
    owe(store, "webhook/Ops")
    (first,) = claim(store)
    store.outbox.record(*ended(first, DeliveryState.FAILED, error="404 Not Found"))
    given_up = only(store)
    assert given_up.id is not None and given_up.settled_at
    assert claim(store) == []
    assert store.outbox.owe_again([given_up.id, 12345]) == 1
    (again,) = claim(store)
    assert (again.id, again.settled_at, again.attempts) == (given_up.id, None, 2)
    assert again.created_at > given_up.created_at


def test_what_was_delivered_is_not_owed_again(store: Store) -> None:
    owe(store, "webhook/Ops")
    (first,) = claim(store)
    store.outbox.record(*ended(first, DeliveryState.DELIVERED))
    assert store.outbox.owe_again([first.id or 0]) == 0
    assert store.outbox.owe_again([]) == 0
    assert claim(store) == []


def test_events_and_deliveries_are_listed_newest_first_and_narrowed_down(store: Store) -> None:
    events = [owe(store, "webhook/Ops", "mail/a") for _ in range(3)]
    assert [event.id for event in store.outbox.events()] == [event.id for event in reversed(events)]
    assert [event.id for event in store.outbox.events(after=events[1].seq or 0)] == [events[2].id]
    assert [event.id for event in store.outbox.events(limit=1)] == [events[2].id]
    assert store.outbox.events(kind="backup_report") == []
    assert [delivery.event_seq for delivery in store.outbox.deliveries(endpoint="mail/a")] == [
        event.seq for event in reversed(events)
    ]
    assert len(store.outbox.deliveries(state="owed")) == 6
    assert len(store.outbox.deliveries(limit=4)) == 4
    assert store.outbox.deliveries(state="failed") == []


def claim_everything(store: Store) -> list[int]:
    """Claim until there is nothing more; the ids."""
    claimed: list[int] = []
    while batch := claim(store, limit=7):
        claimed += [delivery.id or 0 for delivery in batch]
    return claimed


def claim_in_a_process(
    address: str, ready: "multiprocessing.synchronize.Barrier", results: "multiprocessing.Queue[list[int]]"
) -> None:
    """In a process of its own: claim what there is, at the same moment as the others."""
    store = Store.open(address)
    ready.wait()
    results.put(claim_everything(store))
    store.close()


def test_threads_claim_each_delivery_exactly_once(store: Store) -> None:
    for number in range(40):
        owe(store, *(f"webhook/{n}" for n in range(5)), job=f"job{number}")
    with ThreadPoolExecutor(4) as pool:
        claimed = Counter(one for found in pool.map(claim_everything, [store] * 4) for one in found)
    assert (len(claimed), set(claimed.values())) == (200, {1})


def test_processes_claim_each_delivery_exactly_once(shared_address: str) -> None:
    store = Store.open(shared_address)
    for number in range(40):
        owe(store, *(f"webhook/{n}" for n in range(5)), job=f"job{number}")
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=claim_in_a_process, args=(shared_address, ready, results)) for _ in range(2)]
    for process in processes:
        process.start()
    claimed = Counter(one for _ in processes for one in results.get(timeout=100))
    for process in processes:
        process.join()
    store.close()
    assert (len(claimed), set(claimed.values())) == (200, {1})
