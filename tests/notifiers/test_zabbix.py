"""Zabbix: values that history.push takes, by key or password, and answers that say 200 and mean no."""

import asyncio
import json
from typing import Any

import pytest
from pydantic import ValidationError

from backupman.errors import NotifyError
from backupman.notifiers import Endpoint
from backupman.notifiers.zabbix import Zabbix
from tests.contracts.notifier import EVENTS, HttpNotifierContract, deliver, message, refusal
from tests.servers.receiver import Answer, Receiver

API = "http://cloud.zabbix.com/zabbix/api_jsonrpc.php"
API_KEY = "b2ecba64d8beb47fc161ae48b164cfd7104a79e8e48e6074ef5b141d8a0aeeca"
TAKEN = b'{"jsonrpc":"2.0","result":{"response":"success","data":[{"itemid":50668}]},"id":1}'
SEED = {
    "server": API,
    "username": "myuser",
    "password": "secret",
    "api_key": API_KEY,
    "host": "borg-server",
    "key": "borg.status",
    "itemid": "55105",
    "start": {"value": "STARTED"},
    "finish": {"value": "OK"},
    "fail": {"value": "ERROR"},
    "states": ["start", "finish", "fail"],
}


def pushed(kind: str, **settings: Any) -> dict[str, Any]:
    """The one value that is pushed."""
    request = Zabbix.model_validate(SEED | settings).request(message(kind))
    assert request.headers["Content-Type"] == "application/json-rpc"
    body = json.loads(request.content)
    assert (body["jsonrpc"], body["method"]) == ("2.0", "history.push")
    [found] = body["params"]
    assert isinstance(found["value"], str)
    return dict(found)


class TestZabbix(HttpNotifierContract):
    notifier_class = Zabbix
    good = Answer(body=TAKEN)
    delivered = frozenset({200, 201, 202})
    wordless = frozenset(EVENTS)

    @pytest.fixture
    def settings(self, receiver: Receiver, timeout: str) -> dict[str, Any]:
        return {
            "server": f"{receiver.url}/api_jsonrpc.php",
            "api_key": API_KEY,
            "itemid": "50668",
            "events": EVENTS,
            "timeout": timeout,
        }

    @pytest.mark.parametrize(
        ("body", "permanent", "why"),
        [
            (b"", False, "is not Zabbix's"),
            (b"<html>", False, "is not Zabbix's"),
            (b"[]", False, "is not Zabbix's"),
            (b'{"jsonrpc":"2.0","result":{"response":"success","data":[]},"id":1}', False, "is not Zabbix's"),
            (
                b'{"result":{"response":"success","data":[{"error":"No permissions to referred object or it does not'
                b' exist."}]}}',
                True,
                "took no value",
            ),
            (b'{"error":{"code":-32602,"message":"Invalid params.","data":"Not authorized."}}', True, "refused"),
            (
                b'{"error":{"code":-32500,"message":"Application error.","data":"Connection to Zabbix server \\"x\\"'
                b' refused."}}',
                False,
                "not reached",
            ),
        ],
    )
    def test_what_says_200_and_means_no(
        self, endpoint: Endpoint, receiver: Receiver, body: bytes, permanent: bool, why: str
    ) -> None:
        receiver.answer(200, body=body)
        error = refusal(endpoint)
        assert (error.permanent, why in error.sentence) == (permanent, True)

    def test_a_value_that_is_there_already_has_arrived(self, endpoint: Endpoint, receiver: Receiver) -> None:
        receiver.answer(200, body=b'{"result":{"data":[{"error":"Duplicate timestamp found."}]}}')
        deliver(endpoint)


@pytest.mark.parametrize(
    ("kind", "value", "plain"),
    [("backup_start", "STARTED", "start"), ("backup_success", "OK", "finish"), ("backup_failure", "ERROR", "fail")],
)
def test_values_by_state(kind: str, value: str, plain: str) -> None:
    assert pushed(kind)["value"] == value
    assert pushed(kind, start=None, finish=None, fail=None)["value"] == plain


def test_the_itemid_goes_before_host_and_key_and_the_time_is_that_of_the_event() -> None:
    assert pushed("backup_failure") == {"itemid": "55105", "value": "ERROR", "clock": 1_751_450_700, "ns": 0}
    found = pushed("backup_failure", itemid=None)
    assert (found["host"], found["key"], "itemid" in found) == ("borg-server", "borg.status", False)


def test_a_drill_asks_for_the_item_and_changes_nothing(receiver: Receiver) -> None:
    asked = [
        json.loads(Zabbix.model_validate(SEED | changed).request(message("alarm_drill")).content)
        for changed in ({}, {"itemid": None})
    ]
    assert [each["method"] for each in asked] == ["item.get"] * 2
    assert asked[0]["params"] == {"itemids": ["55105"], "output": ["itemid", "name"]}
    assert asked[1]["params"]["host"] == "borg-server"
    assert asked[1]["params"]["filter"] == {"key_": "borg.status"}
    [endpoint] = Zabbix.model_validate(SEED | {"server": f"{receiver.url}/api"}).endpoints()
    receiver.answer(200, body=b'{"jsonrpc":"2.0","result":[{"itemid":"55105","name":"Backup"}],"id":1}')
    assert deliver(endpoint, "alarm_drill").startswith("200")
    receiver.answer(200, body=b'{"jsonrpc":"2.0","result":[],"id":1}')
    with pytest.raises(NotifyError, match="the item is not to be seen") as raised:
        deliver(endpoint, "alarm_drill")
    assert raised.value.permanent


def test_the_key_goes_before_the_password() -> None:
    request = Zabbix.model_validate(SEED).request(message())
    assert request.headers["Authorization"] == f"Bearer {API_KEY}"


def with_password(receiver: Receiver) -> Endpoint:
    block = {"server": f"{receiver.url}/api_jsonrpc.php", "username": "me", "password": "pässword", "itemid": "1"}
    return Zabbix.model_validate(block).endpoints()[0]


def test_with_a_password_there_is_a_session_around_the_push(receiver: Receiver) -> None:
    receiver.answer(200, body=b'{"jsonrpc":"2.0","result":"0424bd59b807674191e7d77572075f33","id":1}')
    receiver.answer(200, body=TAKEN)
    receiver.answer(200, body=b'{"jsonrpc":"2.0","result":true,"id":1}')
    assert deliver(with_password(receiver), "backup_failure").startswith("200 OK")
    login, push, logout = ((json.loads(each.body), each.headers.get("Authorization")) for each in receiver.requests)
    assert (login[0]["method"], login[0]["params"], login[1]) == (
        "user.login",
        {"username": "me", "password": "pässword"},
        None,
    )
    assert (push[0]["method"], push[1]) == ("history.push", "Bearer 0424bd59b807674191e7d77572075f33")
    assert (logout[0]["method"], logout[0]["params"], logout[1]) == ("user.logout", [], push[1])


def test_a_session_ends_also_when_the_push_fails(receiver: Receiver) -> None:
    receiver.answer(200, body=b'{"jsonrpc":"2.0","result":"0424bd59b807674191e7d77572075f33","id":1}')
    receiver.answer(500)
    receiver.answer(500)
    error = refusal(with_password(receiver))
    assert "500" in error.sentence
    assert [json.loads(each.body)["method"] for each in receiver.requests][-1] == "user.logout"


def test_a_wrong_password_is_final(receiver: Receiver) -> None:
    receiver.answer(200, body=b'{"error":{"code":-32500,"message":"x","data":"Incorrect user name or password."}}')
    error = refusal(with_password(receiver))
    assert error.permanent
    assert "check how it logs in" in error.sentence
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"api_key": None, "password": None}, "api_key is required, or username and password"),
        ({"itemid": None, "key": None}, "itemid is required, or host and key"),
        ({"itemid": "x"}, "pattern"),
        ({"server": ""}, "server is required"),
    ],
)
def test_mistakes_are_found_when_it_is_loaded(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Zabbix.model_validate(SEED | changed)


@pytest.mark.parametrize("login", [{}, {"api_key": None}])
def test_that_other_copies_are_right_takes_no_place_of_a_failure(receiver: Receiver, login: dict[str, Any]) -> None:
    [endpoint] = Zabbix.model_validate(SEED | {"server": receiver.url} | login).endpoints()
    answer = asyncio.run(endpoint.send(message("verify_success", StillBad=1)))
    assert (answer, receiver.requests) == ("nothing to send of verify_success", [])
