"""Deadlines by a clock that tests move: when a backup is late, told once, reminded of, and over once."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from backupman.engine.review import Review
from backupman.errors import StoreError
from backupman.store.jobs import Changes
from tests.engine._virtual import INSTANCE, NIGHTLY, World, all_incidents, at, last, open_kinds
from tests.store.conftest import statements

Make = Callable[..., World]


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
    assert (there.told(), open_kinds(there)) == (["backup_late", "backup_recovered"], [])
    assert last(there)["Reason"] == "Main: the newest run did not find scratch any more"


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


def test_what_is_in_order_costs_hardly_a_query(world: Make) -> None:
    there = world("2026-03-02 12:00", *(f"Source {number}" for number in range(100)), **NIGHTLY)
    there.start()
    there.live("2026-03-03 12:00")
    there.clock.forward(minutes=1)
    with statements(there.store) as seen:
        there.deadlines.check()
    assert len([statement for statement, _ in seen if statement.startswith("SELECT")]) == 2


def test_a_fault_of_ours_in_one_keeps_no_other_from_its_turn(
    world: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(review: Review) -> Changes:
        if review._promise.label == "App":
            raise ValueError("a fault of ours")
        return look(review)

    there = world("2026-03-02 12:00", "App", "Other", **NIGHTLY)
    there.failing |= {"App", "Other"}
    there.start()
    look = Review.look
    monkeypatch.setattr(Review, "look", broken)
    there.live("2026-03-03 03:30")
    assert [payload["Source"] for _, payload in there.alarms()] == ["Other"]
    assert "App: whether its backups are late cannot be said" in caplog.text
    monkeypatch.undo()
    there.live("2026-03-03 03:31")
    assert sorted(payload["Source"] for _, payload in there.alarms()) == ["App", "Other"]


def test_what_was_not_looked_at_is_looked_at_again(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> Changes:
        raise StoreError("the records are away")

    there = world("2026-03-02 12:00", **NIGHTLY)
    there.start()
    there.live("2026-03-20 12:00")
    there.sizes["app"] = 1
    monkeypatch.setattr(Review, "look", away)
    with pytest.raises(StoreError):
        there.live("2026-03-21 03:00")
    monkeypatch.undo()
    assert there.told() == []
    there.live("2026-03-21 03:00")
    assert there.told() == ["size_anomaly"]
