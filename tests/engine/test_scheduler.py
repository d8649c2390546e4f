"""The scheduler by a clock that tests move: once each due time, caught up or missed, skipped, resumed, never lost."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupman.config import JobPlan
from backupman.config.model import Hooks
from backupman.engine.locks import source_lock
from backupman.engine.scheduler import _Due
from backupman.pipeline import Pipeline
from backupman.records import RunState
from backupman.schedule import Schedule
from backupman.store import Store
from tests.e2e.world import wait_for
from tests.engine._virtual import INSTANCE, Clock, World, at
from tests.engine._virtual import settings as config_of

Make = Callable[..., World]


def test_a_job_is_run_when_it_is_due_and_only_then(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="30 2 * * *")
    there.start()
    there.live("2026-03-05 12:00")
    assert there.states("nightly") == [("03-03 02:30", "done"), ("03-04 02:30", "done"), ("03-05 02:30", "done")]
    assert there.started == [("nightly", "App")] * 3
    assert there.triggers == {"schedule"}


def test_a_new_schedule_has_no_past(world: Make) -> None:
    there = world("2026-03-02 02:31", cron="30 2 * * *")
    there.start()
    assert there.runs("nightly") == []
    there.clock.set("2026-03-03 02:31")
    there.tick()
    assert there.states("nightly") == [("03-03 02:30", "done")]


def test_a_changed_schedule_has_no_past(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="30 2 * * *")
    there.start()
    there.clock.set("2026-03-03 04:01")
    there.reload(jobs=[{"label": "nightly", "cron": "0 4 * * *", "timezone": "UTC"}])
    assert there.runs("nightly") == []
    there.clock.set("2026-03-04 04:00")
    there.tick()
    assert there.states("nightly") == [("03-04 04:00", "done")]


def test_another_time_zone_is_another_schedule(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="0 4 * * *")
    there.start()
    there.clock.set("2026-03-03 03:30")
    there.reload(jobs=[{"label": "nightly", "cron": "0 4 * * *", "timezone": "Europe/Berlin"}])
    assert there.runs("nightly") == []


def test_a_job_that_comes_back_to_the_config_has_no_past(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="30 2 * * *")
    jobs = there.settings["jobs"]
    there.start()
    there.reload(jobs=[{"label": "other"}])
    there.clock.set("2026-03-20 02:31")
    there.reload(jobs=jobs)
    assert (there.runs("nightly"), there.told()) == ([], [])


def test_a_run_missed_while_nobody_was_there_is_caught_up_exactly_once(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="30 2 * * *")
    there.start()
    there.clock.set("2026-03-03 14:29")  # half of a day after it was due
    there.begin()
    there.start()
    assert there.states("nightly") == [("03-03 02:30", "done")]
    there.begin()
    there.start()
    there.tick()
    assert there.started == [("nightly", "App")]
    assert there.told() == []


def test_a_run_that_is_too_old_is_recorded_as_missed_and_reported(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="30 2 * * *")
    there.start()
    there.clock.set("2026-03-03 14:31")
    there.begin()
    there.start()
    assert there.started == []
    (run,) = there.runs("nightly")
    assert (run.state, run.due_at, run.started_at) == ("missed", at("2026-03-03 02:30"), None)
    assert run.reason == (
        "backupman was not there to start it, and at 2026-03-03 14:31 UTC it was too late to catch up"
    )
    ((kind, payload),) = there.alarms()
    assert (kind, payload["Job"], payload["Source"], payload["DueAt"]) == (
        "backup_missed",
        "nightly",
        "App",
        "2026-03-03T02:30:00Z",
    )
    assert payload["Reason"].startswith("App: the run of job nightly due at 2026-03-03 02:30 UTC did not start: ")
    there.begin()
    there.start()
    assert len(there.alarms()) == 1


def test_of_several_missed_runs_the_newest_is_caught_up_and_the_others_are_reported_together(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="30 2 * * *")
    there.start()
    there.clock.set("2026-03-06 03:00")
    there.begin()
    there.start()
    assert there.states("nightly") == [("03-05 02:30", "missed"), ("03-06 02:30", "done")]
    ((_, payload),) = there.alarms()
    assert "due at 2026-03-05 02:30 UTC and 2 before it since 2026-03-03 02:30 UTC did not start" in payload["Reason"]


def test_years_of_missed_seconds_are_counted_up_to_a_thousand(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="* * * * * *", misfire_grace="1m")
    there.start()
    there.clock.set("2036-03-02 12:00")
    there.begin()
    there.start()
    ((_, payload),) = there.alarms()
    assert "at least 999 before it" in payload["Reason"]
    assert [state for _, state in there.states("nightly")] == ["missed", "done"]


@pytest.mark.parametrize(("minutes", "state"), [(180, "done"), (181, "missed")])
def test_the_grace_can_be_set(minutes: int, state: str, world: Make) -> None:
    there = world("2026-03-02 12:00", cron="30 2 * * *", misfire_grace="3h")
    there.start()
    there.clock.set("2026-03-03 02:30")
    there.clock.forward(minutes=minutes)
    there.tick()
    assert there.states("nightly") == [("03-03 02:30", state)]


@pytest.mark.parametrize(("hours", "state"), [(24, "done"), (24.01, "missed")])
def test_the_grace_is_a_day_at_most(hours: float, state: str, world: Make) -> None:
    there = world("2026-03-02 12:00", cron="@monthly")
    there.start()
    there.clock.set("2026-04-01 00:00")
    there.clock.forward(hours=hours)
    there.tick()
    assert there.states("nightly") == [("04-01 00:00", state)]


def test_an_interval_is_run_and_caught_up_too(world: Make) -> None:
    there = world("2026-03-02 12:00", every="6h")
    there.start()
    there.clock.set("2026-03-03 03:00")
    there.begin()
    there.start()
    assert there.states("nightly") == [("03-02 18:00", "missed"), ("03-03 00:00", "done")]


def test_a_job_that_is_still_running_is_skipped_and_that_is_recorded(
    world: Make, caplog: pytest.LogCaptureFixture
) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.held["App"] = Event()
    there.start()
    there.clock.set("2026-03-02 13:00")
    there.tick()
    there.clock.set("2026-03-02 14:00")
    there.tick()
    there.tick()
    assert there.states("nightly") == [("03-02 13:00", "running"), ("03-02 14:00", "skipped")]
    assert there.runs("nightly")[1].reason == "still being backed up since before: App"
    assert len([r for r in caplog.records if r.levelno == logging.WARNING and "is skipped" in r.getMessage()]) == 1
    there.held["App"].set()
    there.wait()
    there.clock.set("2026-03-02 15:00")
    there.tick()
    assert there.states("nightly")[0] == ("03-02 13:00", "done")
    assert there.states("nightly")[2] == ("03-02 15:00", "done")
    assert there.told() == []


def test_only_the_source_that_is_not_through_is_skipped(world: Make) -> None:
    there = world("2026-03-02 12:00", "Small", "Big", cron="0 * * * *")
    there.held["Big"] = Event()
    there.start()
    there.clock.set("2026-03-02 13:00")
    there.tick()
    wait_for(lambda: there.calls[0].ended() or there.calls[1].ended())
    there.clock.set("2026-03-02 14:00")
    there.tick()
    assert sorted(there.started) == [("nightly", "Big"), ("nightly", "Small"), ("nightly", "Small")]
    there.held["Big"].set()
    there.wait()
    second = there.runs("nightly")[1]
    assert (second.state, second.reason) == ("done", "still being backed up since before: Big")


def test_a_run_by_hand_of_the_same_job_counts_as_running(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.start()
    there.clock.set("2026-03-02 12:59")
    by_hand = there.record("nightly", "App", "app")
    there.clock.set("2026-03-02 13:00")
    with source_lock(there.folder, "App", wait=False):
        there.tick()
    assert there.states("nightly") == [("03-02 13:00", "skipped")]
    there.settle(by_hand)


def test_what_a_dead_process_left_pending_keeps_nobody_from_running(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.start()
    there.record("nightly", "App", "app")  # and nobody holds the source
    there.clock.set("2026-03-02 13:00")
    there.tick()
    assert there.states("nightly") == [("03-02 13:00", "done")]


def test_another_jobs_run_of_the_same_source_is_not_skipped(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.start()
    there.record("another", "App", "app")
    there.clock.set("2026-03-02 13:00")
    with source_lock(there.folder, "App", wait=False):
        there.tick()  # the executor is told to wait, and does
    assert there.states("nightly") == [("03-02 13:00", "done")]


def test_a_clock_that_is_set_back_runs_nothing_twice(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.start()
    there.live("2026-03-02 15:10")
    there.clock.set("2026-03-02 13:30")
    there.live("2026-03-02 16:10")
    assert there.states("nightly") == [(f"03-02 {hour}:00", "done") for hour in (13, 14, 15, 16)]


def test_a_clock_that_jumps_forward_runs_once(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.start()
    there.clock.set("2026-03-02 17:10")
    there.tick()
    there.tick()
    assert there.states("nightly") == [("03-02 16:00", "missed"), ("03-02 17:00", "done")]


def test_a_clock_that_was_years_ahead_holds_no_run_back(world: Make) -> None:
    there = world("2030-01-01 12:00", cron="0 * * * *")
    there.start()
    there.clock.set("2030-01-01 13:00")
    there.tick()
    there.clock.set("2026-03-02 12:30")  # the true time
    there.begin()
    there.start()
    assert there.started == [("nightly", "App")]
    there.clock.set("2026-03-02 13:00")
    there.tick()
    assert there.states("nightly") == [("03-02 13:00", "done"), ("01-01 13:00", "done")]


def test_two_daemons_of_one_name_run_a_due_time_once(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.start()
    twin = World(there.folder, there.store, there.clock, there.settings)
    twin.start()
    there.clock.set("2026-03-02 13:00")
    there.tick()
    twin.tick()
    assert (there.started, twin.started) == ([("nightly", "App")], [])


def test_a_job_of_the_same_name_on_another_host_is_another_job(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.start()
    there.clock.set("2026-03-02 13:00")
    assert there.store.jobs.open_run("host2", "nightly", at("2026-03-02 13:00"), there.clock()) is not None
    there.tick()
    assert there.states("nightly") == [("03-02 13:00", "done")]


def test_a_run_that_a_crash_interrupted_goes_on_with_what_it_had_not_begun(world: Make) -> None:
    there = world("2026-03-02 12:00", "First", "Second", cron="0 * * * *")
    there.start()
    there.clock.set("2026-03-02 13:00")
    there.store.jobs.open_run(INSTANCE, "nightly", there.clock(), there.clock())
    there.make("nightly", "First")
    there.clock.forward(minutes=5)
    there.begin()
    there.start()
    assert there.started == [("nightly", "Second")]
    assert there.states("nightly") == [("03-02 13:00", "done")]
    there.begin()
    there.start()
    assert there.started == [("nightly", "Second")]


def test_a_run_that_was_interrupted_too_long_ago_does_not_go_on(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.start()
    there.clock.set("2026-03-02 13:00")
    there.store.jobs.open_run(INSTANCE, "nightly", there.clock(), there.clock())
    there.clock.forward(minutes=31)
    there.begin()
    there.start()
    assert there.started == []
    (run,) = there.runs("nightly")
    assert (run.state, run.reason) == ("interrupted", "interrupted by a crash")


def test_a_source_that_could_not_begin_is_begun_when_it_can(world: Make, caplog: pytest.LogCaptureFixture) -> None:
    there = world("2026-03-02 12:00", "Good", "Bad", cron="0 * * * *")
    there.unable.add("Bad")
    there.start()
    there.clock.set("2026-03-02 13:00")
    there.tick()
    (run,) = there.runs("nightly")
    assert (run.state, run.reason) == ("interrupted", "Bad: the store cannot be used")
    assert "not begun: Bad: the store cannot be used" in caplog.text
    there.unable.clear()
    there.clock.forward(seconds=30)
    there.tick()
    assert there.started == [("nightly", "Good"), ("nightly", "Bad"), ("nightly", "Bad")]
    assert there.states("nightly") == [("03-02 13:00", "done")]


def test_the_store_s_bad_moment_loses_no_due_time(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.start()
    there.clock.set("2026-03-02 13:00")
    with there.store._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE backupman_runs RENAME TO away")
    there.scheduler._wake("nightly")
    assert [job.id for job in there.scheduler._ticker.get_jobs()] == ["job nightly", "job nightly again"]
    with there.store._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO backupman_runs")
    there.tick()
    assert there.states("nightly") == [("03-02 13:00", "done")]


def test_the_next_runs_are_told(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.start()
    (plan,) = there.plans
    assert there.scheduler.upcoming(plan, at("2026-03-02 12:30"), 2) == [at("2026-03-02 13:00"), at("2026-03-02 14:00")]
    there.reload(jobs=[{"label": "by hand"}])
    assert there.scheduler.upcoming(there.plans[0], there.clock(), 2) == []


def test_a_reload_keeps_what_is_done_by_the_clock(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.scheduler.every(timedelta(hours=1), "watch", lambda: None)
    there.start()
    there.reload(jobs=[{"label": "another", "cron": "0 * * * *"}])
    assert sorted(job.id for job in there.scheduler._ticker.get_jobs()) == ["job another", "watch"]


def test_what_is_tried_again_goes_by_the_config_of_then(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="* * * * *")
    there.start()
    there.reload(jobs=[{"label": "nightly", "cron": "0 2 * * *", "timezone": "UTC"}])
    there.clock.forward(minutes=2)
    there.scheduler._wake("nightly")
    assert there.states("nightly") == []
    there.reload(jobs=[{"label": "by hand"}])
    there.scheduler._wake("nightly")
    assert there.states("nightly") == []


def test_a_run_that_waits_for_its_jitter_is_not_missed_by_that(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="30 2 * * *", jitter="2h", misfire_grace="5m")
    there.start()
    there.clock.set("2026-03-03 04:34")
    there.tick()
    assert there.states("nightly") == [("03-03 02:30", "done")]
    there.clock.set("2026-03-04 04:36")
    there.tick()
    assert there.states("nightly")[1] == ("03-04 02:30", "missed")


def test_who_is_there_and_wakes_up_a_little_late_has_missed_nothing(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="* * * * * *")
    there.start()
    there.clock.forward(seconds=40)
    there.scheduler._wake("nightly", timedelta(minutes=1))
    there.wait()
    assert there.states("nightly") == [("03-02 12:00", "done")]
    there.clock.forward(seconds=90)
    there.scheduler._wake("nightly", timedelta(minutes=1))
    there.wait()
    assert [state for _, state in there.states("nightly")] == ["done", "missed", "done"]


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
        there.scheduler.stop()
    there.wait()
    runs = there.runs("nightly")
    assert len({run.due_at for run in runs}) == len(runs) >= 3
    assert {run.state for run in runs} <= {"done", "skipped"}
    assert all(run.due_at.microsecond == 0 for run in runs)
    there.scheduler.soon("look")
    there.scheduler.stop()
    store.close()
