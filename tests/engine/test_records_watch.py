"""Records that cannot be written: told past them, once, again as long as it lasts, and its end by them."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import yaml

from backupman.config import load
from backupman.engine.readiness import Waits
from backupman.engine.records_watch import RecordsWatch, tell_of_start
from backupman.errors import StoreError
from backupman.store import Store
from tests.engine._virtual import Clock, settings
from tests.servers.receiver import Answer, Receiver
from tests.test_event_schemas import must_fit

BEGAN = "2026-03-02 09:00"
FULL = "the store records.db cannot be used: database or disk is full"


class Records:
    """A store that is real but for whether it can be written."""

    def __init__(self, store: Store) -> None:
        self.outbox = store.outbox
        self.place = store.place
        self.wrong: str | None = None
        self.answers = Event()
        self.answers.set()

    def check(self) -> None:
        """As the store's own, once it answers."""
        self.answers.wait()
        if self.wrong:
            raise StoreError(self.wrong)


class Watching:
    """A watch, and what it has told: past the records to a receiver, and by them."""

    def __init__(self, folder: Path, store: Store, receiver: Receiver) -> None:
        self.clock, self.waits, self.store, self.receiver = Clock(BEGAN), Waits(), store, receiver
        self.folder, self.records = folder, Records(store)
        kinds = ["records_failure", "records_recovered"]
        hooks = [
            {"name": "ops", "url": f"{receiver.url}/ops", "events": kinds},
            {"name": "night", "url": f"{receiver.url}/night", "events": kinds},
            {"name": "reports", "url": f"{receiver.url}/reports"},
        ]
        config: dict[str, Any] = settings(folder, "App") | {"notifiers": {"webhook": {"endpoints": hooks}}}
        config["deadlines"] = {"remind_every": "1h"}
        (folder / "config.yml").write_text(yaml.safe_dump(config))
        self.config = load(folder / "config.yml").config
        self.config.state_folder.mkdir(parents=True, exist_ok=True)
        self.begin()

    def begin(self) -> None:
        """A daemon leads, perhaps again."""
        self.watch = RecordsWatch(self.records, lambda: self.config, self.waits, self.clock)  # type: ignore[arg-type]

    def check(self, wrong: str | None = None, **later: float) -> list[tuple[str, dict[str, Any]]]:
        """What is told past the records when it looks so much later: to whom, and the payload."""
        before = len(self.receiver.requests)
        self.clock.forward(**later)
        try:
            self.watch.check()
        except StoreError as error:
            assert error.sentence == (wrong or self.records.wrong)
        else:
            assert not wrong
        told = []
        for request in self.receiver.requests[before:]:
            body = json.loads(request.body)
            assert body["Event"] == "records_failure"
            must_fit(body["Event"], body["Payload"])
            told.append((request.path, body["Payload"]))
        return sorted(told, key=lambda each: each[0])

    def recorded(self) -> list[tuple[str, dict[str, Any], list[str]]]:
        """The events on record, and to whom they are owed."""
        found = []
        for event in self.store.outbox.events(limit=None):
            must_fit(event.kind, event.payload)
            owed = [each.endpoint for each in self.store.outbox.deliveries() if each.event.id == event.id]
            found.append((event.kind, event.payload, sorted(owed)))
        return found


@pytest.fixture
def watching(tmp_path: Path, receiver: Receiver) -> Iterator[Watching]:
    with closing(Store.open(f"sqlite:///{tmp_path}/records.db")) as store:
        yield Watching(tmp_path, store, receiver)


def paths(told: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """To whom something was told."""
    return [path for path, _ in told]


def test_what_lasts_is_told_at_once_to_whom_wants_it_and_its_end_is_an_event(watching: Watching) -> None:
    assert watching.check() == []
    watching.records.wrong = FULL
    assert watching.check(minutes=1) == []
    assert watching.check(seconds=29) == []
    told = watching.check(seconds=1)
    assert paths(told) == ["/night", "/ops"]
    payload = told[0][1]
    assert payload["Label"] == payload["Instance"] == "host1"
    assert payload["Reason"] == (
        f"since 2026-03-02 09:01 UTC host1 on {payload['Host']} cannot use its records, so that it begins no backups "
        f"and tells nothing else: {FULL}"
    )
    assert (payload["Since"], payload["Until"], payload["Reminder"]) == ("2026-03-02T09:01:00Z", None, False)
    assert watching.check(minutes=30) == []
    assert watching.recorded() == []

    watching.records.wrong = None
    assert watching.check(minutes=10) == []
    [(kind, payload, owed)] = watching.recorded()
    assert (kind, owed) == ("records_recovered", ["webhook/night", "webhook/ops"])
    assert (payload["Since"], payload["Until"]) == ("2026-03-02T09:01:00Z", "2026-03-02T09:41:30Z")
    assert sorted(payload["Told"]) == owed
    assert payload["Incident"] == "records_failure"
    over = "can use its records again since 2026-03-02 09:41 UTC; it could not since 2026-03-02 09:01 UTC"
    assert over in payload["Reason"]
    assert watching.check(minutes=1) == []
    assert len(watching.recorded()) == 1


def test_what_is_over_in_time_is_not_told(watching: Watching) -> None:
    for _ in range(3):
        watching.records.wrong = FULL
        assert watching.check(seconds=10) == []
        assert watching.check(seconds=20) == []
        watching.records.wrong = None
        assert watching.check(seconds=10) == []
    assert watching.recorded() == []


def test_records_that_do_not_answer_are_told_of_too(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backupman.engine.records_watch._ANSWERED_WITHIN", 0.01)
    watching.records.answers.clear()
    silent = f"the store {watching.store.place} does not answer: see whether its server hangs, or the way to it"
    assert watching.check(seconds=10, wrong=silent) == []
    told = watching.check(seconds=30, wrong=silent)
    assert paths(told) == ["/night", "/ops"]
    assert told[0][1]["Reason"].endswith(silent)
    assert sum(thread.name == "asking the records" for thread in threading.enumerate()) == 1, "one waits, not each look"

    monkeypatch.undo()
    watching.records.answers.set()
    assert watching.check(seconds=10) == []
    assert [kind for kind, _, _ in watching.recorded()] == ["records_recovered"]


def test_it_is_told_again_as_long_as_it_lasts(watching: Watching) -> None:
    watching.records.wrong = FULL
    watching.check()
    assert paths(watching.check(minutes=1)) == ["/night", "/ops"]
    assert watching.check(minutes=59) == []
    again = watching.check(minutes=1)
    assert paths(again) == ["/night", "/ops"]
    assert [payload["Reminder"] for _, payload in again] == [True, True]
    assert again[0][1]["Since"] == "2026-03-02T09:00:00Z"


def test_who_does_not_take_it_is_tried_again_and_nobody_else(watching: Watching) -> None:
    watching.receiver.at["/night"] = Answer(503)
    watching.records.wrong = FULL
    watching.check()
    assert paths(watching.check(minutes=1)) == ["/night", "/ops"]
    assert watching.check(seconds=3) == []
    assert paths(watching.check(seconds=7)) == ["/night"]
    del watching.receiver.at["/night"]
    assert paths(watching.check(minutes=1)) == ["/night"]
    assert watching.check(minutes=1) == []
    ids = {request.headers["webhook-id"] for request in watching.receiver.requests if request.path == "/night"}
    assert len(ids) == 1


def test_whom_nothing_reached_is_told_of_it_by_its_end(watching: Watching) -> None:
    watching.receiver.usual = Answer(503)
    watching.records.wrong = FULL
    watching.check()
    watching.check(minutes=1)
    watching.records.wrong = None
    watching.check(minutes=1)
    [(_, payload, owed)] = watching.recorded()
    assert (payload["Told"], owed) == ([], ["webhook/night", "webhook/ops"])
    assert payload["Reason"].endswith("nobody had been told, as far as is known")


def test_a_restart_repeats_nothing_and_forgets_no_end(watching: Watching) -> None:
    watching.records.wrong = FULL
    watching.check()
    assert watching.check(minutes=1)
    watching.begin()
    assert watching.check(minutes=2) == []
    assert [payload["Reminder"] for _, payload in watching.check(minutes=59)] == [True, True]
    watching.records.wrong = None
    watching.begin()
    watching.check(minutes=1)
    [(kind, payload, _)] = watching.recorded()
    assert (kind, payload["Since"]) == ("records_recovered", "2026-03-02T09:00:00Z")
    watching.begin()
    watching.check(minutes=1)
    assert len(watching.recorded()) == 1


def test_daemons_that_cannot_begin_are_told_of_once_that_lasts(watching: Watching) -> None:
    def start(**later: float) -> list[str]:
        before = len(watching.receiver.requests)
        watching.clock.forward(**later)
        tell_of_start(watching.config, FULL, watching.clock())
        return sorted(request.path for request in watching.receiver.requests[before:])

    assert start() == []
    assert start(seconds=29) == []
    watching.receiver.usual = Answer(503)
    assert start(seconds=1) == ["/night", "/ops"]
    watching.receiver.usual = Answer()
    assert start(seconds=10) == ["/night", "/ops"], "nobody had taken it"
    payload = json.loads(watching.receiver.requests[-1].body)["Payload"]
    must_fit("records_failure", payload)
    assert payload["Since"] == "2026-03-02T09:00:00Z"
    assert FULL in payload["Reason"]
    assert start(seconds=10) == []
    watching.begin()
    assert watching.check(minutes=1) == []
    [(kind, payload, _)] = watching.recorded()
    assert (kind, payload["Since"]) == ("records_recovered", "2026-03-02T09:00:00Z")
    assert start(minutes=1) == [], "that was over"


def test_a_start_that_failed_once_is_no_news(watching: Watching) -> None:
    tell_of_start(watching.config, FULL, watching.clock())
    watching.begin()
    watching.check(minutes=1)
    assert watching.recorded() == []
    tell_of_start(watching.config, FULL, watching.clock())
    assert watching.receiver.requests == []


def test_work_that_waits_for_the_records_is_told_later(watching: Watching) -> None:
    """It is tried again only after 30 seconds, and may have met one bad moment."""
    with pytest.raises(StoreError), watching.waits.of("history"):
        raise StoreError("the store is damaged")
    with pytest.raises(StoreError), watching.waits.of("records"):
        raise StoreError("what was here before")
    watching.check()
    assert watching.check(seconds=89) == []
    told = watching.check(seconds=1)
    assert paths(told) == ["/night", "/ops"]
    assert told[0][1]["Reason"].endswith("so that it cannot do all of its work: the store is damaged")
    watching.waits.over("history")
    watching.check(seconds=10)
    assert [kind for kind, _, _ in watching.recorded()] == ["records_recovered"]


def test_a_clock_that_is_set_back_holds_nothing_up(watching: Watching) -> None:
    watching.records.wrong = FULL
    watching.check()
    assert watching.check(minutes=1)
    watching.clock.set("2026-03-01 09:00")
    assert watching.check() == []
    assert paths(watching.check(minutes=1)) == ["/night", "/ops"]


def test_a_folder_that_takes_no_mark_keeps_nobody_from_being_told(watching: Watching) -> None:
    (watching.config.state_folder / "records-failure").mkdir()  # which no file can take the place of
    watching.records.wrong = FULL
    watching.begin()
    watching.clock.forward(days=3000)
    assert watching.check(minutes=1) or watching.check(minutes=1)
    watching.records.wrong = None
    watching.check(minutes=1)
    assert [kind for kind, _, _ in watching.recorded()] == ["records_recovered"]
