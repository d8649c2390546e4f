"""`events` and `deliveries`: what happened, who was told, and telling it again."""

import json
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Inside
from tests.e2e.world import World


@pytest.fixture
def told(world: World, inside: Inside) -> World:
    """A world with one backup whose report the receiver refused for good."""
    world.receiver.answer(400)
    world.run("run")
    return world


def results(inside: Inside, *words: str) -> list[dict[str, Any]]:
    """The documents that a command lists."""
    found: list[dict[str, Any]] = json.loads(inside(*words, "--json").out)["Results"]
    return found


def test_events_in_the_order_of_the_newest(told: World, inside: Inside) -> None:
    events = results(inside, "events", "list")
    assert [event["Event"] for event in events] == ["backup_success", "backup_report", "backup_start"]
    assert list(events[0]) == ["Id", "Seq", "Event", "Time", "Instance", "Job", "BackupId", "Payload"]
    assert events[0]["Payload"]["Status"] == "finished"
    assert events[0]["Time"].endswith("Z")
    assert results(inside, "events", "list", "--kind", "backup_start") == events[2:]
    assert results(inside, "events", "list", "--backup", "latest", "-n", "1") == events[:1]
    shown = inside("events", "list").out
    assert all(event["Id"][:8] in shown for event in events)


def test_deliveries_with_every_attempt(told: World, inside: Inside) -> None:
    (delivery,) = results(inside, "deliveries", "list")
    assert (delivery["Endpoint"], delivery["State"], delivery["Attempts"]) == ("webhook/Hook", "failed", 1)
    assert delivery["Event"] == "backup_report"
    assert delivery["NextAttemptAt"] is None
    (attempt,) = delivery["History"]
    assert attempt["Delivered"] is False
    assert "400" in attempt["Error"]
    assert results(inside, "deliveries", "list", "--state", "owed") == []
    assert results(inside, "deliveries", "list", "--endpoint", "webhook/Hook") == [delivery]
    assert "✗ failed" in inside("deliveries", "list").out
    assert inside("deliveries", "list", "--state", "owed").out == "No delivery fits.\n"


def test_what_was_given_up_is_sent_again_under_the_same_id(told: World, inside: Inside) -> None:
    told.receiver.answer(400)
    assert inside("deliveries", "retry").code == 1
    again = inside("deliveries", "retry", "--endpoint", "webhook/Hook")
    assert again.code == 0
    assert "✓ delivered" in again.out
    assert len({request.headers["webhook-id"] for request in told.receiver.requests}) == 1
    assert len(told.receiver.requests) == 3
    assert inside("deliveries", "retry").out == "There is nothing to send.\n"
    assert inside("deliveries", "retry", "-q").out == ""


def test_single_deliveries_are_sent_again(told: World, inside: Inside) -> None:
    (delivery,) = results(inside, "deliveries", "list")
    assert inside("deliveries", "retry", str(delivery["Id"])).code == 0
    assert inside("deliveries", "retry", "999").code == 2


def test_replay_tells_everybody_who_wants_such_events(told: World, inside: Inside) -> None:
    reported = results(inside, "events", "list", "--kind", "backup_report")[0]
    assert inside("events", "replay", reported["Id"][:8]).code == 0
    assert [request.headers["webhook-id"] for request in told.receiver.requests] == [reported["Id"]] * 2
    assert told.reports()[0] == told.reports()[1]
    assert len(results(inside, "deliveries", "list")) == 2


def test_replay_of_what_nobody_wants(told: World, inside: Inside) -> None:
    start = results(inside, "events", "list", "--kind", "backup_start")[0]
    ended = inside("events", "replay", start["Id"])
    assert (ended.code, ended.out) == (0, "There is nothing to send.\n")
    assert inside("events", "replay", start["Id"], "--endpoint", "Hook").code == 0
    assert json.loads(told.receiver.requests[-1].body)["Event"] == "backup_start"
    wrong = inside("events", "replay", start["Id"], "--endpoint", "webhook/Hok")
    assert wrong.code == 2
    assert "webhook/Hook" in wrong.err


def test_an_endpoint_that_left_the_config_is_dropped_with_the_reason(told: World, inside: Inside) -> None:
    told.config["notifiers"] = {}
    told.config_file.write_text(yaml.safe_dump(told.config))
    assert inside("deliveries", "retry").code == 1
    (delivery,) = results(inside, "deliveries", "list")
    assert delivery["State"] == "dropped"
    assert "not in the config" in delivery["Error"]


def test_what_another_config_owes_is_left_to_it(told: World, inside: Inside) -> None:
    """Configs of one account share records and instance by default, as two lines of cron may."""
    told.receiver.answer(503, headers={"Retry-After": "3600"})
    assert inside("deliveries", "retry").code == 1
    [app] = told.config["data_sources"]
    told.config_file.write_text(yaml.safe_dump(told.config | {"data_sources": [app | {"label": "B"}], "notifiers": {}}))
    assert inside("deliveries", "retry").code == 1, "it is due now, and still owed"
    ended = inside("run", "-q")
    assert ended.code == 0
    drop = "backupman deliveries drop --endpoint webhook/Hook"
    assert "! webhook/Hook is still owed 1 message: " in ended.err
    assert f"  It is not in this config: the one that has it sends again; if none has: {drop}\n" in ended.err
    told.config_file.write_text(yaml.safe_dump(told.config))
    assert inside("deliveries", "retry").code == 0
    assert [each["State"] for each in results(inside, "deliveries", "list")] == ["delivered"]


def test_what_another_installation_owes_is_left_to_it_and_its_events_can_be_told(told: World, inside: Inside) -> None:
    (delivery,) = results(inside, "deliveries", "list")
    told.config_file.write_text(yaml.safe_dump(told.config | {"instance": "another"}))
    assert inside("deliveries", "retry").out == "There is nothing to send.\n"
    assert inside("deliveries", "drop", "--endpoint", "webhook/Hook").out == "0 deliveries dropped.\n"
    refused = inside("deliveries", "retry", str(delivery["Id"]))
    assert refused.code == 2
    assert f"is owed by the instance {told.config['instance']}, which alone sends it" in refused.err
    assert [each["State"] for each in results(inside, "deliveries", "list")] == ["failed"]
    assert inside("events", "replay", delivery["EventId"]).code == 0
    assert [each["State"] for each in results(inside, "deliveries", "list")] == ["delivered", "failed"]
    assert inside("deliveries", "drop", str(delivery["Id"])).out == "1 delivery dropped.\n"


def test_one_delivery_in_full(told: World, inside: Inside) -> None:
    (delivery,) = results(inside, "deliveries", "list")
    shown = inside("deliveries", "show", str(delivery["Id"])).out
    assert "✗ failed  backup_report to webhook/Hook" in shown
    assert "answered 400" in shown and f"deliveries retry {delivery['Id']}" in shown
    document = json.loads(inside("deliveries", "show", str(delivery["Id"]), "--json").out)
    assert document.pop("Payload")["Status"] == "finished"
    assert document == delivery
    assert inside("deliveries", "show", "999").code == 2


def test_what_was_given_up_is_warned_of_until_it_is_dropped(told: World, inside: Inside) -> None:
    (delivery,) = results(inside, "deliveries", "list")
    assert "1 message to webhook/Hook could not be delivered" in inside("health").err
    assert inside("deliveries", "drop").code == 2
    assert inside("deliveries", "drop", str(delivery["Id"])).out == "1 delivery dropped.\n"
    (dropped,) = results(inside, "deliveries", "list")
    assert (dropped["State"], dropped["Error"]) == ("dropped", "dropped by hand")
    assert inside("deliveries", "drop", "--endpoint", "webhook/Hook").out == "0 deliveries dropped.\n"
    assert inside("health").err == ""
    assert len(told.receiver.requests) == 1
