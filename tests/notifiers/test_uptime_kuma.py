"""Uptime Kuma: up and down in a query of our own, whatever was pasted, and an answer that says ok."""

from typing import Any

import httpx
import pytest

from backupman.notifiers import Endpoint
from backupman.notifiers.uptime_kuma import UptimeKuma
from tests.contracts.notifier import EVENTS, ODD_TEXTS, HttpNotifierContract, message, refusal
from tests.servers.receiver import Answer, Receiver

PUSH = "https://kuma.my-domain.com/api/push/abcd1234"


def sent(kind: str, url: str = PUSH, text: str = "") -> httpx.Request | None:
    return UptimeKuma.model_validate({"push_url": url}).request(message(kind, text))


class TestUptimeKuma(HttpNotifierContract):
    notifier_class = UptimeKuma
    good = Answer(body=b'{"ok":true}')
    delivered = frozenset({200, 201, 202})
    retried = frozenset({404})
    silent = frozenset({"restore_start", "prune_report", "alarm_drill"})

    @pytest.fixture
    def settings(self, receiver: Receiver, timeout: str) -> dict[str, Any]:
        return {"push_url": f"{receiver.url}/api/push/abcd1234", "events": EVENTS, "timeout": timeout}

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"ok":false,"msg":"Monitor not found"}', b'"ok"'])
    def test_an_answer_that_does_not_say_ok_is_a_failure(
        self, endpoint: Endpoint, receiver: Receiver, body: bytes
    ) -> None:
        receiver.answer(200, body=body)
        assert not refusal(endpoint).permanent


@pytest.mark.parametrize("pasted", ["", "?status=up&msg=OK&ping=", "/?status=up#x"])
def test_a_pasted_query_never_says_up_for_down(pasted: str) -> None:
    request = sent("backup_failure", PUSH + pasted)
    assert request and request.method == "GET"
    assert str(request.url).startswith(f"{PUSH}?status=down&msg=")
    assert request.url.params.get_list("status") == ["down"]


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (
            "backup_start",
            {"status": "up", "msg": "Backup of Mysql 1 started: The backup of Mysql 1 is under way."},
        ),
        (
            "backup_success",
            {
                "status": "up",
                "msg": "Backup of Mysql 1 finished: Mysql 1 is stored on My Google Drive.",
                "ping": "300000",
            },
        ),
        (
            "backup_failure",
            {"status": "down", "msg": "Backup of Mysql 1 failed: My Google Drive: quota exceeded", "ping": "300000"},
        ),
    ],
)
def test_the_query_says_status_message_and_duration(kind: str, asked: dict[str, str]) -> None:
    request = sent(kind)
    assert request and dict(request.url.params) == asked


@pytest.mark.parametrize("odd", ODD_TEXTS)
def test_an_address_stays_short_enough_for_node(odd: str) -> None:
    request = sent("backup_failure", text=ODD_TEXTS[odd])
    assert request and len(request.url.raw_path) < 2_500


def test_a_start_is_told_only_where_the_config_wants_it() -> None:
    usual = UptimeKuma.model_validate({"push_url": PUSH})
    assert usual.kinds == ["backup_success", "backup_failure", "backup_late", "backup_missed", "verify_failure"]
    every = UptimeKuma.model_validate({"push_url": PUSH, "states": ["start", "finish", "fail"]})
    assert every.kinds[0] == "backup_start"
