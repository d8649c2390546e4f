"""Bark: a push to iPhones, by the server of its makers or one of your own.

Fields: https://github.com/Finb/bark-server/blob/master/docs/API_V2.md. Apple takes 4,096 bytes of the whole, so title
and text are cut. The key stands in the address, or in the body where the address ends in `/push`, as Prime Backup's
config has it; the levels are Prime Backup's too.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

import httpx
from pydantic import Field, SecretStr, model_validator

from backupman.errors import NotifyError
from backupman.notifiers import Message, State
from backupman.notifiers._fitting import fitting
from backupman.notifiers._http import Address, Answer, HttpNotifier
from backupman.notifiers._words import text, title
from backupman.text import cut, one_line, size, span

_WHOLE_LENGTH, _TITLE_LENGTH = 3_500, 250
"""Bytes."""
_LEVELS: Mapping[State, str] = {State.FINISH: "passive", State.FAIL: "critical"}


class Bark(HttpNotifier):
    """One device."""

    needs = ("url",)

    url: Address = Field(
        default=SecretStr(""), description="`https://api.day.app/<key>`, or `…/push` with a `device_key`."
    )
    device_key: SecretStr | None = Field(default=None, description="The key, where it does not stand in `url`.")
    level: Literal["critical", "timeSensitive", "active", "passive"] | None = Field(
        default=None, description="How loud; default `critical` for failures, `passive` for successes, else `active`."
    )
    group: str = Field(default="backupman", description="Pushes of one group stand together.")
    sound: str | None = Field(default=None, description="The name of a sound.")
    volume: int | None = Field(default=None, ge=0, le=10, description="Of a critical push, 0 to 10.")
    badge: int | None = Field(default=None, ge=0, description="The number on the icon.")
    icon: str | None = Field(default=None, description="The address of a picture.")
    click: str | None = Field(default=None, description="The address that a tap opens.")
    body: str | None = Field(default=None, description="Instead of Backupman's own text.")
    markdown: bool = Field(default=False, description="Writes the text as Markdown.")
    call: bool = Field(default=False, description="Rings for 30 seconds.")
    auto_copy: bool = Field(default=False, alias="autoCopy", description="Copies the text.")
    is_archive: bool | None = Field(default=None, alias="isArchive", description="Whether the app keeps it.")

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.enabled and self._ends_in_push and not (self.device_key and self.device_key.get_secret_value()):
            raise ValueError("device_key is required where url ends in /push")
        return self

    @property
    def _ends_in_push(self) -> bool:
        return httpx.URL(self.url.get_secret_value()).path.rstrip("/").endswith("/push")

    def request(self, message: Message) -> httpx.Request:
        key = self.device_key.get_secret_value().strip() if self.device_key else ""
        url = self.url.get_secret_value()
        for place in ("{device_key}", "{key}", "%7Bdevice_key%7D", "%7Bkey%7D"):
            url = url.replace(place, key)
        push: dict[str, Any] = {
            "title": cut(title(message), _TITLE_LENGTH),
            "level": self.level or _LEVELS.get(message.state, "active"),
            "group": self.group,
            "sound": self.sound,
            "volume": self.volume,
            "badge": self.badge,
            "icon": self.icon,
            "url": self.click,
            "call": "1" if self.call else None,
            "autoCopy": "1" if self.auto_copy else None,
            "isArchive": None if self.is_archive is None else str(int(self.is_archive)),
            "id": message.id,  # a second try takes the place of the first
            "device_key": key if self._ends_in_push else None,
        }
        push = {name: value for name, value in push.items() if value is not None}
        content = fitting(
            push,
            "markdown" if self.markdown else "body",
            self.body or self._text(message),
            text_bytes=_WHOLE_LENGTH,
            whole_bytes=_WHOLE_LENGTH,
        )
        return httpx.Request("POST", url, headers={"Content-Type": "application/json; charset=utf-8"}, content=content)

    def _text(self, message: Message) -> str:
        """What happened, and below it what is known in single words."""
        form = "- **{}**: {}" if self.markdown else "{}: {}"
        lines = [form.format(name, one_line(str(value), 200)) for name, value in _details(message.payload) if value]
        return "\n\n".join(part for part in (text(message, _WHOLE_LENGTH), "\n".join(lines)) if part)

    def check(self, answer: Answer) -> None:
        """Both the answer and that of every device in it must say 200."""
        try:
            said = json.loads(answer.body)
            codes = [said["code"], *(each["code"] for each in said.get("data") or [] if "code" in each)]
        except (ValueError, TypeError, KeyError, AttributeError):
            codes = []
        if not codes or any(code != 200 for code in codes):
            raise NotifyError(
                f"{self.named()}: the answer {answer.status} accepts no push: check url and key", answer=answer.text
            )


def _details(known: Mapping[str, Any]) -> list[tuple[str, object]]:
    return [
        ("Job", known.get("Job")),
        ("Database", known.get("Database")),
        ("Host", known.get("Instance")),
        ("Operator", known.get("Operator")),
        ("Comment", known.get("Comment")),
        ("Size", size(known.get("StoredSize"))),
        ("Took", span(known.get("Seconds"))),
    ]
