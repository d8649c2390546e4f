"""Schedules, runs and incidents on every database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from sqlmodel import Session, select

from backupman.events import EventKind
from backupman.records import (
    DeliveryState,
    Event,
    Incident,
    Schedule,
)
from backupman.store import Store
from backupman.store.jobs import Alarm, Changes, Key
from backupman.store.standing import Of
from tests.store.conftest import START, statements

US, THEM = "host1", "host2"
DAY = timedelta(days=1)
OURS = Of(US, "nightly", "shop")


def incident(**fields: Any) -> Incident:
    """A late backup since START."""
    known: dict[str, Any] = {"kind": "backup_late", "job": "nightly", "source": "shop", "database": "shop"}
    known |= {"instance": US, "due_at": START, "opened_at": START, "reminded_at": START}
    return Incident(**(known | fields))


def alarm(*endpoints: str) -> Alarm:
    """Told to these."""
    event = Event(kind=EventKind.BACKUP_LATE, instance=US, job="nightly", payload={"Label": "shop"})
    return Alarm(event, endpoints)


def everything(store: Store, model: Any) -> list[Any]:
    """Every record of a table."""
    with Session(store._engine) as session:
        return list(session.exec(select(model)))


def test_a_job_has_its_schedule_since_it_was_first_seen(store: Store) -> None:
    seen = store.jobs.seen_jobs(US, {"nightly": "0 3 * * *", "hourly": "0 * * * *"}, START)
    assert seen == {"nightly": START, "hourly": START}
    later = START + DAY
    assert store.jobs.seen_jobs(US, {"nightly": "0 3 * * *", "hourly": "5 * * * *"}, later) == {
        "nightly": START,
        "hourly": later,
    }
    assert store.jobs.since(US) == {"nightly": START, "hourly": later}


def test_a_job_that_was_away_is_new_when_it_comes_back(store: Store) -> None:
    store.jobs.seen_jobs(US, {"nightly": "0 3 * * *"}, START)
    assert store.jobs.seen_jobs(US, {}, START + DAY) == {}
    assert store.jobs.seen_jobs(US, {"nightly": "0 3 * * *"}, START + 2 * DAY) == {"nightly": START + 2 * DAY}
    assert len(everything(store, Schedule)) == 1


def test_a_schedule_that_was_seen_in_the_future_is_seen_now(store: Store) -> None:
    store.jobs.seen_jobs(US, {"nightly": "0 3 * * *"}, START + 1000 * DAY)
    assert store.jobs.seen_jobs(US, {"nightly": "0 3 * * *"}, START) == {"nightly": START}


def test_jobs_sources_and_installations_are_kept_apart(store: Store) -> None:
    long = "x" * 250
    shop, big = Key("nightly", "shop"), Key("nightly", long, long)
    store.jobs.seen_jobs(US, {"nightly": "0 3 * * *"}, START)
    assert store.jobs.seen_sources(US, {shop: "0 3 * * *", big: ""}, START + DAY) == dict.fromkeys(
        (shop, big), START + DAY
    )
    assert store.jobs.seen_jobs(THEM, {"nightly": "*/5 * * * *", "Nightly": ""}, START + 2 * DAY).keys() == {
        "nightly",
        "Nightly",
    }
    assert store.jobs.since(US) == {"nightly": START}
    assert store.jobs.seen_jobs(US, {"nightly": "0 3 * * *"}, START + 3 * DAY) == {"nightly": START}
    assert store.jobs.seen_sources(US, {shop: "0 3 * * *"}, START + 3 * DAY) == {shop: START + DAY}


def test_a_due_time_is_run_once(store: Store) -> None:
    assert store.jobs.open_run(US, "nightly", START, START) is not None
    assert store.jobs.open_run(US, "nightly", START, START) is None
    assert not store.jobs.skip(US, "nightly", START, "busy")
    assert not store.jobs.miss(US, "nightly", START, "late", Changes(opened=[incident()]), START)
    assert store.jobs.open_incidents() == []
    assert store.jobs.open_run(US, "hourly", START, START) is not None
    assert store.jobs.open_run(THEM, "nightly", START, START) is not None
    assert store.jobs.open_run(US, "nightly", START + timedelta(microseconds=1), START) is not None
    assert [run.state for run in store.jobs.runs(US, "nightly")] == ["running", "running"]


def test_of_many_threads_one_gets_a_due_time(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: store.jobs.open_run(US, "nightly", START, START), range(16)))
    assert len([run_id for run_id in got if run_id is not None]) == 1


def test_a_run_ends_or_is_interrupted_and_taken_over_once(store: Store) -> None:
    run_id = store.jobs.open_run(US, "nightly", START, START, "still being backed up since before: big")
    assert run_id is not None
    assert not store.jobs.open_again(run_id)
    store.jobs.end_run(run_id, START + DAY, "shop: the store cannot be used")
    (run,) = store.jobs.runs(US, "nightly")
    assert (run.state, run.reason, run.started_at, run.ended_at) == (
        "interrupted",
        "shop: the store cannot be used",
        START,
        START + DAY,
    )
    assert [store.jobs.open_again(run_id), store.jobs.open_again(run_id)] == [True, False]
    store.jobs.end_run(run_id, START + 2 * DAY)
    assert [run.state for run in store.jobs.runs(US, "nightly")] == ["done"]


def test_a_crash_interrupts_the_runs_of_its_own_installation(store: Store) -> None:
    for instance in (US, THEM):
        store.jobs.open_run(instance, "nightly", START, START)
    store.jobs.skip(US, "nightly", START + DAY, "busy")
    store.jobs.end_dead_runs(US)
    assert [run.state for run in store.jobs.runs(US, "nightly")] == ["skipped", "interrupted"]
    assert [run.state for run in store.jobs.runs(THEM, "nightly")] == ["running"]


def test_the_newest_run_and_the_newest_skipped_one_are_found(store: Store) -> None:
    assert store.jobs.last_run(US, "nightly", START) is None
    store.jobs.open_run(US, "nightly", START, START)
    store.jobs.skip(US, "nightly", START + DAY, "busy")
    store.jobs.open_run(US, "nightly", START + 2 * DAY, START)
    store.jobs.open_run(US, "hourly", START + 3 * DAY, START)
    last = store.jobs.last_run(US, "nightly", START + 9 * DAY)
    assert (last and last.due_at) == START + 2 * DAY
    last = store.jobs.last_run(US, "nightly", START + DAY)
    assert (last and last.state) == "skipped"
    assert store.jobs.skipped(US, "nightly", START, START + DAY) == START + DAY
    assert store.jobs.skipped(US, "nightly", START, START + DAY / 2) is None
    store.jobs.open_run(US, "nightly", START + 5 * DAY, START + 6 * DAY)
    assert store.jobs.first_start(US, "nightly", START) == START
    assert store.jobs.first_start(US, "nightly", START + 3 * DAY) == START + 6 * DAY
    assert store.jobs.first_start(US, "nightly", START + 6 * DAY) is None
    assert [run.due_at for run in store.jobs.runs(US, "nightly", limit=1)] == [START + 5 * DAY]


def test_incidents_are_opened_reminded_of_and_closed_with_what_is_told(store: Store) -> None:
    store.jobs.change_incidents(Changes(opened=[incident()], alarms=[alarm("ops", "boss")]), START)
    (late,) = store.jobs.open_incidents(US)
    store.jobs.change_incidents(Changes(reminded=[late], alarms=[alarm("ops")]), START + DAY)
    (late,) = store.jobs.open_incidents()
    assert (late.opened_at, late.reminded_at) == (START, START + DAY)
    store.jobs.change_incidents(Changes(closed=[late]), START + 2 * DAY)
    assert store.jobs.open_incidents() == []
    (closed,) = everything(store, Incident)
    assert closed.closed_at == START + 2 * DAY
    owed = store.outbox.deliveries(state=DeliveryState.OWED)
    assert sorted(delivery.endpoint for delivery in owed) == ["boss", "ops", "ops"]
    assert {(delivery.event.kind, delivery.lane) for delivery in owed} == {("backup_late", "nightly")}


def test_a_missed_run_its_incident_and_its_event_are_one(store: Store) -> None:
    changes = Changes(opened=[incident(kind="backup_missed")], alarms=[alarm("ops")])
    assert store.jobs.miss(US, "nightly", START, "nobody was there", changes, START)
    (run,) = store.jobs.runs(US, "nightly")
    assert (run.state, run.reason) == ("missed", "nobody was there")
    assert [found.kind for found in store.jobs.open_incidents(US)] == ["backup_missed"]
    assert store.jobs.open_incidents(THEM) == []
    assert len(store.outbox.deliveries()) == 1


def test_of_all_runs_only_the_one_that_is_asked_for_is_read(store: Store) -> None:
    with statements(store) as seen:
        store.jobs.last_run(US, "nightly", START)
        store.jobs.first_start(US, "nightly", START)
        store.jobs.skipped(US, "nightly", START, START + DAY)
    asked = [text for text, _ in seen if "FROM backupman_runs" in text]
    assert len(asked) == 3
    assert all(" LIMIT " in text for text in asked)
