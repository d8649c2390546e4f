"""The scheduler by a clock that tests move: once each due time, caught up or missed, and what a reload changes."""

from collections.abc import Callable
from datetime import timedelta
from threading import Event, Thread

import pytest

from backupman.errors import StoreError
from tests.e2e.world import wait_for
from tests.engine._virtual import World, at

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


def test_the_end_waits_for_what_is_done_by_the_clock_also_where_that_fails_by_the_store(world: Make) -> None:
    """What failed so asks to be done soon, of the clock that ends."""
    there = world("2026-03-02 12:00")
    begun, done = Event(), Event()

    def work() -> None:
        begun.set()
        wait_for(lambda: not there.scheduler._ticker.running)
        done.set()
        raise StoreError("the database cannot be reached")

    there.scheduler.every(timedelta(hours=1), "watch", work)
    there.scheduler.start([])
    assert begun.wait(60)
    ending = Thread(target=there.scheduler.close, daemon=True)
    ending.start()
    ending.join(60)
    assert (done.is_set(), ending.is_alive()) == (True, False)


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
