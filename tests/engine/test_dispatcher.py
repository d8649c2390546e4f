"""The dispatcher: what is owed is sent, tried again, given up, and nothing that is slow or broken stands in the way."""

import asyncio
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backupman.config.model import Deliveries
from backupman.engine.dispatcher import Dispatcher
from backupman.errors import NotifyError
from backupman.events import EventKind
from backupman.records import Backup, Delivery, now
from backupman.store import Announcement, Store
from backupman.testing import RecordingNotifier

SOON = timedelta(milliseconds=10)
QUICK = Deliveries(first_wait=SOON, max_wait=SOON)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real store in a file."""
    opened = Store.open(f"sqlite:///{tmp_path}/records.db")
    yield opened
    opened.close()


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


def dispatcher(store: Store, *notifiers: RecordingNotifier, settings: Deliveries = QUICK) -> Dispatcher:
    """A dispatcher of the instance `host1` to these."""
    endpoints = {endpoint.name: endpoint for notifier in notifiers for endpoint in notifier.endpoints()}
    return Dispatcher(settings, endpoints, store, "host1")


def drain(store: Store, *notifiers: RecordingNotifier, seconds: float = 10.0, settings: Deliveries = QUICK) -> int:
    """Deliver for a while; what is still owed."""
    return dispatcher(store, *notifiers, settings=settings).drain(timedelta(seconds=seconds))


def only(store: Store) -> Delivery:
    """The one delivery that there is."""
    (delivery,) = store.outbox.deliveries()
    return delivery


def test_what_is_owed_is_delivered_with_its_event(store: Store) -> None:
    event_id = owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    assert drain(store, ops) == 0
    (message,) = ops.sent
    assert (message.id, message.event) == (event_id, "backup_start")
    assert message.payload["Label"] == "shop"
    assert (now() - message.time) < timedelta(minutes=1)
    delivered = only(store)
    assert (delivered.state, delivered.answer, delivered.attempts) == ("delivered", "200 OK", 1)
    assert drain(store, ops) == 0
    assert len(ops.sent) == 1


def test_nothing_owed_is_done_at_once(store: Store) -> None:
    started = time.monotonic()
    assert drain(store, RecordingNotifier(), seconds=60) == 0
    assert time.monotonic() - started < 10


def test_a_temporary_failure_is_tried_again_with_the_same_id(store: Store) -> None:
    event_id = owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    ops.answers.extend([NotifyError("ops: 502 Bad Gateway", answer="oops"), NotifyError("ops: no connection")])
    assert drain(store, ops) == 0
    assert [message.id for message in ops.sent] == [event_id] * 3
    delivered = only(store)
    assert (delivered.state, delivered.error, delivered.attempts) == ("delivered", None, 3)
    assert [(each.delivered, each.error, each.answer) for each in delivered.history] == [
        (False, "ops: 502 Bad Gateway", "oops"),
        (False, "ops: no connection", None),
        (True, None, "200 OK"),
    ]


def test_a_permanent_failure_is_not_tried_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    ops.answers.append(NotifyError("ops: 404 Not Found", permanent=True))
    assert drain(store, ops) == 0
    assert len(ops.sent) == 1
    failed = only(store)
    assert (failed.state, failed.error) == ("failed", "ops: 404 Not Found")
    assert failed.settled_at
    assert [(record.levelno, record.getMessage()) for record in caplog.records if record.levelno > logging.INFO] == [
        (logging.ERROR, "ops: backup_start: failed: 404 Not Found")
    ]


def test_the_other_sides_wish_to_wait_is_obeyed(store: Store) -> None:
    owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    ops.answers.append(NotifyError("ops: 429 Too Many Requests", retry_after=3600))
    started = time.monotonic()
    assert drain(store, ops, seconds=60) == 1
    assert time.monotonic() - started < 30
    waiting = only(store)
    assert waiting.state == "owed"
    assert timedelta(minutes=59) < waiting.next_attempt_at - now() <= timedelta(minutes=60)


def test_waits_grow_up_to_the_longest(store: Store) -> None:
    settings = Deliveries(first_wait=timedelta(seconds=100), max_wait=timedelta(seconds=300))
    owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    waits = []
    for _ in range(4):
        ops.answers.append(NotifyError("ops: 503"))
        assert drain(store, ops, settings=settings) == 1
        delivery = only(store)
        waits.append((delivery.next_attempt_at - now()).total_seconds())
        assert store.outbox.owe_again([delivery.id or 0]) == 1
    for wait, most in zip(waits, [100, 200, 300, 300], strict=True):
        assert 0.8 * most - 10 <= wait <= most


def test_what_is_too_old_is_given_up(store: Store) -> None:
    owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    ops.answers.extend(NotifyError(f"ops: 503 number {number}") for number in range(1000))
    settings = Deliveries(first_wait=SOON, max_wait=SOON, give_up_after=timedelta(seconds=1))
    assert drain(store, ops, seconds=30, settings=settings) == 0
    failed = only(store)
    assert failed.state == "failed"
    assert failed.error == f"ops: 503 number {len(ops.sent) - 1}"
    assert len(failed.history) == len(ops.sent) > 1


def test_no_answer_in_time_is_a_temporary_failure(store: Store) -> None:
    owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    ops.answers.append(300.0)
    started = time.monotonic()
    assert drain(store, ops, seconds=2) == 1
    assert time.monotonic() - started < 15
    waiting = only(store)
    assert (waiting.state, waiting.error) == ("owed", "ops: no answer within 2 s")
    assert drain(store, ops) == 0


@pytest.mark.parametrize("error", [ValueError("S3cret"), KeyError("S3cret"), RecursionError(), OSError(5, "S3cret")])
def test_an_unexpected_fault_is_recorded_and_hurts_nobody_else(store: Store, error: Exception) -> None:
    owe(store, "ops", "dev")
    ops, dev = RecordingNotifier(name="ops"), RecordingNotifier(name="dev")
    ops.answers.append(error)
    assert drain(store, ops, dev) == 0
    assert len(dev.sent) == 1
    (failed,) = store.outbox.deliveries(state="failed")
    assert failed.error == f"ops: unexpected {type(error).__name__}"


def test_an_endpoint_that_left_the_config_is_dropped_with_the_reason(store: Store) -> None:
    owe(store, "gone", "ops")
    ops = RecordingNotifier(name="ops")
    assert drain(store, ops) == 0
    (dropped,) = store.outbox.deliveries(state="dropped")
    assert (dropped.endpoint, dropped.error) == ("gone", "the endpoint 'gone' is not in the config any more")
    assert len(ops.sent) == 1


def test_what_another_instance_owes_is_left_alone(store: Store) -> None:
    owe(store, "ops", "theirs", instance="host2")
    ops = RecordingNotifier(name="ops")
    assert drain(store, ops) == 0
    assert ops.sent == []
    assert store.outbox.owed("host2") == 2


def test_messages_of_a_job_arrive_in_order_past_failures(store: Store) -> None:
    events = [owe(store, "ops") for _ in range(4)]
    ops = RecordingNotifier(name="ops")
    ops.answers.extend([NotifyError("ops: 503"), "200 OK", NotifyError("ops: 503"), NotifyError("ops: 503")])
    assert drain(store, ops, seconds=30) == 0
    assert [message.id for message in ops.sent] == [events[0], events[0], events[1], events[1], events[1], *events[2:]]


def test_a_slow_endpoint_holds_up_nobody_else(store: Store) -> None:
    events = [owe(store, "slow", "quick") for _ in range(5)]
    slow, quick = RecordingNotifier(name="slow"), RecordingNotifier(name="quick")
    slow.answers.append(300.0)
    assert drain(store, slow, quick, seconds=10) == 5
    assert [message.id for message in quick.sent] == events
    assert len(slow.sent) == 1


def test_a_job_that_cannot_be_told_of_holds_up_no_other_job(store: Store) -> None:
    stuck = owe(store, "ops", job="stuck")
    ops = RecordingNotifier(name="ops")
    ops.answers.append(300.0)
    works = dispatcher(store, ops)

    async def serve() -> list[str]:
        while not ops.sent:
            await works.deliver_due()
        fine = [owe(store, "ops", job="fine") for _ in range(3)]
        while len(ops.sent) < 4:
            await works.deliver_due()
        return fine

    fine = asyncio.run(asyncio.wait_for(serve(), 90))
    assert [message.id for message in ops.sent] == [stuck, *fine]


@pytest.mark.parametrize("seconds", [0.0, 0.1, 1.0])
def test_draining_ends_in_time_whatever_is_owed(store: Store, seconds: float) -> None:
    for number in range(20):
        owe(store, "ops", job=f"job{number}")
    ops = RecordingNotifier(name="ops")
    ops.answers.extend([300.0] * 100)
    started = time.monotonic()
    assert drain(store, ops, seconds=seconds) == 20
    assert time.monotonic() - started < seconds + 5


def test_without_time_nothing_is_tried(store: Store) -> None:
    owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    assert drain(store, ops, seconds=0) == 1
    assert (ops.sent, only(store).attempts) == ([], 0)


def test_many_deliveries_are_under_way_at_once(store: Store) -> None:
    for number in range(60):
        owe(store, "ops", job=f"job{number}")
    ops = RecordingNotifier(name="ops")
    ops.answers.extend([1.0] * 60)
    assert drain(store, ops, seconds=30) == 0
    times = [delivery.history[0].at for delivery in store.outbox.deliveries(limit=None)]
    assert max(times) - min(times) < timedelta(seconds=20)


def test_a_loop_of_deliver_due_takes_new_work_while_old_work_is_slow(store: Store) -> None:
    slow, quick = RecordingNotifier(name="slow"), RecordingNotifier(name="quick")
    slow.answers.append(300.0)
    works = dispatcher(store, slow, quick)

    async def serve() -> list[int]:
        owe(store, "slow")
        ended = [await works.deliver_due()]
        owe(store, "quick")
        ended.append(await works.deliver_due())
        return ended

    assert asyncio.run(serve()) == [0, 1]
    assert (len(slow.sent), len(quick.sent)) == (1, 1)


def test_a_slow_endpoint_leaves_the_others_their_room_however_much_it_is_owed(store: Store) -> None:
    slow, quick = RecordingNotifier(name="slow"), RecordingNotifier(name="quick")
    slow.answers.extend([300.0] * 150)
    for number in range(150):
        owe(store, "slow", job=f"job{number}")
    owe(store, "quick", job="last")
    works = dispatcher(store, slow, quick)

    async def serve() -> None:
        while not quick.sent:
            await works.deliver_due()

    asyncio.run(serve())
    assert len(slow.sent) < 50


def test_what_was_under_way_when_the_process_died_is_sent_after_its_lease(store: Store) -> None:
    event_id = owe(store, "ops")
    assert store.outbox.claim("host1", 10, timedelta(milliseconds=1))
    time.sleep(0.01)
    ops = RecordingNotifier(name="ops")
    assert drain(store, ops) == 0
    assert [message.id for message in ops.sent] == [event_id]
    assert only(store).attempts == 2


def test_a_replayed_event_is_delivered_again_under_its_id(store: Store) -> None:
    event_id = owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    drain(store, ops)
    store.outbox.replay(event_id, ["ops"])
    assert drain(store, ops) == 0
    assert [message.id for message in ops.sent] == [event_id, event_id]


def test_no_secret_of_a_message_is_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="backupman")
    owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    failures: list[Any] = [NotifyError("ops: 503", answer="S3cret"), ValueError("S3cret")]
    ops.answers.extend(failures)
    assert drain(store, ops) == 0
    assert caplog.records
    assert "S3cret" not in caplog.text
