"""ntfy: JSON that the server takes, within its limits, as each state is configured; and who may publish."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from backupman.notifiers import Endpoint, Message
from backupman.notifiers.ntfy import Ntfy
from tests.contracts.notifier import EVENTS, ODD_TEXTS, HttpNotifierContract, message, refusal
from tests.servers.receiver import Answer, Receiver

SEED = {
    "topic": "my-unique-topic",
    "server": "https://ntfy.my-domain.com",
    "username": "myuser",
    "password": "secret",
    "start": {
        "title": "A borgmatic backup started",
        "message": "Watch this space...",
        "tags": "borgmatic",
        "priority": "min",
    },
    "finish": {
        "title": "A borgmatic backup completed successfully",
        "message": "Nice!",
        "tags": "borgmatic,+1",
        "priority": "min",
    },
    "fail": {
        "title": "A borgmatic backup failed",
        "message": "You should probably fix it",
        "tags": "borgmatic,-1,skull",
        "priority": "max",
    },
    "states": ["start", "finish", "fail"],
}


def sent(event: Message, **settings: Any) -> dict[str, Any]:
    """The body of the request, which keeps to what the server takes."""
    request = Ntfy.model_validate({"topic": "backups", **settings}).request(event)
    assert (request.method, request.url.path) == ("POST", "/")
    assert request.headers["Content-Type"] == "application/json"
    assert len(request.content) <= 8192
    body: dict[str, Any] = json.loads(request.content)
    assert body.keys() <= {"topic", "title", "message", "tags", "priority", "click", "actions", "sequence_id"}
    assert 0 < len(body["message"].encode()) <= 4095
    assert isinstance(body["priority"], int) and 1 <= body["priority"] <= 5
    return body


class TestNtfy(HttpNotifierContract):
    notifier_class = Ntfy
    good = Answer(body=b'{"id":"Xzy12","time":1,"event":"message","topic":"backups","message":"x"}')
    delivered = frozenset({200, 201, 202})

    @pytest.fixture
    def settings(self, receiver: Receiver, timeout: str) -> dict[str, Any]:
        return {
            "topic": "backups",
            "server": receiver.url,
            "username": "me",
            "password": "ntfy-password",
            "access_token": "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2",
            "events": EVENTS,
            "timeout": timeout,
        }

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"error":"x"}'])
    def test_an_answer_without_an_id_is_a_failure(self, endpoint: Endpoint, receiver: Receiver, body: bytes) -> None:
        receiver.answer(200, body=body)
        assert "check server" in refusal(endpoint).sentence


def test_the_seed_is_sent_as_borgmatic_sends_it() -> None:
    for kind, state, tags, priority in (
        ("backup_start", "start", ["borgmatic"], 1),
        ("backup_success", "finish", ["borgmatic", "+1"], 1),
        ("backup_failure", "fail", ["borgmatic", "-1", "skull"], 5),
    ):
        body = sent(message(kind), **SEED)
        own: Any = SEED[state]
        assert body == {
            "topic": "my-unique-topic",
            "title": own["title"],
            "message": own["message"],
            "tags": tags,
            "priority": priority,
            "sequence_id": message().id,
        }


def test_without_blocks_it_says_what_happened() -> None:
    body = sent(message("backup_failure"))
    assert (body["title"], body["tags"], body["priority"]) == ("Backup of Mysql 1 failed", ["rotating_light"], 4)
    assert "quota exceeded" in body["message"]
    assert sent(message("backup_success"))["tags"] == ["white_check_mark"]


def test_only_failures_are_told_by_default() -> None:
    (endpoint,) = Ntfy.model_validate({"topic": "backups"}).endpoints()
    assert list(endpoint.events) == ["backup_failure", "backup_late", "backup_missed", "verify_failure"]


@pytest.mark.parametrize(
    ("settings", "login"),
    [
        ({}, None),
        ({"username": "me", "password": "pass wörd"}, "Basic bWU6cGFzcyB3w7ZyZA=="),
        ({"access_token": " tk_x\n"}, "Bearer tk_x"),
        ({"access_token": "tk_x", "username": "me", "password": "x"}, "Bearer tk_x"),
    ],
)
def test_who_publishes(settings: dict[str, Any], login: str | None) -> None:
    request = Ntfy.model_validate({"topic": "backups", **settings}).request(message())
    assert request.headers.get("Authorization") == login


@pytest.mark.parametrize("odd", [*ODD_TEXTS.values(), "\\" * 9000, '"' * 9000, "\x01" * 9000, "🎉" * 5000])
def test_the_limits_hold_whatever_is_said(odd: str) -> None:
    sent(message("backup_failure", odd))
    sent(replace(message("backup_failure"), log=[odd] * 10), send_logs=True)
    sent(message("backup_failure"), fail={"title": odd, "message": odd, "click": "https://x.example/" + "y" * 500})


def test_the_newest_lines_of_the_log_come_when_asked_for() -> None:
    event = replace(message("backup_failure"), log=[f"line {number}" for number in range(5000)])
    assert sent(event, send_logs=True)["message"].endswith("line 4999")
    assert "line" not in sent(event)["message"]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"topic": "two words"}, "pattern"),
        ({"topic": "docs"}, "keeps for itself"),
        ({"topic": "x", "username": "me"}, "belong together"),
        ({"topic": "x", "password": "x"}, "belong together"),
        ({"topic": "x", "access_token": "tk_x\u200b"}, "access_token holds a character that no header can carry"),
        ({"topic": "x", "fail": {"priority": "9"}}, "1 to 5"),
        ({"topic": "x", "fail": {"priority": "loud"}}, "1 to 5"),
        ({}, "topic is required"),
    ],
)
def test_mistakes_are_found_when_it_is_loaded(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Ntfy.model_validate(settings)
