"""borgmatic's own hooks as the oracle: the same blocks, the same states, and what differs is meant and says why."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from backupman.config import load
from backupman.notifiers import STATES, State
from tests.config.conftest import WHOLE
from tests.contracts.notifier import message
from tests.servers.borgmatic import Borgmatic, Sent
from tests.servers.receiver import Answer, Receiver, Request

pytestmark = pytest.mark.service("borgmatic")

ALL = ["start", "finish", "fail"]
Both = Callable[[dict[str, Any]], tuple[Sent, Sent]]
MEANT = (
    # hook, states, what of the request, why ours is another
    ("healthchecks", "start finish fail", "query.rid", "pairs a start with its end, and tells runs apart"),
    ("pagerduty", "finish", "requests", "a success resolves the alert of the failure before"),
    ("pagerduty", "finish", "method", "as above"),
    ("pagerduty", "finish", "path", "as above"),
    ("pagerduty", "finish", "type", "as above"),
    ("pagerduty", "finish", "body", "as above"),
    ("pagerduty", "fail", "type", "PagerDuty's reference asks for it; borgmatic sends none"),
    ("pagerduty", "fail", "body.dedup_key", "without it every attempt opens an alert, and nothing resolves one"),
    ("pagerduty", "fail", "body.client", "PagerDuty shows who sent it"),
    ("pagerduty", "fail", "body.payload.summary", "names what has failed, not only the host"),
    ("pagerduty", "fail", "body.payload.component", "the same"),
    ("pagerduty", "fail", "body.payload.source", "`instance` of the config, which is the host by default"),
    ("pagerduty", "fail", "body.payload.timestamp", "when it failed, not when it was sent; in UTC"),
    ("pagerduty", "fail", "body.payload.custom_details", "what is known of the backup, under its documented names"),
    ("ntfy", "start finish fail", "body.sequence_id", "a second attempt takes the place of the first"),
    ("loki", "start finish fail", "body.streams[].values", "says which backup, and why it failed"),
    ("apprise", "finish fail", "body.message", "borgmatic's log has a line about the ping itself"),
    ("uptime_kuma", "start finish fail", "query.msg", "says which backup, and why it failed"),
    ("uptime_kuma", "finish fail", "query.ping", "how long it took, which the monitor draws"),
    ("zabbix", "start finish fail", "requests", "borgmatic logs an API key out, which Zabbix refuses"),
    ("zabbix", "start finish fail", "body.params", "with the time of the event: a second attempt adds no value"),
)
TAKEN = b'{"jsonrpc":"2.0","result":{"response":"success","data":[{"itemid":55105}]},"id":1}'
ANSWERS = {
    "/v2/enqueue": Answer(202),
    "/loki/api/v1/push": Answer(204),
    "/": Answer(body=b'{"id":"x"}'),
    "/api_jsonrpc.php": Answer(body=TAKEN),
}
KEY = "a177cad45bd374409f78906a810a3074"


def blocks(url: str) -> dict[str, Any]:
    """Every block as seed 002 has it, at our receiver."""
    states, logs = {"states": ALL}, {"send_logs": True}
    push = {
        state: {"title": f"It is {state}", "message": f"So: {state}", "tags": "borgmatic,+1", "priority": "max"}
        for state in ALL
    }
    words = {state: {"title": f"It is {state}", "body": f"So: {state}"} for state in ALL}
    values = {"start": {"value": "STARTED"}, "finish": {"value": "OK"}, "fail": {"value": "ERROR"}}
    return {
        "healthchecks": {"ping_url": f"{url}/addffa72-da17-40ae-be9c-ff591afb942a", **logs},
        "cronitor": {"ping_url": f"{url}/d3x0c1"},
        "cronhub": {"ping_url": f"{url}/start/1f5e3410-254c-11e8-b61d-55875966d031"},
        "pagerduty": {"integration_key": KEY, **logs},
        "ntfy": {"topic": "my-topic", "server": url, "username": "me", "password": "secret", **push, **states},
        "loki": {
            "url": f"{url}/loki/api/v1/push",
            "labels": {"app": "b", "config": "__config", "path": "__config_path", "host": "__hostname"},
            **logs,
        },
        "apprise": {
            "services": [{"url": f"json://{url.removeprefix('http://')}/apprise", "label": "json"}],
            **words,
            **states,
            **logs,
        },
        "uptime_kuma": {"push_url": f"{url}/api/push/abcd1234", **states},
        "zabbix": {
            "server": f"{url}/api_jsonrpc.php",
            "username": "myuser",
            "password": "secret",
            "api_key": "b2ecba64d8beb47f",
            "host": "borg-server",
            "key": "borg.status",
            "itemid": "55105",
            **values,
            **states,
        },
    }


def ours(url: str, receiver: Receiver, config: dict[str, Any], folder: Path) -> Sent:
    """What our providers send of the same blocks, each event as the outbox hands it to those who want it."""
    if "pagerduty" in config:  # for which borgmatic has no setting
        config = config | {"pagerduty": {**config["pagerduty"], "server": url}}
    file = folder / "config.yml"
    file.write_text(WHOLE + yaml.safe_dump({"notifiers": config}))
    sent: Sent = {}
    for block in load(file).config.all_notifiers():
        [endpoint] = block.endpoints()
        for state in ALL:
            before, kind = len(receiver.requests), STATES[State(state)][0]
            if kind in endpoint.events:
                event = replace(message(kind), log=["dumping the database"])
                asyncio.run(endpoint.send(event))
            sent[block.provider_name, state] = receiver.requests[before:]
    return sent


def flat(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every single value of a document by its place; of a list all entries at one place."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat(item, f"{place}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from flat(item, f"{place}[]")
    else:
        yield place, value


def aspects(requests: list[Request]) -> dict[str, Any]:
    """What matters of the first request of a state, by its name, and how many there were."""
    found: dict[str, Any] = {"requests": len(requests)}
    for request in requests[:1]:
        url = urlsplit(request.path)
        kind = (request.headers["Content-Type"] or "").partition(";")[0]
        found |= {"method": request.method, "path": url.path, "type": kind}
        found |= {"authorization": request.headers["Authorization"]}
        found |= {f"query.{name}": value for name, value in parse_qsl(url.query)}
        try:
            found |= dict(flat(json.loads(request.body), "body"))
        except ValueError:
            found["body"] = bool(request.body)
    return found


def differences(theirs: Sent, mine: Sent) -> dict[tuple[str, str, str], tuple[Any, Any]]:
    """Both values of everything that is not the same, by hook, state and aspect."""
    assert theirs.keys() == mine.keys()
    differ: dict[tuple[str, str, str], tuple[Any, Any]] = {}
    for (hook, state), requests in theirs.items():
        one, other = aspects(requests), aspects(mine[hook, state])
        names = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
        differ |= {(hook, state, name): (one.get(name), other.get(name)) for name in names}
    return differ


def must_be_meant(theirs: Sent, mine: Sent) -> set[tuple[str, str, str, str]]:
    """Everything that differs stands in a row of the table; the rows of which something does."""
    found = differences(theirs, mine)
    used = set()
    for hook, state, name in list(found):
        for row in MEANT:
            if row[0] == hook and state in row[1].split() and re.fullmatch(rf"{re.escape(row[2])}([.\[].*)?", name):
                found.pop((hook, state, name), None)
                used.add(row)
    assert found == {}
    return used


@pytest.fixture
def both(borgmatic: Borgmatic, receiver: Receiver, tmp_path: Path) -> Both:
    """What borgmatic and what our providers send of the same blocks."""
    receiver.at, receiver.usual = ANSWERS, Answer(body=b'{"ok":true}')
    return lambda config: (borgmatic(config, ALL), ours(receiver.url, receiver, config, tmp_path))


def test_the_blocks_of_the_seed_send_the_same_but_for_what_is_meant(both: Both, receiver: Receiver) -> None:
    assert must_be_meant(*both(blocks(receiver.url))) == set(MEANT), "some do not differ any more"


def test_without_states_the_same_states_are_told_but_for_what_is_meant(both: Both, receiver: Receiver) -> None:
    plain = {
        name: {key: value for key, value in block.items() if key not in ("states", *ALL)}
        for name, block in blocks(receiver.url).items()
    }
    theirs, mine = both(plain)
    told = {of: (bool(requests), bool(mine[of])) for of, requests in theirs.items()}
    assert {of: sent for of, sent in told.items() if sent[0] != sent[1]} == {
        ("pagerduty", "finish"): (False, True),  # resolves what has failed before
        ("uptime_kuma", "start"): (True, False),  # an `up` would clear yesterday's failure
    }


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("healthchecks", {"create_slug": True}),
        ("healthchecks", {"send_logs": False}),
        ("ntfy", {"access_token": "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2"}),
        ("ntfy", {"username": None, "password": None}),
        ("apprise", {"send_logs": False}),
        ("zabbix", {"itemid": None}),
        ("uptime_kuma", {"states": ["fail"]}),
    ],
)
def test_other_settings(both: Both, receiver: Receiver, name: str, changed: dict[str, Any]) -> None:
    block = {key: value for key, value in (blocks(receiver.url)[name] | changed).items() if value is not None}
    if "create_slug" in changed:
        block["ping_url"] = f"{receiver.url}/a-ping-key/my-slug"
    must_be_meant(*both({name: block}))


def test_a_login_at_zabbix_is_one_session(both: Both, receiver: Receiver) -> None:
    block = {key: value for key, value in blocks(receiver.url)["zabbix"].items() if key not in ("api_key", "states")}
    receiver.at = {f"/marks/zabbix/{state}": Answer() for state in ALL}
    for body in [
        b'{"jsonrpc":"2.0","result":"a-session","id":1}',
        TAKEN,
        b'{"jsonrpc":"2.0","result":true,"id":1}',
    ] * 2:
        receiver.answer(body=body)
    for sent in both({"zabbix": block}):
        requests = sent["zabbix", "fail"]
        bodies = [json.loads(request.body) for request in requests]
        assert [body["method"] for body in bodies] == ["user.login", "history.push", "user.logout"]
        assert [body["params"] for body in bodies][::2] == [{"username": "myuser", "password": "secret"}, []]
        keys = [request.headers["Authorization"] for request in requests]
        assert keys == [None, "Bearer a-session", "Bearer a-session"]
