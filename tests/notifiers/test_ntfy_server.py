"""ntfy's own server takes what we send it: every event, any text, each login, and what a state is configured to say."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from backupman.errors import NotifyError
from backupman.notifiers import Message
from backupman.notifiers.ntfy import Ntfy
from tests.contracts.notifier import EVENTS, ODD_TEXTS, message
from tests.servers.ntfy import NtfyServer

pytestmark = pytest.mark.service("ntfy")


@pytest.fixture
def settings(ntfy: NtfyServer) -> dict[str, Any]:
    return {"topic": f"t-{uuid4().hex}", "server": ntfy.url, "username": ntfy.username, "password": ntfy.password}


def publish(settings: dict[str, Any], event: Message) -> str:
    [endpoint] = Ntfy.model_validate(settings).endpoints()
    return asyncio.run(endpoint.send(event))


def test_every_event_is_taken(ntfy: NtfyServer, settings: dict[str, Any]) -> None:
    for kind in EVENTS:
        publish(settings, message(kind))
    taken = ntfy.taken(settings["topic"])
    assert len(taken) == len(EVENTS)
    assert all("Mysql 1" in each["title"] + each["message"] and "attachment" not in each for each in taken)


@pytest.mark.parametrize("odd", ODD_TEXTS)
def test_any_text_is_a_message_and_no_attachment(ntfy: NtfyServer, settings: dict[str, Any], odd: str) -> None:
    publish(settings, message("backup_failure", ODD_TEXTS[odd]))
    publish(settings, message("backup_failure", Error="Ж" * 10_000))
    for each in ntfy.taken(settings["topic"]):
        assert each["title"].startswith("Backup of Mysql 1") and "attachment" not in each


def test_a_state_looks_as_it_is_configured(ntfy: NtfyServer, settings: dict[str, Any]) -> None:
    view = {"action": "view", "label": "Look", "url": "https://backups.example.com"}
    fail = {"title": "It failed", "message": "Fix it", "tags": "borgmatic,-1,skull", "priority": "max"}
    publish(settings | {"fail": fail | {"click": view["url"], "actions": [view]}}, message("backup_failure"))
    [taken] = ntfy.taken(settings["topic"])
    assert (taken["title"], taken["message"], taken["priority"]) == ("It failed", "Fix it", 5)
    assert (taken["tags"], taken["click"]) == (["borgmatic", "-1", "skull"], view["url"])
    assert taken["actions"][0]["url"] == view["url"]


def test_a_token_goes_before_the_password(ntfy: NtfyServer, settings: dict[str, Any]) -> None:
    publish(settings | {"access_token": ntfy.token, "password": "wrong"}, message())
    assert len(ntfy.taken(settings["topic"])) == 1


@pytest.mark.parametrize(
    "login",
    [{"password": "wrong"}, {"access_token": "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2"}, {"username": None, "password": None}],
)
def test_who_may_not_publish_is_told_so_for_good(
    ntfy: NtfyServer, settings: dict[str, Any], login: dict[str, Any]
) -> None:
    with pytest.raises(NotifyError, match="check the token or password") as raised:
        publish(settings | login, message())
    assert raised.value.permanent
    assert ntfy.password not in raised.value.answer + raised.value.sentence
    assert ntfy.taken(settings["topic"]) == []
