"""The dispatcher beside what is slow: nobody else waits for it, and its own time is bounded."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from backupman.config.model import Deliveries
from backupman.engine.dispatcher import Dispatcher
from backupman.store import Store
from backupman.testing import RecordingNotifier
from tests.engine._owing import dispatcher, drain, only, owe


def deliver(works: Dispatcher, until: Callable[[], bool], longest: float = 300.0) -> None:
    """Deliver as the daemon does until the condition holds."""

    async def serve() -> None:
        while not until():
            await works.deliver_due(longest)

    asyncio.run(asyncio.wait_for(serve(), 90))


def test_no_answer_in_time_is_a_temporary_failure(store: Store) -> None:
    owe(store, "ops")
    ops = RecordingNotifier(name="ops")
    ops.answers.append(300.0)
    patient = dispatcher(store, ops, settings=Deliveries(first_wait=timedelta(hours=1)))
    deliver(patient, lambda: bool(only(store).history), longest=1.0)
    waiting = only(store)
    assert (waiting.state, waiting.error) == ("owed", "ops: no answer before the time to deliver was over")
    assert store.outbox.owe_again([waiting.id or 0]) == 1
    assert drain(store, ops) == 0


def test_a_slow_endpoint_holds_up_nobody_else(store: Store) -> None:
    events = [owe(store, "slow", "quick") for _ in range(5)]
    slow, quick = RecordingNotifier(name="slow"), RecordingNotifier(name="quick")
    slow.answers.append(300.0)
    deliver(dispatcher(store, slow, quick), lambda: len(quick.sent) == 5)
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
    assert time.monotonic() - started < 60


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
    assert drain(store, ops) == 0
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
    deliver(dispatcher(store, slow, quick), lambda: bool(quick.sent))
    assert len(slow.sent) < 50
