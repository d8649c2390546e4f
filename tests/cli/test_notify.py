"""`notify`: a marked sample reaches everybody by the real way, and a preview sends nothing."""

import json
from typing import Any

import pytest

from backupman.events import EventKind
from tests.cli.conftest import Inside
from tests.e2e.world import World
from tests.servers.receiver import Answer


@pytest.fixture
def told(world: World) -> World:
    """A world whose receiver plays a webhook, a check and a pager as well."""
    url = world.receiver.url
    key = "integration-key-0123456789"
    world.config["notifiers"] |= {
        "healthchecks": {"ping_url": f"{url}/addffa72-da17-40ae-be9c-ff591afb942a"},
        "pagerduty": {"label": "on duty", "integration_key": key, "server": url},
    }
    return world


def test_everybody_is_tried_by_what_disturbs_least(told: World) -> None:
    told.receiver.usual = Answer(202)
    ended = told.run("notify", "test", "--json")
    assert ended.code == 0, ended.err
    trials = {(each["Endpoint"], each["Event"]): each for each in ended.json["Results"]}
    assert set(trials) == {
        ("webhook/Hook", "backup_report"),
        ("healthchecks", "notification"),
        ("pagerduty/on duty", "backup_failure"),
        ("pagerduty/on duty", "backup_success"),
    }
    assert all(each["Delivered"] and each["Answer"].startswith("202") for each in trials.values())
    requests = {request.path: request for request in told.receiver.requests}
    assert json.loads(requests["/hook"].body)["Payload"]["Label"] == "TEST"
    [ping] = [path for path in requests if "/addffa72" in path]
    assert "/log" in ping and "TEST" in requests[ping].body.decode()
    alerts = [json.loads(each.body) for each in told.receiver.requests if each.path == "/v2/enqueue"]
    assert [alert["event_action"] for alert in alerts] == ["trigger", "resolve"]
    assert alerts[0]["dedup_key"] == alerts[1]["dedup_key"]
    assert "App" not in alerts[0]["dedup_key"], "a real alert would be resolved"


def test_a_test_leaves_no_records(told: World) -> None:
    told.config["state_folder"] = str(told.folder / "nowhere")
    told.run("notify", "test")
    assert not (told.folder / "nowhere").exists()


def test_whoever_does_not_take_it_is_named_and_fails_the_command(world: World) -> None:
    url = world.receiver.url
    world.config["notifiers"]["webhook"]["endpoints"] += [{"name": "Other", "url": f"{url}/other"}]
    world.receiver.usual = Answer(404)
    ended = world.run("notify", "test")
    assert ended.code == 1
    assert "✗ webhook/Hook: backup_report failed in" in ended.out
    assert "✗ webhook/Other: backup_report failed in" in ended.out
    assert "the receiver answered 404" in ended.out
    assert url not in ended.out and "t0ken" not in ended.out


def test_an_event_goes_to_those_who_want_it_and_to_those_who_are_named(told: World) -> None:
    told.receiver.usual = Answer(202)
    ended = told.run("notify", "test", "backup_failure", "--json")
    assert {each["Endpoint"] for each in ended.json["Results"]} == {"healthchecks", "pagerduty/on duty"}
    assert [request for request in told.receiver.requests if request.path.partition("?")[0].endswith("/fail")]
    ended = told.run("notify", "test", "backup_failure", "--notifier", "Hook", "--json")
    [trial] = ended.json["Results"]
    assert (trial["Endpoint"], trial["Event"]) == ("webhook/Hook", "backup_failure")


@pytest.mark.parametrize("kind", list(EventKind))
def test_a_preview_of_every_event(told: World, inside: Inside, kind: str) -> None:
    told.start("version").communicate()  # writes the config
    ended = inside("notify", "preview", kind)
    assert ended.code == 0, ended.err
    assert f"# webhook/Hook\nPOST http://127.0.0.1:{told.receiver.port}/***\n" in ended.out
    assert f'"Event":"{kind}"' in ended.out.replace('": "', '":"')
    assert "X-Webhook-Token: ***" in ended.out.replace("x-webhook-token", "X-Webhook-Token")
    for secret in ("t0ken", "integration-key", "addffa72"):
        assert secret not in ended.out
    assert told.receiver.requests == []


def test_where_nobody_is_told_a_preview_says_so(config: dict[str, Any], inside: Inside) -> None:
    ended = inside("notify", "preview", "backup_report")
    assert (ended.code, ended.out, ended.err) == (0, "", "Nobody is told.\n")


def test_names_that_are_not_there_are_refused(told: World, inside: Inside) -> None:
    told.start("version").communicate()
    wrong = inside("notify", "test", "--notifier", "on dute")
    assert wrong.code == 2 and "did you mean 'on duty'?" in wrong.err
    wrong = inside("notify", "preview", "backup_fail")
    assert wrong.code == 2 and "backup_failure" in wrong.err


def test_a_drill_by_hand_is_recorded_and_its_outcome_shown(told: World, inside: Inside) -> None:
    told.receiver.usual = Answer(202)
    told.start("version").communicate()
    before = inside("notify", "drill", "--status")
    assert (before.code, before.out.count("not tried yet")) == (0, 3)
    assert told.receiver.requests == []
    ended = inside("notify", "drill", "--json")
    assert ended.code == 0, ended.err
    found = {each["Endpoint"]: each for each in json.loads(ended.out)["Results"]}
    assert {name: each["Drill"] for name, each in found.items()} == dict.fromkeys(
        ("webhook/Hook", "healthchecks", "pagerduty/on duty"), "proven"
    )
    assert all(each["LastDelivered"] for each in found.values())
    told.receiver.at["/hook"] = Answer(404)
    failed = inside("notify", "drill", "--notifier", "Hook")
    assert failed.code == 1
    assert "✗ webhook/Hook: failed" in failed.out and "the receiver answered 404" in failed.out
    shown = inside("notify", "drill", "--status")
    assert shown.code == 1
    assert shown.out.count("✓ ") == 2 and shown.out.count("✗ ") == 1
    assert inside("notify", "drill", "--status", "-q").out.count("Last took") == 1
    health = inside("health")
    assert health.code == 0, "whatever cannot be told can still be backed up"
    assert "! webhook/Hook was not reached by the alarm drill of" in health.err
    assert "! 1 message to webhook/Hook could not be delivered and was given up, the oldest of" in health.err
    messages = json.loads(inside("health", "--json").out)["Details"]["Messages"]
    assert messages["GivenUp"] == 1 and messages["Oldest"]
    for secret in ("t0ken", "integration-key", "addffa72", told.receiver.url):
        assert secret not in json.dumps(messages) + shown.out + health.err


def test_a_drill_that_has_to_be_tried_again_says_why(told: World, inside: Inside) -> None:
    told.receiver.usual, told.receiver.at["/hook"] = Answer(202), Answer(503)
    told.start("version").communicate()
    waiting = inside("notify", "drill", "--notifier", "Hook", "--drain-timeout", "1s")
    assert waiting.code == 1
    assert "… webhook/Hook: under way" in waiting.out and "the receiver answered 503" in waiting.out
    told.receiver.at.clear()
    assert inside("notify", "drill", "-q").out == "", "silent when all is well"
    assert inside("notify", "drill", "--status").out.count("✓ ") == 3


def test_a_drill_says_of_whom_it_can_send_nothing_why(told: World, inside: Inside) -> None:
    told.config["notifiers"] = {"webhook": {"endpoints": [{"url": told.receiver.url, "format": "simplebackups"}]}}
    told.start("version").communicate()
    ended = inside("notify", "drill")
    assert ended.code == 0
    assert "webhook/default: not tried, because whatever it takes counts as a good or a bad backup" in ended.out
    assert told.receiver.requests == []
