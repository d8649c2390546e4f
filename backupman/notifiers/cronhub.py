"""Cronhub: start, finish and fail in the segment of the ping URL that says which; the service has been shut down.

What replaces what is known from borgmatic, which dropped the service in version 2.1.7.
"""

import httpx
from pydantic import Field, SecretStr, field_validator

from backupman.notifiers import Message, State
from backupman.notifiers._pings import PingedNotifier, PingUrl, filled

_WORDS = ("start", "ping", "finish", "fail")


class Cronhub(PingedNotifier):
    """One monitor, or with placeholders in its URL one for each job, source or database."""

    needs = ("ping_url",)

    ping_url: PingUrl = Field(default=SecretStr(""), description="The monitor's URL, with `/start/` or `/ping/` in it.")

    @field_validator("ping_url")
    @classmethod
    def _says_which(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and _place(value) is None:
            raise ValueError("ping_url has no /start/ or /ping/ in it: take it as Cronhub shows it")
        return value

    def request(self, message: Message) -> httpx.Request | None:
        place = _place(self.ping_url)
        if message.state == State.LOG or place is None:
            return None
        segments = self.ping_url.get_secret_value().split("/")
        segments[place] = message.state.value
        return httpx.Request("GET", filled("/".join(segments), message))

    def warnings(self) -> list[str]:
        gone = f"{self.named()}: Cronhub is reported to have been shut down, so nobody may be told: take healthchecks"
        return [*super().warnings(), *([gone] if self.enabled else [])]


def _place(url: SecretStr) -> int | None:
    """Which piece of the URL says the state: never the host, and the last of several."""
    segments = url.get_secret_value().split("/")
    return next((place for place in range(len(segments) - 1, 2, -1) if segments[place] in _WORDS), None)
