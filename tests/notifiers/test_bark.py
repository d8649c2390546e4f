"""Bark: one push within Apple's limit, loud when it must be, with the key where the server looks for it."""

import json
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from backupman.notifiers import Endpoint
from backupman.notifiers.bark import Bark
from tests.contracts.notifier import EVENTS, ODD_TEXTS, HttpNotifierContract, message, refusal
from tests.servers.receiver import Answer, Receiver

KEY = "ynJ5Ft4atkMkWeo2PAvFhF"


def request_of(kind: str = "backup_failure", text: str = "", **settings: Any) -> httpx.Request:
    request = Bark.model_validate({"url": f"https://api.day.app/{KEY}", **settings}).request(message(kind, text))
    assert request.method == "POST"
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert len(request.content) <= 4096
    return request


def sent(kind: str = "backup_failure", text: str = "", **settings: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request_of(kind, text, **settings).content)
    assert isinstance(body["group"], str)
    return body


class TestBark(HttpNotifierContract):
    notifier_class = Bark
    good = Answer(body=b'{"code":200,"message":"success","timestamp":1751450700}')
    delivered = frozenset({200, 201, 202})

    @pytest.fixture
    def settings(self, receiver: Receiver, timeout: str) -> dict[str, Any]:
        return {"url": f"{receiver.url}/push", "device_key": KEY, "events": EVENTS, "timeout": timeout}

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"[]",
            b'{"code":400,"message":"device key is empty"}',
            b'{"code":200,"data":[{"code":200},{"code":410}]}',
        ],
    )
    def test_an_answer_that_does_not_say_200_is_a_failure(
        self, endpoint: Endpoint, receiver: Receiver, body: bytes
    ) -> None:
        receiver.answer(200, body=body)
        assert not refusal(endpoint).permanent


def test_the_key_stands_in_the_address() -> None:
    request = request_of()
    assert str(request.url) == f"https://api.day.app/{KEY}"
    assert "device_key" not in json.loads(request.content)


@pytest.mark.parametrize("place", ["{key}", "{device_key}"])
def test_a_placeholder_of_the_address_is_filled(place: str) -> None:
    request = request_of(url=f"https://bark.example.com/{place}", device_key=KEY)
    assert str(request.url) == f"https://bark.example.com/{KEY}"
    assert "device_key" not in json.loads(request.content)


def test_the_key_stands_in_the_body_where_the_address_ends_in_push() -> None:
    request = request_of(url="https://api.day.app/push", device_key=KEY)
    assert json.loads(request.content)["device_key"] == KEY
    with pytest.raises(ValidationError, match="device_key is required where url ends in /push"):
        Bark.model_validate({"url": "https://api.day.app/push"})


@pytest.mark.parametrize(
    ("kind", "level"), [("backup_success", "passive"), ("backup_failure", "critical"), ("backup_start", "active")]
)
def test_levels(kind: str, level: str) -> None:
    assert sent(kind)["level"] == level
    assert sent(kind, level="timeSensitive")["level"] == "timeSensitive"


def test_what_is_said() -> None:
    body = sent()
    assert body["title"] == "Backup of Mysql 1 failed"
    assert body["body"].splitlines()[-6:] == [
        "Job: nightly",
        "Database: shop",
        "Host: db1",
        "Comment: before the upgrade",
        "Size: 42.9 MiB",
        "Took: 5 min",
    ]
    assert "quota exceeded" in body["body"]
    marked = sent(markdown=True)
    assert "body" not in marked
    assert "- **Job**: nightly" in marked["markdown"]
    assert sent(body="Look at it")["body"] == "Look at it"


def test_everything_that_can_be_set_is_sent() -> None:
    body = sent(
        group="prime_backup",
        sound="minuet",
        badge=1,
        volume=7,
        icon="https://x.example/i.png",
        click="https://x.example",
        call=True,
        autoCopy=True,
        isArchive=False,
    )
    assert {name: body[name] for name in body.keys() - {"title", "body", "level", "id"}} == {
        "group": "prime_backup",
        "sound": "minuet",
        "badge": 1,
        "volume": 7,
        "icon": "https://x.example/i.png",
        "url": "https://x.example",
        "call": "1",
        "autoCopy": "1",
        "isArchive": "0",
    }
    assert len(body["id"]) <= 64


@pytest.mark.parametrize("odd", [*ODD_TEXTS.values(), "\\" * 9000, "🎉" * 5000])
def test_apples_limit_holds_whatever_is_said(odd: str) -> None:
    sent(text=odd)
    sent(body=odd)
