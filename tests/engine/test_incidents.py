"""Incidents by a clock that tests move: missed and stuck, what suppresses what, restarts, reloads and odd clocks."""

from collections.abc import Callable
from threading import Event

import pytest

from backupman.errors import StoreError
from tests.engine._virtual import INSTANCE, NIGHTLY, World, last, open_kinds

Make = Callable[..., World]


def test_a_run_that_never_started_is_missed_and_not_late_too(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.start()
    there.live("2026-03-03 12:00")
    there.clock.set("2026-03-04 16:00")
    there.begin()
    there.start()
    there.live("2026-03-05 01:00")
    assert there.told() == ["backup_missed"]
    assert (last(there)["DueAt"], last(there)["LastSuccess"]) == ("2026-03-04T02:30:00Z", "2026-03-03T02:30:00Z")
    there.live("2026-03-05 12:00")
    assert there.told() == ["backup_missed", "backup_recovered"]
    assert last(there)["Incident"] == "backup_missed"


def test_what_was_missed_is_reminded_of_and_told_once(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.start()
    for day in ("04", "05", "06"):  # the machine is on for an hour in the evening
        there.clock.set(f"2026-03-{day} 18:00")
        there.begin()
        there.start()
        there.live(f"2026-03-{day} 19:00")
    assert there.states("nightly") == [("03-04 02:30", "missed"), ("03-05 02:30", "missed"), ("03-06 02:30", "missed")]
    assert there.told() == ["backup_missed", "backup_missed again", "backup_missed again"]


def test_a_run_that_is_caught_up_has_its_grace_from_its_start(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.start()
    there.live("2026-03-03 12:00")
    there.held["App"] = Event()
    there.clock.set("2026-03-04 09:00")
    there.begin()
    there.start()
    there.deadlines.check()
    assert there.states("nightly")[1] == ("03-04 02:30", "running")
    there.clock.set("2026-03-04 09:59")
    there.deadlines.check()
    assert there.told() == []
    there.clock.set("2026-03-04 10:00")
    there.deadlines.check()
    assert there.told() == ["backup_late"]
    there.held.pop("App").set()
    there.wait()


def test_a_missed_run_closes_that_a_backup_is_late(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-03 12:00")
    there.clock.set("2026-03-04 16:00")
    there.begin()
    there.start()
    there.deadlines.check()
    assert there.told() == ["backup_late", "backup_missed"]
    assert open_kinds(there) == [("backup_missed", "")]


def test_of_a_job_with_two_sources_each_is_told(world: Make) -> None:
    there = world("2026-03-02 12:00", "First", "Second", **NIGHTLY)
    there.start()
    there.clock.set("2026-03-03 16:00")
    there.begin()
    there.start()
    assert [(kind, payload["Source"]) for kind, payload in there.alarms()] == [
        ("backup_missed", "First"),
        ("backup_missed", "Second"),
    ]


def test_a_dump_that_was_ended_by_its_timeout_is_stuck_and_not_late_too(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.settings["data_sources"][0]["timeout"] = "30m"
    there.begin()
    there.start()
    there.live("2026-03-03 12:00")
    there.failing.add("App")
    there.live("2026-03-04 03:00")
    there.make("nightly", "App", failed=True, timed_out=True)
    there.live("2026-03-04 12:00")
    assert there.told() == ["backup_stuck"]
    assert last(there)["Reason"] == "App: the dump took longer than its timeout of 30m and was ended"
    there.live("2026-03-05 03:00")  # it fails in another way now
    assert there.told() == ["backup_stuck"]
    there.live("2026-03-05 04:00")
    assert there.told() == ["backup_stuck", "backup_stuck again"]
    assert {payload["DueAt"] for _, payload in there.alarms()} == {None}  # it was there in time
    there.failing.clear()
    there.live("2026-03-07 12:00")
    assert there.told() == ["backup_stuck", "backup_stuck again", "backup_recovered"]


def test_a_dump_that_is_stuck_every_hour_is_told_once(world: Make) -> None:
    there = world("2026-03-02 12:00", cron="0 * * * *")
    there.failing.add("App")
    there.start()
    for hour in range(13, 23):
        there.clock.set(f"2026-03-02 {hour}:30")
        there.make("nightly", "App", failed=True, timed_out=True)
        there.deadlines.check()
    assert there.told() == ["backup_stuck"]


def test_what_is_late_and_then_stuck_is_told_both_and_reminded_of_once(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-03 12:00")
    there.make("nightly", "App", failed=True, timed_out=True)
    there.deadlines.check()
    assert there.told() == ["backup_late", "backup_stuck"]
    assert open_kinds(there) == [("backup_stuck", "app")]
    there.live("2026-03-04 12:30")
    assert there.told()[2:] == ["backup_stuck again"]


def test_a_restart_forgets_nothing_and_repeats_nothing(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-03 12:00")
    for _ in range(3):
        there.begin()
        there.start()
        there.deadlines.check()
    assert there.told() == ["backup_late"]
    there.failing.clear()
    there.clock.set("2026-03-04 03:00")
    there.begin()
    there.start()
    there.begin()
    there.start()
    there.deadlines.check()
    assert there.told() == ["backup_late", "backup_recovered"]


def test_an_incident_and_its_event_are_written_together_or_not_at_all(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-03 03:29")
    trigger = "CREATE TRIGGER full BEFORE INSERT ON backupman_events BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    with there.store._engine.begin() as connection:
        connection.exec_driver_sql(trigger)
    there.clock.set("2026-03-03 03:31")
    with pytest.raises(StoreError):
        there.deadlines.check()
    assert open_kinds(there) == []
    with there.store._engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    there.deadlines.check()
    assert (there.told(), open_kinds(there)) == (["backup_late"], [("backup_late", "app")])


def test_only_who_wants_such_events_is_told(world: Make) -> None:
    endpoints = {"endpoints": [{"name": "All", "url": "http://127.0.0.1/"}]}
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.settings["notifiers"] |= {"webhook": endpoints}  # which wants reports, as all do who say nothing
    there.begin()
    there.failing.add("App")
    there.start()
    there.live("2026-03-03 12:00")
    owed = there.store.outbox.deliveries()
    assert [(delivery.event.kind, delivery.endpoint, delivery.lane) for delivery in owed] == [
        ("backup_late", "mail/ops@example.com", "nightly")
    ]


def test_a_changed_schedule_is_late_by_its_own_times(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.start()
    there.live("2026-03-03 12:00")
    there.failing.add("App")
    there.reload(jobs=[{"label": "nightly", "cron": "0 * * * *", "timezone": "UTC"}])
    there.live("2026-03-03 13:59")
    assert there.told() == []
    there.live("2026-03-03 14:00")
    assert (there.told(), last(there)["DueAt"]) == (["backup_late"], "2026-03-03T13:00:00Z")


def test_the_end_is_told_where_the_last_database_that_was_late_is_gone(world: Make) -> None:
    there = world("2026-03-02 12:00", "Main", **NIGHTLY)
    there.databases["Main"] = ["blog", "shop"]
    there.start()
    there.live("2026-03-03 12:00")
    there.failing |= {"blog", "shop"}
    there.live("2026-03-04 12:00")
    there.failing = {"shop"}
    there.live("2026-03-05 03:00")
    assert (there.told(), open_kinds(there)) == (["backup_late"], [("backup_late", "shop")])
    there.databases["Main"] = ["blog"]
    there.live("2026-03-06 12:00")
    assert (there.told()[-1], last(there)["Incident"]) == ("backup_recovered", "backup_late")
    assert open_kinds(there) == []


def test_what_left_the_config_is_not_watched_any_more(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-03 12:00")
    there.reload(jobs=[{"label": "another"}])
    there.live("2026-03-10 12:00")
    assert (there.told(), open_kinds(there)) == (["backup_late"], [])


def test_the_incidents_of_another_host_are_left_alone(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.start()
    other = World(there.folder, there.store, there.clock, there.settings | {"instance": "host2"})
    assert other.config.instance == "host2"
    from backupman.engine.deadlines import Deadlines

    theirs = Deadlines(there.store, "host2", there.clock)
    theirs.watch(other.config, other.plans)
    there.live("2026-03-03 12:00")
    theirs.check()
    assert [payload["Instance"] for _, payload in there.alarms()] == ["host2"]
    there.live("2026-03-04 12:00")
    assert [incident.instance for incident in there.store.jobs.open_incidents()] == ["host2"]
    assert there.store.jobs.open_incidents(INSTANCE) == []


def test_a_run_skipped_because_the_backup_before_it_took_so_long_was_met_by_that_one(world: Make) -> None:
    there = world("2026-03-02 12:00", more={"deadlines": {"grace": "50m"}}, cron="0 * * * *")
    there.start()
    there.live("2026-03-02 13:30")
    there.held["App"] = Event()
    there.clock.set("2026-03-02 14:00")
    there.tick()
    there.clock.set("2026-03-02 15:00")
    there.tick()
    assert there.states("nightly")[2] == ("03-02 15:00", "skipped")
    there.clock.set("2026-03-02 15:01")
    there.deadlines.check()
    assert there.told() == ["backup_late"]  # of 14:00, which had until 14:50
    there.held.pop("App").set()
    there.wait()
    there.live("2026-03-02 15:59")
    assert there.told() == ["backup_late", "backup_recovered"]


def test_a_clock_that_jumps_ahead_and_back_does_no_harm(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.start()
    there.live("2026-03-03 12:00")
    there.clock.set("2031-01-01 12:00")
    there.deadlines.check()
    assert there.told() == ["backup_late"]
    there.make("nightly", "App")  # recorded while the clock was ahead
    there.deadlines.check()
    there.clock.set("2026-03-03 13:00")
    there.live("2026-03-04 02:00")
    assert there.told() == ["backup_late", "backup_recovered"]
    there.failing.add("App")
    there.live("2026-03-04 03:30")
    assert there.told()[2:] == ["backup_late"]
    assert last(there)["LastSuccess"] == "2026-03-03T02:30:00Z"
    there.clock.set("2026-02-01 12:00")
    there.deadlines.check()
    there.clock.set("2026-03-04 04:00")
    there.live("2026-03-04 23:00")
    assert there.told().count("backup_late") <= 3


def test_the_hour_that_daylight_saving_skips_is_no_reason_for_an_alarm(world: Make) -> None:
    there = world("2026-03-27 12:00", timezone="Europe/Berlin", **NIGHTLY)
    there.start()
    there.live("2026-03-31 12:00")
    assert (len(there.started), there.told()) == (4, [])
    there.clock.set("2026-10-23 12:00")
    there.begin()
    there.start()
    there.live("2026-10-28 12:00")
    assert there.told() == ["backup_missed", "backup_recovered"]  # the summer in which nobody was there
