"""The circuit breaker: what keeps failing is asked now and then, and neither others nor its other messages suffer."""

from datetime import timedelta

from backupman.config.model import Deliveries
from backupman.engine.breaker import FAILURES, LONGEST_REST, Breaker
from backupman.errors import NotifyError
from backupman.records import now
from backupman.store import Store
from backupman.testing import RecordingNotifier
from tests.engine._owing import dispatcher, drain, owe

LONG = Deliveries(first_wait=timedelta(minutes=30), max_wait=timedelta(hours=1))
"""Waits so long that `drain` ends as soon as there is nothing to do at once."""


def down(name: str = "down") -> RecordingNotifier:
    """A notifier that never takes anything."""
    notifier = RecordingNotifier(name=name)
    notifier.answers.extend([NotifyError(f"{name}: 503")] * 100)
    return notifier


def test_an_endpoint_that_keeps_failing_is_left_alone_and_others_are_told(store: Store) -> None:
    for number in range(30):
        owe(store, "down", "up", job=f"job {number}")
    broken, good = down(), RecordingNotifier(name="up")
    first = dispatcher(store, broken, good, settings=LONG)
    assert first.drain(timedelta(minutes=1)) == 30
    asked = len(broken.sent)
    assert FAILURES <= asked <= 2 * 10, "those under way at once, and no more"
    assert len(good.sent) == 30
    assert first.drain(timedelta(minutes=1)) == 30
    assert len(broken.sent) == asked


def test_it_is_asked_one_message_then_and_gets_all_when_it_takes_that(store: Store) -> None:
    for number in range(30):
        owe(store, "down", job=f"job {number}")
    notifier = down()
    drain(store, notifier, settings=LONG)
    notifier.answers.clear()
    asked = len(notifier.sent)
    assert drain(store, notifier, settings=LONG) == asked, "what failed before waits as long as it has to"
    assert len(notifier.sent) == 30


def test_another_process_goes_on_carefully(store: Store) -> None:
    for number in range(30):
        owe(store, "down", job=f"job {number}")
    drain(store, down(), settings=LONG)
    notifier = down()
    drain(store, notifier, settings=LONG)
    assert len(notifier.sent) == 1


def test_messages_that_nobody_takes_hold_up_no_other_for_long(store: Store) -> None:
    for number in range(FAILURES + 2):
        owe(store, "ops", job=f"poisoned {number}")
    ops = RecordingNotifier(name="ops")
    ops.answers.extend([NotifyError("ops: 500")] * (FAILURES + 2))
    quick = Deliveries(first_wait=timedelta(milliseconds=300), max_wait=timedelta(hours=1))
    drain(store, ops, seconds=0.25, settings=quick)
    alarm = owe(store, "ops", job="other")
    drain(store, ops, settings=quick)
    assert alarm in [message.id for message in ops.sent]


def test_rests_grow_and_end() -> None:
    at, breaker = now(), Breaker(timedelta(seconds=10), timedelta(hours=1))
    for _ in range(FAILURES - 1):
        breaker.failed("ops", at)
    assert breaker.resting(at) == {} and breaker.open == []
    rests = []
    for _ in range(8):
        breaker.failed("ops", at)
        rests.append(breaker.resting(at)["ops"] - at)
    assert rests[0] <= timedelta(seconds=10) < rests[2]
    assert LONGEST_REST * 0.8 <= rests[-1] <= LONGEST_REST
    after = at + LONGEST_REST
    assert breaker.probed(after, []) == ["ops"] and breaker.probed(after, ["ops"]) == []
    breaker.answered("ops")
    assert breaker.open == []


def test_an_endpoint_that_says_when_to_come_back_is_sent_nothing_else_until_then(store: Store) -> None:
    busy, good = RecordingNotifier(name="busy"), RecordingNotifier(name="up")
    busy.answers.append(NotifyError("busy: 429", retry_after=3600))
    first = dispatcher(store, busy, good, settings=LONG)
    owe(store, "busy", "up", job="one")
    assert first.drain(timedelta(minutes=1)) == 1
    owe(store, "busy", "up", job="two")
    assert first.drain(timedelta(minutes=1)) == 2
    assert (len(busy.sent), len(good.sent)) == (1, 2)


def test_a_rest_that_was_asked_for_is_bounded_and_ends_with_one_message() -> None:
    at, breaker = now(), Breaker(timedelta(seconds=10), timedelta(hours=1))
    breaker.failed("ops", at, 60)
    breaker.failed("ops", at)
    assert breaker.resting(at) == {"ops": at + timedelta(seconds=60)}
    assert breaker.probed(at, []) == []
    later = at + timedelta(seconds=61)
    assert (breaker.open, breaker.resting(later), breaker.probed(later, [])) == (["ops"], {}, ["ops"])
    breaker.failed("ops", later, 86_400)
    assert breaker.resting(later) == {"ops": later + LONGEST_REST}
    breaker.answered("ops")
    assert breaker.open == []


def test_a_rest_that_began_by_a_clock_that_was_ahead_is_over() -> None:
    at, breaker = now(), Breaker(timedelta(seconds=10), timedelta(hours=1))
    for _ in range(FAILURES):
        breaker.failed("ops", at + timedelta(hours=5))
    assert breaker.resting(at) == {}
    assert breaker.probed(at, []) == ["ops"]
