"""Healthchecks: pings of start, success, failure and log, with the newest lines of the run, hosted or on your own.

Paths, `rid`, `create` and the limit of the body: https://healthchecks.io/docs/http_api/.
"""

from typing import Annotated
from uuid import UUID

import httpx
from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr

from backupman.errors import NotifyError
from backupman.events import EventKind
from backupman.notifiers import Message, State
from backupman.notifiers._http import Answer
from backupman.notifiers._pings import PingedNotifier, PingUrl, ping_url, run_of
from backupman.notifiers._words import text_with_log, title
from backupman.registry import Size
from backupman.text import cut

_HOSTED = "hc-ping.com"
_HOSTED_LIMIT, _OWN_LIMIT, _MOST = 100_000, 10_000, 2_000_000
"""Bytes: of the hosted service, of a server by default, and of what Django takes as a whole."""
_SUFFIXES = {State.START: ["start"], State.FINISH: [], State.FAIL: ["fail"], State.LOG: ["log"]}
_STATUSES = {State.FINISH: ["0"], State.FAIL: ["1"]}


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _whole(value: object) -> object:
    return f"https://{_HOSTED}/{value.strip()}" if isinstance(value, str) and _is_uuid(value.strip()) else value


class Healthchecks(PingedNotifier):
    """One check, or with placeholders in its URL one for each job, source or database."""

    needs = ("ping_url",)
    tried_by = (EventKind.NOTIFICATION,)

    ping_url: Annotated[PingUrl, BeforeValidator(_whole)] = Field(
        default=SecretStr(""),
        description="The check's URL, its UUID alone, or `https://hc-ping.com/<ping key>/<slug>`.",
    )
    create_slug: bool = Field(default=False, description="Makes a check that is not there, of a URL with a slug.")
    send_logs: bool = Field(default=True, description="Sends the outcome, the error and the newest lines of the log.")
    ping_body_limit: Annotated[Size, Field(ge=0)] | None = Field(
        default=None, description="Bytes of that; default what the server says, `0` as much as it can take."
    )
    exit_status: bool = Field(default=False, description="Tells success and failure as exit status 0 and 1.")

    _said_limit: int | None = PrivateAttr(default=None)

    def request(self, message: Message) -> httpx.Request:
        suffixes = _SUFFIXES | (_STATUSES if self.exit_status else {})
        create = "1" if self.create_slug and not self._has_uuid else None
        url = ping_url(self.ping_url, message, *suffixes[message.state], rid=run_of(message), create=create)
        says = self.send_logs and message.state != State.START
        return httpx.Request("POST", url, content=self._body(message).encode() if says else b"")

    def _body(self, message: Message) -> str:
        """What came of it and the newest lines: a server keeps the beginning, so that what is too long is cut here."""
        head = cut(f"{title(message)}\n\n", self._limit)
        return head + text_with_log(message, self._limit - len(head.encode()))

    def check(self, answer: Answer) -> None:
        """Take note of the limit, and refuse what older servers answer where there is no such check."""
        said = answer.headers.get("Ping-Body-Limit", "")
        self._said_limit = int(said) if said.isdecimal() and len(said) < 10 else self._said_limit
        if answer.body.startswith(b"OK (not found)"):
            raise NotifyError(f"{self.named()}: there is no such check: correct ping_url", permanent=True)

    def warnings(self) -> list[str]:
        useless = self.enabled and self.create_slug and self._has_uuid
        return super().warnings() + [f"{self.named()}: create_slug does nothing for a UUID"] * useless

    @property
    def _has_uuid(self) -> bool:
        return _is_uuid(self.ping_url.get_secret_value().rsplit("/", 1)[-1])

    @property
    def _limit(self) -> int:
        """The configured one or the usual one, but never more than the server has said that it keeps."""
        usual = _HOSTED_LIMIT if httpx.URL(self.ping_url.get_secret_value()).host == _HOSTED else _OWN_LIMIT
        chosen = (self._said_limit or usual) if self.ping_body_limit is None else self.ping_body_limit or _MOST
        return min(chosen, self._said_limit or _MOST, _MOST)
