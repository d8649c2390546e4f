"""The scheduler under whatever may come: any passing of time, any jitter, and the true clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupman.config import JobPlan
from backupman.config.model import Hooks
from backupman.engine.scheduler import _Due
from backupman.pipeline import Pipeline
from backupman.records import RunState
from backupman.schedule import Schedule
from backupman.store import Store
from tests.e2e.world import wait_for
from tests.engine._virtual import Clock, World, at
from tests.engine._virtual import settings as config_of

Make = Callable[..., World]


@given(
    minutes=st.lists(st.integers(1, 400), min_size=1, max_size=40),
    back=st.lists(st.integers(0, 39), max_size=3),
    jitter=st.timedeltas(min_value=timedelta(0), max_value=timedelta(hours=5)),
)
@settings(max_examples=15, deadline=None)
def test_no_due_time_is_ever_run_twice_or_lost(
    minutes: list[int], back: list[int], jitter: timedelta, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However the time passes, with restarts and steps back: each due time is run, or missed for being too old."""
    folder, store = tmp_path_factory.mktemp("world"), Store.open("sqlite://")
    there = World(folder, store, Clock("2026-03-02 12:00"), config_of(folder, "App", cron="0 */2 * * *", jitter="20m"))
    there.start()
    for index, passed in enumerate(minutes):
        there.clock.forward(minutes=passed)
        if index % 7 == 6:
            there.begin()
            there.start()
        there.tick()
        if index in back:
            there.clock.forward(minutes=-passed)
            there.tick()
    runs = there.runs("nightly")
    assert all(earlier.due_at < later.due_at for earlier, later in pairwise(runs))
    assert all(run.due_at.hour % 2 == 0 and run.due_at.minute == 0 for run in runs)
    assert len(there.started) == len([run for run in runs if run.state == RunState.DONE])
    last = runs[-1].due_at if runs else at("2026-03-02 12:00")
    assert there.clock() - last < timedelta(hours=2) or any(back)
    store.close()


@given(
    line=st.sampled_from(["* * * * *", "*/7 * * * *", "0 * * * *", "0 3 * * 1-5", "30 0 3 * * *"]),
    minutes=st.integers(0, 4000),
    offset=st.integers(0, 10**6),
)
@settings(deadline=None)
def test_jitter_begins_later_but_never_takes_the_turn_of_the_next_run(line: str, minutes: int, offset: int) -> None:
    start, jitter = at("2026-03-01") + timedelta(seconds=offset), timedelta(minutes=minutes)
    schedule = Schedule(line, None, UTC)
    plan = JobPlan("nightly", schedule, UTC, jitter, None, None, [], [], [], Pipeline(), None, Hooks())
    trigger, now, previous = _Due(plan, start), start, None
    for due in islice(schedule.due(start, start), 20):
        woken = trigger.get_next_fire_time(previous, now)
        assert woken is not None
        assert due <= woken <= due + jitter
        assert schedule.latest(woken, start) == due
        now = previous = woken


class TrueClock(Clock):
    """The time as it is."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


def test_apscheduler_wakes_us(tmp_path: Path) -> None:
    """With the true time: a line of every second, and something else that is done by the clock."""
    store = Store.open("sqlite://")
    there = World(tmp_path, store, TrueClock("2026-03-02"), config_of(tmp_path, "App", cron="* * * * * *"))
    looks: list[datetime] = []
    there.scheduler.every(timedelta(hours=1), "look", lambda: looks.append(datetime.now(UTC)))
    there.scheduler.start(there.plans)
    try:
        wait_for(lambda: len(there.started) >= 3 and looks)
        there.scheduler.soon("look")
        there.scheduler.soon("look")
        wait_for(lambda: len(looks) == 2)
    finally:
        there.scheduler.close()
    there.wait()
    runs = there.runs("nightly")
    assert len({run.due_at for run in runs}) == len(runs) >= 3
    assert {run.state for run in runs} <= {"done", "skipped"}
    assert all(run.due_at.microsecond == 0 for run in runs)
    there.scheduler.soon("look")
    there.scheduler.close()
    store.close()
