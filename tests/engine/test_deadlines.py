"""Deadlines by a clock that tests move: told once, reminded of, over once; what suppresses what; never a flood."""

from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from backupman.errors import StoreError
from backupman.notifiers import Message
from backupman.notifiers._report import render
from backupman.records import Kind, new_id, now
from tests.engine._virtual import INSTANCE, World, at
from tests.store.conftest import statements

Make = Callable[..., World]
NIGHTLY = {"cron": "30 2 * * *"}


def last(world: World) -> dict[str, Any]:
    """The payload of what was told last."""
    return world.alarms()[-1][1]


def open_kinds(world: World) -> list[tuple[str, str]]:
    """The open incidents: kind and database."""
    return [(incident.kind, incident.database) for incident in world.store.jobs.open_incidents()]


def test_what_goes_well_is_not_told(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.start()
    there.live("2026-04-13 12:00")  # six weeks, and the clocks of half the world change
    assert len(there.started) == 42
    assert there.told() == []


def test_a_backup_is_late_when_its_grace_is_over(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.start()
    there.live("2026-03-03 12:00")
    there.failing.add("App")
    there.live("2026-03-04 03:29")
    assert there.told() == []
    there.live("2026-03-04 03:30")
    ((kind, payload),) = there.alarms()
    assert kind == "backup_late"
    assert payload == {
        "Label": "App",
        "Job": "nightly",
        "Source": "App",
        "SourceProvider": "command",
        "Database": "app",
        "Databases": ["app"],
        "Instance": INSTANCE,
        "Sender": None,
        "Incident": "backup_late",
        "Since": "2026-03-04T03:30:00Z",
        "Reminder": False,
        "DueAt": "2026-03-04T02:30:00Z",
        "MaxAge": None,
        "LastSuccess": "2026-03-03T02:30:00Z",
        "Size": None,
        "UsualSize": None,
        "Reason": "App has had no good backup since 2026-03-03 02:30 UTC; the next was due at 2026-03-04 02:30 UTC and "
        "had until 2026-03-04 03:30 UTC",
    }


def test_it_is_told_once_with_reminders_and_one_recovery(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-06 12:00")
    assert there.told() == ["backup_late", "backup_late again", "backup_late again", "backup_late again"]
    times = [event.payload["Since"] for event in there.store.outbox.events("backup_late")]
    assert set(times) == {"2026-03-03T03:30:00Z"}
    there.failing.clear()
    there.live("2026-03-12 12:00")
    assert there.told()[4:] == ["backup_recovered"]
    payload = last(there)
    assert (payload["Incident"], payload["LastSuccess"]) == ("backup_late", "2026-03-07T02:30:00Z")
    assert payload["Reason"] == "App is in order again: the newest good backup was begun at 2026-03-07 02:30 UTC"
    (incident,) = all_incidents(there)
    assert incident.closed_at == at("2026-03-07 02:30")


def all_incidents(world: World) -> list[Any]:
    """Closed ones too."""
    from sqlmodel import Session, select

    from backupman.records import Incident

    with Session(world.store._engine) as session:
        return list(session.exec(select(Incident)))


def test_how_often_it_is_reminded_of_can_be_set(world: Make) -> None:
    there = world("2026-03-02 12:00", more={"deadlines": {"remind_every": "3d", "grace": "2h"}}, **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-10 12:00")
    assert there.told() == ["backup_late", "backup_late again", "backup_late again"]
    assert last(there)["Since"] == "2026-03-03T04:30:00Z"


def test_a_source_that_never_succeeded_counts_from_when_it_was_first_seen(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-03 03:30")
    assert there.told() == ["backup_late"]
    assert last(there)["LastSuccess"] is None
    assert last(there)["Reason"].startswith(
        "App has never had a good backup; it is expected since 2026-03-02 12:00 UTC"
    )


def test_a_source_that_is_new_in_an_old_job_is_not_late_at_once(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.start()
    there.live("2026-03-20 12:00")
    there.failing.add("New")
    more = {"provider": "command", "label": "New", "argv": ["true"]}
    there.reload(data_sources=[*there.settings["data_sources"], more])
    there.live("2026-03-21 03:29")
    assert there.told() == []
    there.live("2026-03-21 03:30")
    assert (there.told(), last(there)["Source"]) == (["backup_late"], "New")


def test_a_new_database_of_an_old_source_is_not_late_at_once(world: Make) -> None:
    there = world("2026-03-02 12:00", "Main", **NIGHTLY)
    there.databases["Main"] = ["shop"]
    there.start()
    there.live("2026-03-20 12:00")
    there.databases["Main"] = ["shop", "blog"]
    there.failing.add("blog")
    there.live("2026-03-22 03:29")
    assert there.told() == []
    there.live("2026-03-22 03:30")
    assert there.told() == ["backup_late"]
    assert (last(there)["Label"], last(there)["Database"]) == ("Main/blog", "blog")


def test_many_databases_at_once_are_one_event(world: Make) -> None:
    there = world("2026-03-02 12:00", "Main", **NIGHTLY)
    names = there.databases["Main"] = [f"db{number:02}" for number in range(15)]
    there.start()
    there.live("2026-03-03 12:00")
    there.failing.add("Main")
    there.live("2026-03-04 12:00")
    assert there.told() == ["backup_late"]
    payload = last(there)
    assert (payload["Label"], payload["Database"], payload["Databases"]) == ("Main", None, names)
    assert "Main (db00, db01, db02, db03, db04, db05, db06, db07, db08 and 6 more) has had no" in payload["Reason"]
    assert len(open_kinds(there)) == 15
    there.failing.clear()
    there.failing.add("db07")
    there.live("2026-03-05 02:31")
    assert there.told() == ["backup_late"]
    assert open_kinds(there) == [("backup_late", "db07")]
    there.live("2026-03-05 12:00")
    assert there.told() == ["backup_late", "backup_late again"]
    assert last(there)["Databases"] == ["db07"]
    there.failing.clear()
    there.live("2026-03-06 12:00")
    assert there.told()[2:] == ["backup_recovered"]


def test_a_source_whose_databases_cannot_even_be_listed_is_late_as_a_whole(world: Make) -> None:
    there = world("2026-03-02 12:00", "Main", **NIGHTLY)
    there.databases["Main"] = [""]  # what is recorded when listing fails
    there.failing.add("Main")
    there.start()
    there.live("2026-03-03 12:00")
    assert (there.told(), open_kinds(there)) == (["backup_late"], [("backup_late", "")])
    assert (last(there)["Database"], last(there)["Databases"]) == (None, [])
    there.databases["Main"] = ["a", "b"]
    there.failing = {"b"}
    there.live("2026-03-04 02:31")
    assert there.told() == ["backup_late"]
    there.failing.clear()
    there.live("2026-03-05 02:31")
    assert there.told()[-1] == "backup_recovered"
    assert open_kinds(there) == []


def test_a_database_that_is_not_there_any_more_is_not_watched(world: Make) -> None:
    there = world("2026-03-02 12:00", "Main", **NIGHTLY)
    there.databases["Main"] = ["shop", "scratch"]
    there.failing.add("scratch")
    there.start()
    there.live("2026-03-04 12:00")
    assert (there.told(), open_kinds(there)) == (["backup_late"], [("backup_late", "scratch")])
    there.databases["Main"] = ["shop"]
    there.live("2026-03-20 12:00")
    assert (there.told(), open_kinds(there)) == (["backup_late"], [])


def test_a_retry_of_one_database_does_not_hide_the_others(world: Make) -> None:
    there = world("2026-03-02 12:00", "Main", **NIGHTLY)
    there.databases["Main"] = ["shop", "blog"]
    there.start()
    there.live("2026-03-03 12:00")
    there.failing |= {"shop", "blog"}
    there.live("2026-03-04 03:00")
    there.make("nightly", "Main", "blog", trigger="retry")
    there.live("2026-03-04 12:00")
    assert (there.told(), last(there)["Databases"]) == (["backup_late"], ["shop"])


def test_a_backup_by_hand_counts(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-03 03:00")
    there.make("nightly", "App")
    there.live("2026-03-04 03:29")
    assert there.told() == []


def test_a_backup_by_another_job_does_not_count(world: Make) -> None:
    there = world("2026-03-02 12:00", **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-03 03:00")
    there.make("another", "App")
    there.live("2026-03-03 04:00")
    assert there.told() == ["backup_late"]


def test_a_job_with_a_max_age_needs_no_schedule(world: Make) -> None:
    there = world("2026-03-02 12:00", max_age="26h")
    there.start()
    there.live("2026-03-03 13:59")
    assert there.told() == []
    there.live("2026-03-03 14:00")
    assert there.told() == ["backup_late"]
    assert (last(there)["MaxAge"], last(there)["DueAt"]) == (93600.0, "2026-03-03T14:00:00Z")
    assert last(there)["Reason"].endswith("; its age may be 26h")
    there.make("nightly", "App")
    there.live("2026-03-04 15:59")
    assert there.told() == ["backup_late", "backup_recovered"]
    there.live("2026-03-04 16:00")
    assert there.told()[2:] == ["backup_late"]


def test_a_max_age_stands_for_the_schedule(world: Make) -> None:
    there = world("2026-03-02 12:00", max_age="3d", **NIGHTLY)
    there.start()
    there.live("2026-03-03 12:00")
    there.failing.add("App")
    there.live("2026-03-06 02:29")
    assert there.told() == []
    there.live("2026-03-06 02:30")
    assert there.told() == ["backup_late"]


def test_a_job_without_schedule_and_max_age_is_never_late(world: Make) -> None:
    there = world("2026-03-02 12:00")
    there.start()
    there.live("2026-05-02 12:00", timedelta(days=1))
    assert there.told() == []


def test_jitter_is_part_of_the_deadline(world: Make) -> None:
    there = world("2026-03-02 12:00", jitter="40m", **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-03 04:09")
    assert there.told() == []
    there.live("2026-03-03 04:10")
    assert there.told() == ["backup_late"]


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


SIZED = {"deadlines": {"size_window": 10, "size_drop": 0.5, "size_growth": 3}}


def sized(world: World, *sizes: int) -> None:
    """Good backups of these sizes, one a day."""
    for size in sizes:
        world.sizes["app"] = size
        world.clock.forward(days=1)
        world.make("nightly", "App")
        world.deadlines.check()


def test_a_size_far_from_the_median_is_told_once_and_when_it_is_over(world: Make) -> None:
    there = world("2026-03-02 12:00", more=SIZED)
    there.start()
    sized(there, 1000, 1100, 900, 1000, 1000, 501)
    assert there.told() == []
    sized(there, 499)
    ((kind, payload),) = there.alarms()
    assert (kind, payload["Size"], payload["UsualSize"], payload["Database"]) == ("size_anomaly", 499, 1000, "app")
    assert payload["Reason"] == ("odd size of a dump: App has 499 bytes, the median of the 6 before it is 1000 bytes")
    sized(there, 1000)
    assert there.told() == ["size_anomaly", "backup_recovered"]
    assert last(there)["Reason"] == "App: the size is as usual again"
    sized(there, 3000)
    assert len(there.told()) == 2
    sized(there, 3001)
    assert there.told()[2:] == ["size_anomaly"]


def test_the_first_few_sizes_are_never_odd(world: Make) -> None:
    there = world("2026-03-02 12:00", more=SIZED)
    there.start()
    sized(there, 10, 100_000, 1, 10**9, 5)
    assert there.told() == []


def test_a_lasting_change_of_size_becomes_the_usual_one(world: Make) -> None:
    there = world("2026-03-02 12:00", more=SIZED)
    there.start()
    sized(there, *[1000] * 10, *[10] * 20)
    kinds = there.told()
    assert kinds[0] == "size_anomaly"
    assert kinds[-1] == "backup_recovered"
    assert set(kinds[1:-1]) == {"size_anomaly again"}
    assert len(kinds) < 9


def test_failed_backups_have_no_size_to_compare(world: Make) -> None:
    there = world("2026-03-02 12:00", more=SIZED)
    there.start()
    sized(there, *[1000] * 6)
    there.sizes["app"] = 1
    there.make("nightly", "App", failed=True)
    there.deadlines.check()
    assert there.told() == []


def test_the_odd_sizes_of_many_databases_are_one_event(world: Make) -> None:
    there = world("2026-03-02 12:00", "Main", more=SIZED, **NIGHTLY)
    names = there.databases["Main"] = [f"db{number:02}" for number in range(13)]
    there.start()
    there.live("2026-03-10 12:00")
    there.sizes |= dict.fromkeys(names, 1)
    there.live("2026-03-11 02:31")
    assert there.told() == ["size_anomaly"]
    assert (last(there)["Databases"], last(there)["Size"]) == (names, None)
    assert last(there)["Reason"].endswith("; and 3 more")


INGESTED = {"ingest": {"jobs": [{"device": "web-1", "job": "Nightly rsync", "sender": "rsync", "max_age": "26h"}]}}


def reported(world: World, *, failed: bool = False, **fields: Any) -> None:
    """What a script on another machine tells of its backup."""
    known: dict[str, Any] = {"kind": Kind.INGESTED, "sender": "rsync", "device": "web-1", "database": "Nightly rsync"}
    known |= {"job": "Nightly rsync", "source": "web-1", "drive_files": []} | fields
    backup = world.record(**known)
    world.settle(backup, failed=True)
    if not failed:
        world.store.backups.change(backup.id, status="finished")


def test_an_ingested_job_is_late_and_recovers_like_one_of_ours(world: Make) -> None:
    there = world("2026-03-02 12:00", more=INGESTED)
    there.start()
    there.live("2026-03-03 13:59")
    assert there.told() == []
    there.live("2026-03-03 14:00")
    assert there.told() == ["backup_late"]
    payload = last(there)
    assert (payload["Label"], payload["Job"], payload["Source"], payload["Sender"], payload["Database"]) == (
        "Nightly rsync on web-1",
        "Nightly rsync",
        "web-1",
        "rsync",
        None,
    )
    assert payload["Reason"].startswith("Nightly rsync on web-1 has never had a good backup")
    reported(there, failed=True)
    reported(there, sender="somebody else")
    reported(there, source="web-2", device="web-2")
    there.live("2026-03-03 15:00")
    assert there.told() == ["backup_late"]
    reported(there)
    there.live("2026-03-04 16:59")
    assert there.told() == ["backup_late", "backup_recovered"]
    there.live("2026-03-04 17:00")
    assert there.told()[2:] == ["backup_late"]
    assert {d.endpoint for d in there.store.outbox.deliveries()} == {"mail/ops@example.com"}


def test_a_restart_does_not_begin_the_time_of_a_silent_script_anew(world: Make) -> None:
    there = world("2026-03-02 12:00", more=INGESTED)
    there.start()
    for day in ("02", "03"):
        for hour in (13, 23):
            there.clock.set(f"2026-03-{day} {hour}:59")
            there.begin()
            there.start()
            there.deadlines.check()
    assert there.told() == ["backup_late"]


def test_what_is_in_order_costs_hardly_a_query(world: Make) -> None:
    there = world("2026-03-02 12:00", *(f"Source {number}" for number in range(100)), **NIGHTLY)
    there.start()
    there.live("2026-03-03 12:00")
    there.clock.forward(minutes=1)
    with statements(there.store) as seen:
        there.deadlines.check()
    assert len([statement for statement, _ in seen if statement.startswith("SELECT")]) == 2


def test_people_can_read_it(world: Make) -> None:
    """As a mail: what it is in the subject, the sentence, and nothing that is not known."""
    there = world("2026-03-02 12:00", more=SIZED, **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-03 12:00")
    there.failing.clear()
    there.live("2026-03-04 12:00")
    subjects = []
    for kind, payload in there.alarms():
        report = render(Message(new_id(), kind, now(), payload), None, "mail/ops")
        subjects.append(report.subject)
        assert " ".join(report.text.split()).startswith(f"{kind.upper().replace('_', ' ')}: App {payload['Reason']} ")
        assert report.text.count(payload["Reason"]) == 1
        assert "None" not in report.text + report.html
        assert "backup late" in report.subject or "backup recovered" in report.subject
    assert subjects == [f"[backupman] backup {word}: App ({INSTANCE})" for word in ("late", "recovered")]
