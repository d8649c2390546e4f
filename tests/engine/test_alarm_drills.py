"""Alarm drills: each channel is tried when it is due, by the real way, and one that is not reached is told of, once."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.app import endpoints
from backupman.config import load
from backupman.config.model import Deliveries
from backupman.engine.alarm_drills import AlarmDrills, Outcome, begin, drilled, results
from backupman.engine.dispatcher import Dispatcher
from backupman.store import Store
from tests.engine._virtual import INSTANCE, Clock, settings
from tests.servers.receiver import Answer, Receiver

WEEKLY = {"cron": "0 9 * * 1", "timezone": "UTC"}
BEFORE, DUE, AFTER = "2026-03-02 08:59", "2026-03-02 09:00", "2026-03-02 09:16"
KEY = "a177cad45bd374409f78906a810a3074"


class Drilling:
    """A store, a clock, and whoever is told by one receiver."""

    def __init__(self, folder: Path, receiver: Receiver, store: Store) -> None:
        self.folder, self.receiver, self.store = folder, receiver, store
        self.clock = Clock(BEFORE)
        self.settings = settings(folder, "App") | {"alarm_drill": WEEKLY}
        self.settings["deliveries"] = {"first_wait": "10ms", "max_wait": "10ms"}
        self.notifiers: dict[str, Any] = {"webhook": {"endpoints": [self.hook("A"), self.hook("B")]}}
        self.begin()

    def hook(self, name: str) -> dict[str, str]:
        """An endpoint."""
        return {"name": name, "url": f"{self.receiver.url}/{name}"}

    def begin(self, **changed: Any) -> None:
        """A daemon is there (again), perhaps with another config."""
        file = self.folder / "config.yml"
        file.write_text(yaml.safe_dump(self.settings | {"notifiers": self.notifiers} | changed))
        self.config = load(file).config
        self.drills = AlarmDrills(self.store, INSTANCE, self.clock)
        self.drills.watch(self.config)

    def check(self, time: str | None = None) -> None:
        """The daemon looks, and sends what is owed once."""
        if time:
            self.clock.set(time)
        self.drills.check()
        self.send()

    def send(self) -> None:
        """One attempt at everything that is owed."""
        dispatcher = Dispatcher(Deliveries(), endpoints(self.config), self.store, INSTANCE)

        async def once() -> None:
            while await dispatcher.deliver_due() or dispatcher._under_way:
                pass

        asyncio.run(once())

    def outcomes(self) -> dict[str, Outcome]:
        """What came of the last drill."""
        return {
            each.endpoint: each.outcome for each in results(self.config, self.store, self.clock(), drilled(self.config))
        }

    def got(self, path: str) -> list[str]:
        """The kinds of events that came there."""
        return [json.loads(each.body)["Event"] for each in self.receiver.requests if each.path == path]


@pytest.fixture
def drilling(tmp_path: Path, receiver: Receiver) -> Iterator[Drilling]:
    store = Store.open("sqlite://")
    yield Drilling(tmp_path, receiver, store)
    store.close()


def test_everybody_is_tried_when_it_is_due_and_only_then(drilling: Drilling) -> None:
    drilling.check()
    assert drilling.receiver.requests == []
    assert drilling.outcomes() == {"webhook/A": Outcome.NEVER, "webhook/B": Outcome.NEVER}
    drilling.check(DUE)
    drilling.check(AFTER)
    assert (drilling.got("/A"), drilling.got("/B")) == (["alarm_drill"], ["alarm_drill"])
    assert drilling.outcomes() == {"webhook/A": Outcome.PROVEN, "webhook/B": Outcome.PROVEN}
    payload = json.loads(drilling.receiver.requests[0].body)["Payload"]
    assert payload["Reason"].startswith("This is a drill: nothing has happened")
    assert drilling.store.jobs.open_incidents() == []


def test_a_restart_repeats_nothing_and_makes_up_for_what_was_missed_once(drilling: Drilling) -> None:
    drilling.check(DUE)
    drilling.begin()
    drilling.check(AFTER)
    assert drilling.got("/A") == ["alarm_drill"]
    drilling.begin()
    drilling.check("2026-03-25 12:00")
    drilling.check("2026-03-25 12:01")
    assert drilling.got("/A") == ["alarm_drill"] * 2
    other = AlarmDrills(drilling.store, INSTANCE, drilling.clock)
    other.watch(drilling.config)
    drilling.clock.set("2026-03-30 09:00")
    other.check()
    drilling.check()
    assert drilling.got("/A") == ["alarm_drill"] * 3, "two daemons of one name held a drill each"


def test_a_drill_of_one_by_hand_takes_no_other_out_of_the_planned_one(drilling: Drilling) -> None:
    drilling.check(DUE)
    for at in ("2026-03-09 08:00", "2026-03-09 09:00:10"):  # before the next is due, and before the daemon looks
        drilling.clock.set(at)
        [a] = [each for each in drilled(drilling.config) if each.endpoint.name == "webhook/A"]
        begin(drilling.config, drilling.store, [a], drilling.clock(), drilling.clock())
        drilling.send()
    assert (len(drilling.got("/A")), len(drilling.got("/B"))) == (3, 1)
    drilling.check("2026-03-09 09:01")
    drilling.check("2026-03-09 09:02")
    assert len(drilling.got("/B")) == 2


def test_the_first_one_is_made_up_for_too(drilling: Drilling) -> None:
    drilling.check()
    drilling.clock.set(AFTER)
    drilling.begin()
    drilling.check()
    assert drilling.got("/A") == ["alarm_drill"]
    drilling.begin()
    drilling.check()
    assert drilling.got("/A") == ["alarm_drill"]


def test_who_is_not_reached_is_told_of_on_the_other_channels_once_and_so_is_the_recovery(drilling: Drilling) -> None:
    drilling.receiver.at["/A"] = Answer(404)
    drilling.check(DUE)
    drilling.check(AFTER)
    drilling.check("2026-03-02 12:00")
    assert drilling.outcomes() == {"webhook/A": Outcome.FAILED, "webhook/B": Outcome.PROVEN}
    assert drilling.got("/B") == ["alarm_drill", "alarm_drill_failure"]
    [incident] = drilling.store.jobs.open_incidents()
    assert (incident.kind, incident.source) == ("alarm_drill_failure", "webhook/A")
    told = json.loads(drilling.receiver.requests[-1].body)["Payload"]
    assert told["Reason"] == (
        "webhook/A was not reached by the alarm drill of 2026-03-02 09:00 UTC: the receiver answered 404 Not Found: "
        "check the url"
    )
    drilling.begin()
    drilling.check("2026-03-09 09:00")
    drilling.check("2026-03-09 09:01")
    assert drilling.got("/B")[2:] == ["alarm_drill", "alarm_drill_failure"], "each drill that fails is told"
    drilling.receiver.at.clear()
    drilling.check("2026-03-16 09:00")
    drilling.check("2026-03-16 09:01")
    assert drilling.got("/B")[4:] == ["alarm_drill", "alarm_drill_recovered"]
    assert drilling.got("/A")[-1:] == ["alarm_drill"], "it was told of itself"
    assert drilling.store.jobs.open_incidents() == []


def test_what_does_not_arrive_in_time_has_failed_and_a_late_arrival_ends_it(drilling: Drilling) -> None:
    drilling.begin(alarm_drill=WEEKLY | {"within": "5m"}, deliveries={"first_wait": "1h", "max_wait": "1h"})
    drilling.receiver.at["/A"] = Answer(503)
    drilling.check(DUE)
    assert drilling.outcomes()["webhook/A"] == Outcome.UNDER_WAY
    drilling.check("2026-03-02 09:05")
    assert drilling.got("/B") == ["alarm_drill"]
    drilling.check("2026-03-02 09:06")
    assert drilling.outcomes()["webhook/A"] == Outcome.FAILED
    assert drilling.got("/B") == ["alarm_drill", "alarm_drill_failure"]
    drilling.receiver.at.clear()
    owed = [delivery.id for delivery in drilling.store.outbox.deliveries("owed") if delivery.id]
    drilling.store.outbox.owe_again(owed)
    drilling.send()
    drilling.check("2026-03-02 10:06")
    assert drilling.got("/B") == ["alarm_drill", "alarm_drill_failure", "alarm_drill_recovered"]


def test_a_newer_drill_takes_the_place_of_one_that_is_still_owed(drilling: Drilling) -> None:
    drilling.receiver.at["/A"] = Answer(503)
    drilling.check(DUE)
    drilling.check("2026-03-09 09:00")
    drills = [each for each in drilling.store.outbox.deliveries() if each.endpoint == "webhook/A"]
    assert [(each.state, each.error) for each in drills if each.event.kind == "alarm_drill"][1] == (
        "dropped",
        "a newer alarm drill took its place",
    )


def test_no_state_is_changed_and_nobody_is_paged(drilling: Drilling) -> None:
    url = drilling.receiver.url
    drilling.notifiers |= {
        "uptime_kuma": {"push_url": f"{url}/api/push/abcd1234"},
        "cronitor": {"ping_url": f"{url}/p/key/monitor"},
        "cronhub": {"ping_url": f"{url}/start/1f5e3410"},
        "healthchecks": {"ping_url": f"{url}/addffa72-da17-40ae-be9c-ff591afb942a"},
        "pagerduty": {"integration_key": KEY, "server": url},
        "zabbix": {"server": f"{url}/api_jsonrpc.php", "api_key": "k", "itemid": "55105"},
    }
    drilling.begin()
    drilling.receiver.at = {
        "/v2/enqueue": Answer(202),
        "/v2/change/enqueue": Answer(202),
        "/api_jsonrpc.php": Answer(body=b'{"result":[{"itemid":"55105"}]}'),
        "/A": Answer(404),
    }
    drilling.check(DUE)
    drilling.check("2026-03-02 09:01")
    assert drilling.outcomes() == {
        "webhook/A": Outcome.FAILED,
        "webhook/B": Outcome.PROVEN,
        "uptime_kuma": Outcome.UNTRIED,
        "cronitor": Outcome.UNTRIED,
        "cronhub": Outcome.UNTRIED,
        "healthchecks": Outcome.PROVEN,
        "pagerduty": Outcome.PROVEN,
        "zabbix": Outcome.PROVEN,
    }
    asked = [request for request in drilling.receiver.requests if request.path not in ("/A", "/B")]
    paths = {request.path.partition("?")[0] for request in asked}
    assert paths == {
        "/addffa72-da17-40ae-be9c-ff591afb942a/log",
        "/v2/change/enqueue",
        "/v2/enqueue",
        "/api_jsonrpc.php",
    }
    alert = json.loads(next(request.body for request in asked if request.path == "/v2/enqueue"))
    assert (alert["event_action"], alert["payload"]["severity"]) == ("trigger", "warning"), "a failure is no drill"
    [item] = [json.loads(request.body) for request in asked if request.path == "/api_jsonrpc.php"]
    assert item["method"] == "item.get"


def test_of_checks_for_each_database_one_is_tried_that_is_there(drilling: Drilling) -> None:
    checks = {"ping_url": f"{drilling.receiver.url}/key/{{source}}-{{database}}"}
    drilling.notifiers = {"healthchecks": checks}
    drilling.begin()
    drilling.receiver.at["/key/app-app/log"], drilling.receiver.usual = Answer(), Answer(404)
    drilling.check(DUE)
    assert drilling.outcomes() == {"healthchecks": Outcome.PROVEN}


def test_in_earnest_an_alert_is_opened_and_resolved(drilling: Drilling) -> None:
    url = drilling.receiver.url
    drilling.notifiers["pagerduty"] = {"integration_key": KEY, "server": url}
    drilling.begin(
        alarm_drill=WEEKLY | {"events": ["backup_failure", "backup_success"], "notifiers": ["pagerduty", "B"]}
    )
    drilling.receiver.at["/v2/enqueue"] = Answer(202)
    drilling.check(DUE)
    bodies = [json.loads(request.body) for request in drilling.receiver.requests if request.path == "/v2/enqueue"]
    assert [body["event_action"] for body in bodies] == ["trigger", "resolve"]
    assert bodies[0]["dedup_key"] == bodies[1]["dedup_key"]
    assert "TEST" in bodies[0]["payload"]["summary"]
    assert (drilling.got("/A"), drilling.got("/B")) == ([], ["alarm_drill"])
    assert drilling.outcomes() == {"pagerduty": Outcome.PROVEN, "webhook/B": Outcome.PROVEN}


def test_whoever_leaves_the_drills_leaves_no_incident(drilling: Drilling) -> None:
    drilling.receiver.at["/A"] = Answer(404)
    drilling.check(DUE)
    drilling.check("2026-03-02 09:01")
    assert len(drilling.store.jobs.open_incidents()) == 1
    drilling.begin(alarm_drill=None)
    drilling.check("2026-03-02 09:02")
    assert drilling.store.jobs.open_incidents() == []


def test_a_proof_is_the_last_message_that_was_taken_by_whom(drilling: Drilling) -> None:
    drilling.notifiers["uptime_kuma"] = {"push_url": f"{drilling.receiver.url}/api/push/abcd1234"}
    drilling.begin()
    drilling.check(DUE)
    taken = drilling.store.reached.last_delivered(INSTANCE, ["webhook/A", "uptime_kuma"], ["nightly", "alarm drill"])
    assert list(taken) == ["webhook/A"]
    [delivery] = [each for each in drilling.store.outbox.deliveries() if each.endpoint == "webhook/A"]
    assert taken["webhook/A"] == delivery.settled_at
    assert drilling.store.outbox.deliveries("dropped")[0].answer == "nothing to send of alarm_drill"
    assert timedelta(0) <= delivery.settled_at - delivery.created_at
