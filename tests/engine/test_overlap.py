"""Runs that meet others: still running, another job's, another daemon's, or what a crash left of them."""

import logging
from collections.abc import Callable
from threading import Event

import pytest

from backupman.engine.locks import source_lock
from tests.e2e.world import wait_for
from tests.engine._virtual import INSTANCE, World, at

Make = Callable[..., World]


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
