"""The dispatcher: what is owed is sent, tried again, and given up, and nothing that is broken stands in the way."""

import logging
import time
from collections import deque
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import select

from backupman.config.model import Deliveries
from backupman.engine.dispatcher import Dispatcher
from backupman.errors import NotifyError
from backupman.records import Delivery, now
from backupman.store import Store
from backupman.testing import RecordingNotifier
from tests.e2e.world import wait_for
from tests.engine._owing import QUICK, drain, only, owe, try_in_vain


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
    assert drain(store, RecordingNotifier(), seconds=100) == 0
    assert time.monotonic() - started < 60


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
    assert drain(store, ops, seconds=100) == 1
    assert time.monotonic() - started < 60
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
        assert drain(store, ops, seconds=30, settings=settings) == 1
        delivery = only(store)
        waits.append((delivery.next_attempt_at - now()).total_seconds())
        assert store.outbox.owe_again([delivery.id or 0]) == 1
    for wait, most in zip(waits, [100, 200, 300, 300], strict=True):
        assert 0.8 * most - 10 <= wait <= most


def test_what_is_too_old_is_given_up(store: Store) -> None:
    owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    ops.answers.extend(NotifyError(f"ops: 503 number {number}") for number in range(2))
    settings = Deliveries(first_wait=timedelta(hours=1), give_up_after=timedelta(hours=2))
    assert drain(store, ops, settings=settings) == 1
    with store._sessions.writing() as session:
        for delivery in session.exec(select(Delivery)):
            delivery.created_at, delivery.next_attempt_at = now() - timedelta(hours=2), now()
    assert drain(store, ops, settings=settings) == 0
    failed = only(store)
    assert (failed.state, failed.error) == ("failed", "ops: 503 number 1")
    assert len(failed.history) == len(ops.sent) == 2


def test_what_became_too_old_while_nobody_could_send_it_is_tried_twice(store: Store) -> None:
    owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    ops.answers.extend(NotifyError("ops: no network yet") for _ in range(2))
    with store._sessions.writing() as session:
        for delivery in session.exec(select(Delivery)):
            delivery.created_at = delivery.next_attempt_at = now() - timedelta(days=9)
    settings = Deliveries(first_wait=timedelta(hours=1))
    assert drain(store, ops, settings=settings) == 1
    waiting = only(store)
    assert waiting.state == "owed"
    assert waiting.next_attempt_at > now()
    with store._sessions.writing() as session:
        session.get_one(Delivery, waiting.id).next_attempt_at = now()
    assert drain(store, ops, settings=settings) == 0
    assert only(store).state == "failed"


def test_a_wait_beyond_its_time_ends_in_one_more_attempt(store: Store) -> None:
    owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    ops.answers.append(NotifyError("ops: 429 Too Many Requests", retry_after=86_400))
    settings = Deliveries(give_up_after=timedelta(hours=12))
    assert drain(store, ops, settings=settings) == 1
    waiting = only(store)
    assert (waiting.state, waiting.next_attempt_at) == ("owed", waiting.created_at + timedelta(hours=12))


def test_what_was_owed_by_a_clock_that_was_ahead_does_not_wait_until_then(store: Store) -> None:
    owe(store, "ops")
    with store._sessions.writing() as session:
        for delivery in session.exec(select(Delivery)):
            delivery.created_at = delivery.next_attempt_at = now() + timedelta(days=400)
    ops = RecordingNotifier(name="ops")
    assert drain(store, ops) == 0
    assert len(ops.sent) == 1


def test_what_was_tried_by_a_clock_that_was_ahead_does_not_wait_until_then(store: Store) -> None:
    owe(store, "ops")
    try_in_vain(store, ahead=timedelta(days=400))
    ops = RecordingNotifier(name="ops")
    assert drain(store, ops) == 0
    assert len(ops.sent) == 1


def test_what_was_tried_by_a_clock_that_was_ahead_is_due_for_workers_too(store: Store) -> None:
    """Whoever hands messages out to workers asks first when something is due."""
    owe(store, "ops")
    try_in_vain(store, ahead=timedelta(days=400))
    due = store.outbox.next_due("host1")
    assert due and due <= now()
    (again,) = store.outbox.claim("host1", 1, timedelta(minutes=1))
    assert store.outbox.next_due("host1") == again.lease_until


def test_what_was_tried_by_a_clock_that_was_ahead_is_not_given_up_for_its_age(store: Store) -> None:
    owe(store, "ops")
    try_in_vain(store, ahead=timedelta(days=400))
    ops = RecordingNotifier(name="ops")
    ops.answers.append(NotifyError("ops: 503"))
    assert drain(store, ops, settings=Deliveries(first_wait=timedelta(hours=1))) == 1
    waiting = only(store)
    assert waiting.state == "owed"
    assert waiting.next_attempt_at < now() + timedelta(hours=2)


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


@pytest.mark.parametrize(
    ("sources", "given_up_after", "dropped"),
    [(["wiki"], timedelta(days=3), []), (["shop"], timedelta(days=3), ["gone"]), (["wiki"], timedelta(0), ["gone"])],
)
def test_what_is_about_a_source_of_another_config_is_left_to_it_as_long_as_it_is_tried(
    store: Store, sources: list[str], given_up_after: timedelta, dropped: list[str]
) -> None:
    """A daemon's config and that of a `run` beside it, on the same records."""
    owe(store, "gone", "ops")
    ops = RecordingNotifier(name="ops")
    told = {endpoint.name: endpoint for endpoint in ops.endpoints()}
    settings = QUICK.model_copy(update={"give_up_after": given_up_after})
    Dispatcher(settings, told, store, "host1", sources=sources).drain(timedelta(seconds=30))
    assert [delivery.endpoint for delivery in store.outbox.deliveries(state="dropped")] == dropped
    assert len(ops.sent) == 1, "which both of them name"
    gone = RecordingNotifier(name="gone")
    assert drain(store, gone) == 0
    assert len(gone.sent) == 1 - len(dropped), "at once, as nobody has tried it"
    assert [each.attempts for each in store.outbox.deliveries(endpoint="gone")] == [1]


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
    assert drain(store, ops) == 0
    assert [message.id for message in ops.sent] == [events[0], events[0], events[1], events[1], events[1], *events[2:]]


def test_what_was_under_way_when_the_process_died_is_sent_after_its_lease(store: Store) -> None:
    event_id = owe(store, "ops")
    assert store.outbox.claim("host1", 10, timedelta(milliseconds=1))
    time.sleep(0.01)  # longer than that
    ops = RecordingNotifier(name="ops")
    assert drain(store, ops) == 0
    assert [message.id for message in ops.sent] == [event_id]
    assert only(store).attempts == 2


def test_a_replayed_event_is_delivered_again_under_its_id(store: Store) -> None:
    event_id = owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    drain(store, ops)
    store.outbox.replay(event_id, ["ops"], "host1")
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


def test_what_was_sent_is_recorded_once_the_store_is_back(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def rename(table: str, name: str) -> None:
        with store._sessions.writing() as session:
            session.connection().execute(text(f"ALTER TABLE {table} RENAME TO {name}"))

    class Away(deque[str | Exception | float]):
        def popleft(self) -> str:
            """What is answered while the message is sent."""
            rename("backupman_delivery_attempts", "away")
            return "200 OK"

    def come_back() -> None:
        wait_for(lambda: "not recorded yet" in caplog.text)
        rename("away", "backupman_delivery_attempts")

    owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    ops._answers = Away(["200 OK"])
    back = Thread(target=come_back)
    back.start()
    assert drain(store, ops) == 0
    back.join()
    assert (only(store).state, only(store).attempts, len(ops.sent)) == ("delivered", 1, 1)
