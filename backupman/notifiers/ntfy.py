"""ntfy: a push to everybody who has subscribed to a topic, on ntfy.sh or a server of your own.

Published as JSON: https://docs.ntfy.sh/publish/#publish-as-json. A message above 4,095 bytes would become an
attachment, and a whole above 8,192 is refused, so both are cut here. A second try replaces the first by `sequence_id`.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

import httpx
from pydantic import BeforeValidator, Field, SecretStr, model_validator

from backupman.errors import NotifyError
from backupman.notifiers import Message, PerState, State, events_of
from backupman.notifiers._fitting import fitting
from backupman.notifiers._http import Answer, HttpNotifier, Server, basic
from backupman.notifiers._network import HeaderKey
from backupman.notifiers._words import text, text_with_log, title
from backupman.registry import Settings
from backupman.text import cut, one_line

_MESSAGE_LENGTH, _WHOLE_LENGTH, _TITLE_LENGTH = 4_095, 8_192, 250
"""Bytes."""
_PRIORITIES = {"min": 1, "low": 2, "default": 3, "high": 4, "urgent": 5, "max": 5}
_RESERVED = frozenset({"docs", "static", "file", "app", "metrics", "account", "settings", "signup", "login", "v1"})


def _number(value: object) -> object:
    """`max`, `high`, … as the number that the server wants."""
    name = str(value).strip().lower()
    if name not in _PRIORITIES and name not in {"1", "2", "3", "4", "5"}:
        raise ValueError(f"priority should be 1 to 5 or one of {', '.join(_PRIORITIES)}")
    return _PRIORITIES.get(name) or int(name)


def _words(value: object) -> object:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


Priority = Annotated[int, BeforeValidator(_number)]
Tags = Annotated[list[str], BeforeValidator(_words)]


class Push(Settings):
    """What a push of one state looks like."""

    title: str | None = Field(default=None, description="Instead of Backupman's own.")
    message: str | None = Field(default=None, description="Instead of Backupman's own.")
    tags: Tags | None = Field(
        default=None, description="A list, or words between commas; names of emojis become emojis."
    )
    priority: Priority | None = Field(default=None, description="1 to 5, or `min`, `low`, `default`, `high`, `max`.")
    click: str | None = Field(default=None, description="The address that a click on it opens.")
    actions: list[dict[str, Any]] | None = Field(default=None, description="Buttons, as ntfy documents them.")


_USUAL: Mapping[State, Push] = {
    State.START: Push(tags=["hourglass_flowing_sand"], priority=2),
    State.FINISH: Push(tags=["white_check_mark"], priority=3),
    State.FAIL: Push(tags=["rotating_light"], priority=4),
    State.LOG: Push(priority=3),
}


class Ntfy(PerState[Push], HttpNotifier):
    """One topic."""

    needs = ("topic",)
    default_events = events_of(State.FAIL)

    topic: str = Field(
        default="",
        pattern=r"^([-_A-Za-z0-9]{1,64})?$",
        description="Who knows its name can read it on a public server.",
    )
    server: Server = Field(default="https://ntfy.sh", description="The server's address, without the topic.")
    username: str | None = Field(default=None, description="With `password`.")
    password: SecretStr | None = Field(default=None, description="With `username`.")
    access_token: HeaderKey | None = Field(default=None, description="Instead of both; it goes before them.")
    send_logs: bool = Field(default=False, description="Sends the newest lines of the log too.")

    @model_validator(mode="after")
    def _can_log_in(self) -> Self:
        if self.topic in _RESERVED:
            raise ValueError(f"topic {self.topic} is a name that ntfy keeps for itself")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: write both, or access_token alone")
        return self

    def request(self, message: Message) -> httpx.Request:
        own, usual = self.block_of(message) or Push(), _USUAL[message.state]
        body = {
            "topic": self.topic,
            "title": cut(one_line(own.title or title(message), _TITLE_LENGTH), _TITLE_LENGTH),
            "tags": usual.tags if own.tags is None else own.tags,
            "priority": own.priority or usual.priority,
            "click": own.click,
            "actions": own.actions,
            "sequence_id": message.id,
        }
        body = {key: value for key, value in body.items() if value not in (None, [])}
        told = own.message or self._text(message) or str(body["title"])
        return httpx.Request(
            "POST",
            f"{self.server}/",
            headers={"Content-Type": "application/json"} | self._login(),
            content=fitting(body, "message", told, text_bytes=_MESSAGE_LENGTH, whole_bytes=_WHOLE_LENGTH),
        )

    def _text(self, message: Message) -> str:
        return (text_with_log if self.send_logs else text)(message, _MESSAGE_LENGTH)

    def _login(self) -> dict[str, str]:
        if self.access_token:
            return {"Authorization": f"Bearer {self.access_token.get_secret_value()}"}
        if self.username is not None and self.password is not None:
            return {"Authorization": basic(self.username, self.password)}
        return {}

    def check(self, answer: Answer) -> None:
        try:
            arrived = bool(json.loads(answer.body)["id"])
        except (ValueError, TypeError, KeyError):
            arrived = False
        if not arrived:
            raise NotifyError(
                f"{self.named()}: the answer {answer.status} is not ntfy's: check server", answer=answer.text
            )
