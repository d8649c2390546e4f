"""Apprise: every service by itself, through the real library, and nothing of its URL in what is said."""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from backupman.notifiers import Endpoint, Message
from backupman.notifiers.apprise import Apprise
from tests.contracts.notifier import EVENTS, NotifierContract, deliver, message, refusal
from tests.servers.receiver import Receiver

PASSWORD = "pässwörd-of-apprise"


def service(receiver: Receiver, path: str = "hook-0a1b2c3d", login: str = "") -> str:
    """A URL of the library's plugin that posts JSON."""
    return f"json://{login}{receiver.url.removeprefix('http://')}/{path}"


class TestApprise(NotifierContract):
    notifier_class = Apprise

    @pytest.fixture
    def settings(self, receiver: Receiver, timeout: str) -> dict[str, Any]:
        url = service(receiver, login="me:apprise-password@")
        return {"services": [{"url": url, "label": "json"}], "events": EVENTS, "timeout": timeout}

    @pytest.fixture
    def arrived(self, receiver: Receiver) -> Callable[[], list[str]]:
        return lambda: [json.dumps(json.loads(request.body), ensure_ascii=False) for request in receiver.requests]

    @pytest.fixture
    def faults(self, receiver: Receiver) -> dict[str, Callable[[], object]]:
        return {
            "busy": lambda: receiver.answer(503, body=b"later"),
            "refuse": lambda: receiver.answer(403, body=b"you may not"),
            "stall": lambda: receiver.answer(delay=30),
            "drop": lambda: receiver.answer(drop=True),
            "echo": lambda: receiver.answer(400, body=b"me:apprise-password@ hook-0a1b2c3d"),
        }


def sent(receiver: Receiver, event: Message, **settings: Any) -> dict[str, Any]:
    """What arrives of an event."""
    block = {"services": [{"url": service(receiver)}], **settings}
    asyncio.run(Apprise.model_validate(block).endpoints()[0].send(event))
    body: dict[str, Any] = json.loads(receiver.requests[-1].body)
    return body


def test_what_is_said_by_default(receiver: Receiver) -> None:
    body = sent(receiver, replace(message("backup_failure"), log=["one", "two"]))
    assert (body["title"], body["type"]) == ("Backup of Mysql 1 failed", "failure")
    assert "quota exceeded" in body["message"]
    assert body["message"].endswith("one\ntwo")
    assert (
        "two" not in sent(receiver, replace(message("backup_failure"), log=["one", "two"]), send_logs=False)["message"]
    )


def test_the_words_of_the_config_and_the_newest_of_the_log(receiver: Receiver) -> None:
    event = replace(message("backup_failure"), log=[f"line {number}" for number in range(100)])
    fail = {"title": "Ping!", "body": "Your backups have failed."}
    body = sent(receiver, event, fail=fail, logs_size_limit=60)
    assert body["title"] == "Ping!"
    words, _, log = body["message"].partition("\n\n")
    assert words == "Your backups have failed."
    assert log.startswith("...\n") and log.endswith("line 98\nline 99")
    assert 50 < len(log.encode()) <= 60
    assert sent(receiver, message("backup_success"), fail=fail)["title"] == "Backup of Mysql 1 finished"


@pytest.mark.parametrize("body", [None, "Call the night shift now." * 25])
@pytest.mark.parametrize("send_logs", [True, False])
def test_a_limit_of_the_log_cuts_nothing_but_the_log(receiver: Receiver, body: str | None, send_logs: bool) -> None:
    error = "My Google Drive: " + "x" * 683
    event = replace(message("backup_failure", Error=error), log=[f"line {number}" for number in range(200)])
    told = sent(receiver, event, logs_size_limit=500, send_logs=send_logs, fail={"body": body})["message"]
    words = body or f"{error}\n\n- the table t uses MyISAM"
    before, _, log = told.rpartition(words)
    assert before in ("", "Mysql 1 is not backed up: no drive holds this dump.\n\n")
    if send_logs:
        assert log.startswith("\n\n...\n") and log.endswith("line 199")
        assert 490 < len(log.strip()) <= 500
    else:
        assert log == ""


@pytest.mark.parametrize("limit", [0, 500, 100_000])
def test_a_service_is_sent_no_more_than_it_takes(receiver: Receiver, limit: int) -> None:
    event = replace(message("backup_failure", Error="e" * 1_000), log=["line"] * 20_000)
    for fail in ({}, {"body": "Ж" * 30_000}):
        told = sent(receiver, event, logs_size_limit=limit, fail=fail)["message"]
        assert len(told.encode()) <= 32_768, "what the library's plugin for JSON takes"
    assert len(sent(receiver, event, logs_size_limit=0)["message"]) > 32_000


def test_every_service_is_an_endpoint(receiver: Receiver) -> None:
    block = {
        "services": [
            {"url": "gotify://hostname/token", "label": "gotify"},
            {"url": "mastodons://access_key@hostname/@user", "label": "mastodon"},
            {"url": service(receiver)},
        ],
        "states": ["start", "finish", "fail"],
        "label": "ops",
    }
    notifier = Apprise.model_validate(block)
    endpoints = notifier.endpoints()
    assert [endpoint.name for endpoint in endpoints] == ["apprise/ops/gotify", "apprise/ops/mastodon", "apprise/ops/3"]
    assert "backup_start" in endpoints[0].events
    assert notifier.warnings() == []


def test_only_failures_are_told_by_default(receiver: Receiver) -> None:
    (endpoint,) = Apprise.model_validate({"services": [{"url": service(receiver)}]}).endpoints()
    assert list(endpoint.events) == ["backup_failure", "backup_late", "backup_missed", "verify_failure"]


def test_tags_choose_who_is_told_of_a_state(receiver: Receiver) -> None:
    block = {
        "services": [{"url": service(receiver, "a"), "tags": ["night"]}, {"url": service(receiver, "b")}],
        "fail": {"tags": ["night"]},
    }
    for endpoint in Apprise.model_validate(block).endpoints():
        deliver(endpoint, "backup_failure")
    assert [request.path for request in receiver.requests] == ["/a"]


@pytest.mark.parametrize(("status", "permanent"), [(400, True), (404, True), (429, False), (408, False), (500, False)])
def test_what_may_pass_is_tried_again(receiver: Receiver, status: int, permanent: bool) -> None:
    receiver.answer(status)
    error = refusal(only(receiver))
    assert error.permanent == permanent
    assert str(status) in error.sentence


def test_a_url_that_nobody_knows_is_said_at_once_and_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    notifier = Apprise.model_validate({"services": [{"url": "nosuch://very-secret-token"}]})
    error = refusal(notifier.endpoints()[0])
    assert error.permanent
    assert "knows no such url" in error.sentence
    assert "very-secret-token" not in f"{error.sentence}{error.answer}{caplog.text}"


def test_a_service_that_hangs_takes_no_thread_that_others_need(receiver: Receiver) -> None:
    receiver.answer(delay=60)

    async def beside() -> str:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        sending = asyncio.create_task(only(receiver).send(message("backup_failure")))
        while not receiver.requests:
            await asyncio.sleep(0.01)
        try:
            return await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 5)
        finally:
            sending.cancel()

    assert asyncio.run(beside()) == "free"


def only(receiver: Receiver) -> Endpoint:
    return Apprise.model_validate({"services": [{"url": service(receiver)}]}).endpoints()[0]


def test_mistakes_are_found_when_it_is_loaded() -> None:
    for settings, why in (({}, "services is required"), ({"services": [{"url": ""}]}, "at least 1")):
        with pytest.raises(ValidationError, match=why):
            Apprise.model_validate(settings)


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backupman.notifiers.apprise.find_spec", lambda name: None)
    with pytest.raises(ValidationError, match=r"pip install 'backupman\[notifiers\]'"):
        Apprise.model_validate({"services": [{"url": "json://localhost"}]})
    Apprise.model_validate({"enabled": False})
