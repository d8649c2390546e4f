"""Queues that nobody works off: told once, told again as long as it lasts, and told when it is over."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.config import load, plans
from backupman.engine.queues import QueueWatch
from backupman.queues import queue_of_home
from backupman.records import AssignmentKind, Incident
from backupman.store.jobs import Changes
from tests.engine._fleet import Fleet, fleet, shared_records
from tests.engine._virtual import Clock, World, at, settings
from tests.test_event_schemas import must_fit

__all__ = ["fleet", "shared_records"]

BEGAN = "2026-03-02 09:00"
HOOK = "http://127.0.0.1:9"


class Watching:
    """A watch over a fleet, and what it has told."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self.folder, self.fleet, self.clock = folder, fleet, Clock(BEGAN)
        self.settings: dict[str, Any] = settings(folder, "App") | fleet.sections
        self.settings["database"] = self.settings["database"] | {"takeover_after": "90s"}
        self.settings["deadlines"] = {"remind_every": "1h"}
        wanted = {"events": ["queue_unattended", "queue_recovered"]}
        hooks = [{"name": "all", "url": HOOK}, {"name": "queues", "url": HOOK} | wanted]
        self.settings["notifiers"] = {"webhook": {"endpoints": hooks}}
        self.settings["jobs"][0]["notifiers"] = ["all"]
        self.begin()

    def begin(self, **changed: Any) -> None:
        """A daemon leads (again), perhaps by another config."""
        self.settings |= changed
        file = self.folder / "config.yml"
        file.write_text(yaml.safe_dump(self.settings))
        config = load(file).config
        self.watch = QueueWatch(self.fleet.store, self.fleet.instance, self.clock)
        self.watch.watch(config, plans(config))

    def check(self, **later: float) -> list[tuple[str, dict[str, Any]]]:
        """What is told when it looks so much later; every payload fits its schema, and only who wants it is owed it."""
        before = len(self._events())
        self.clock.forward(**later)
        self.watch.check()
        told = self._events()[before:]
        for event in told:
            must_fit(event.kind, event.payload)
            assert [each.endpoint for each in self._deliveries(event.id)] == ["webhook/queues"]
        return [(event.kind, event.payload) for event in told]

    def open(self) -> list[Incident]:
        """The incidents that stand open."""
        return list(self.fleet.store.jobs.open_incidents(self.fleet.instance))

    def _events(self) -> list[Any]:
        events = self.fleet.store.outbox.events(limit=None)
        return [event for event in reversed(events) if event.instance == self.fleet.instance]

    def _deliveries(self, event_id: str) -> list[Any]:
        return [each for each in self.fleet.store.outbox.deliveries() if each.event.id == event_id]


@pytest.fixture
def watching(tmp_path: Path, fleet: Fleet) -> Watching:
    return Watching(tmp_path, fleet)


def test_work_that_waits_for_nobody_is_told_once_and_so_is_the_worker_that_comes(watching: Watching) -> None:
    watching.fleet.work("db7", at=at(BEGAN))
    watching.fleet.work("db7", "Other", at=at(BEGAN))
    assert watching.check(seconds=90) == []
    [(kind, payload)] = watching.check(seconds=1)
    assert kind == "queue_unattended"
    assert payload["Reason"] == (
        "2 assignments wait in the queue db7, and no living worker takes from it since 2026-03-02 09:00 UTC: start one "
        "with `backupman worker --queue db7`"
    )
    known = {key: payload[key] for key in ("Label", "Waiting", "UnattendedSince", "Since", "LastWorker", "Reminder")}
    assert known == {
        "Label": "db7",
        "Waiting": 2,
        "UnattendedSince": "2026-03-02T09:00:00Z",
        "Since": "2026-03-02T09:01:31Z",
        "LastWorker": None,
        "Reminder": False,
    }
    [incident] = watching.open()
    assert (incident.kind, incident.source, incident.job) == ("queue_unattended", "db7", "")
    assert watching.check(minutes=10) == []
    watching.begin()
    assert watching.check(minutes=10) == [], "a restart repeats nothing"
    watching.fleet.worker("db-7", "db7", heard_at=watching.clock())
    [(kind, payload)] = watching.check(minutes=1)
    assert (kind, payload["Reason"]) == ("queue_recovered", "a worker takes from the queue db7 again, on db-7")
    assert (payload["Waiting"], payload["Workers"], payload["Since"]) == (2, ["db-7"], "2026-03-02T09:01:31Z")
    assert watching.open() == []
    assert watching.check(days=1) == []


def test_it_is_told_again_as_long_as_it_lasts(watching: Watching) -> None:
    watching.fleet.work("any", at=at(BEGAN))
    [(_, payload)] = watching.check(minutes=2)
    assert payload["Reason"].endswith(": start one with `backupman worker`")
    told = [watching.check(minutes=20) for _ in range(7)]
    assert [len(each) for each in told] == [0, 0, 1, 0, 0, 1, 0]
    [(kind, payload)] = told[2]
    assert (kind, payload["Reminder"], payload["Since"]) == ("queue_unattended", True, "2026-03-02T09:02:00Z")


@pytest.mark.parametrize("how", ["taken", "ended"])
def test_a_queue_in_which_nothing_waits_any_more_is_in_order(watching: Watching, how: str) -> None:
    waiting = watching.fleet.work("db7", at=at(BEGAN))
    assert [kind for kind, _ in watching.check(minutes=2)] == ["queue_unattended"]
    if how == "ended":
        watching.fleet.store.assignments.end(waiting.id, watching.clock(), holder=None, error="too late")
    else:
        worker = watching.fleet.worker("db-7", "db7")
        watching.fleet.take(waiting, worker)
        watching.fleet.lose(worker)
    [(kind, payload)] = watching.check(minutes=1)
    assert (kind, payload["Reason"]) == ("queue_recovered", "nothing waits in the queue db7 any more")
    assert watching.open() == []


def test_a_worker_that_is_gone_is_named_and_is_missed_from_when_it_was_heard_of(watching: Watching) -> None:
    worker = watching.fleet.worker("db-7", "db7", takes_any=True, heard_at=at("2026-03-02 12:00"))
    watching.fleet.work("db7", at=at(BEGAN))
    watching.fleet.work("any", at=at(BEGAN))
    assert watching.check(hours=3) == []
    watching.fleet.lose(worker)
    assert watching.check(seconds=90) == [], "it may be started anew"
    told = watching.check(seconds=1)
    assert [payload["Queue"] for _, payload in told] == ["any", "db7"]
    _, payload = told[1]
    assert (payload["LastWorker"], payload["LastHeard"]) == ("db-7", "2026-03-02T12:00:00Z")
    assert (
        "since 2026-03-02 12:00 UTC; the last that did, on db-7, was heard of at 2026-03-02 12:00" in payload["Reason"]
    )
    watching.fleet.worker("db-7", "db7", heard_at=watching.clock())
    assert [(kind, payload["Queue"]) for kind, payload in watching.check(minutes=1)] == [("queue_recovered", "db7")]
    assert [incident.source for incident in watching.open()] == ["any"]


def test_what_only_one_worker_can_do_waits_for_that_one(watching: Watching) -> None:
    worker = watching.fleet.worker("db-7", "db7", heard_at=at(BEGAN))
    watching.fleet.lose(worker)
    waiting = watching.fleet.work(queue_of_home(worker.home), at=at(BEGAN), kind=AssignmentKind.RETRY)
    [(_, payload)] = watching.check(minutes=2)
    assert (payload["Label"], payload["Queue"]) == ("@db-7", queue_of_home(worker.home))
    assert payload["Reason"].endswith("09:00 UTC: only the worker on db-7 can: start it again")
    assert watching.check(minutes=2) == []
    watching.fleet.store.assignments.end(waiting.id, watching.clock(), holder=None)
    [(_, payload)] = watching.check(minutes=2)
    assert payload["Reason"] == "nothing waits in the queue @db-7 any more"
    again = watching.fleet.worker("db-7", "db7", heard_at=watching.clock())
    watching.fleet.work(queue_of_home(again.home), at=at(BEGAN))
    assert watching.check(minutes=2) == []


def test_workers_of_which_nothing_was_heard_for_a_week_are_forgotten(watching: Watching) -> None:
    watching.fleet.lose(watching.fleet.worker("db-7", heard_at=at(BEGAN)))
    for days, known in ((6, 1), (2, 0)):
        watching.check(days=days)
        assert len(watching.fleet.store.workers.all(watching.fleet.instance)) == known


def test_the_queues_of_others_are_theirs(watching: Watching) -> None:
    other = Fleet(watching.fleet.address, watching.fleet.store, f"not {watching.fleet.instance}")
    other.work("db7", at=at(BEGAN))
    other.worker("db-9", "db9")
    watching.fleet.work("db9", at=at(BEGAN))
    assert [payload["Queue"] for _, payload in watching.check(minutes=2)] == ["db9"]


def test_where_there_are_no_workers_any_more_there_is_no_incident(watching: Watching) -> None:
    watching.fleet.work("db7", at=at(BEGAN))
    assert len(watching.check(minutes=2)) == 1
    watching.begin(executor="embedded")
    assert watching.check(minutes=1) == []
    assert watching.open() == []


def test_what_is_open_of_a_queue_is_no_business_of_deadlines(tmp_path: Path) -> None:
    from backupman.store import Store

    store = Store.open("sqlite://")
    world = World(tmp_path, store, Clock(BEGAN), settings(tmp_path, "db7"))
    began = at(BEGAN)
    opened = Incident(
        instance="host1", kind="queue_unattended", job="", source="db7", database="",
        due_at=began, opened_at=began, reminded_at=began,
    )  # fmt: skip
    store.jobs.change_incidents(Changes(opened=[opened]), began)
    world.clock.forward(days=3)
    world.deadlines.check()
    assert [incident.kind for incident in store.jobs.open_incidents()] == ["queue_unattended"]
    assert world.alarms() == []
    store.close()
