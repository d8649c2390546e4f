"""Uptime Kuma: pushes of up and down to a monitor of the type Push.

Known from Uptime Kuma 2.5: only the query of a GET is read, every failure of any kind is a 404, and `status` is up only
where it stands once and says `up`.
"""

import json

import httpx
from pydantic import Field, SecretStr

from backupman.errors import NotifyError
from backupman.notifiers import Message, State, events_of
from backupman.notifiers._http import Answer
from backupman.notifiers._pings import PingedNotifier, PingUrl, ping_url
from backupman.notifiers._words import sentence, title
from backupman.text import cut, one_line

_STATUSES = {State.START: "up", State.FINISH: "up", State.FAIL: "down"}
_MESSAGE_LENGTH = 600
"""Bytes; written as %XX three times as many, of which Node takes 16 KiB with everything else."""


class UptimeKuma(PingedNotifier):
    """One monitor."""

    needs = ("push_url",)
    # A start sent as `up` would clear yesterday's failure before anything was backed up.
    default_events = events_of(State.FINISH, State.FAIL)
    retried = frozenset({404})

    push_url: PingUrl = Field(
        default=SecretStr(""), description="The monitor's push URL; what follows `?` is left out."
    )

    def request(self, message: Message) -> httpx.Request | None:
        status = _STATUSES.get(message.state)
        if status is None:
            return None
        told = one_line(f"{title(message)}: {message.payload.get('Error') or sentence(message)}", 2_000)
        seconds = message.payload.get("Seconds")
        duration = None if seconds is None or message.state == State.START else str(round(seconds * 1000))
        url = ping_url(self.push_url, message, status=status, msg=cut(told, _MESSAGE_LENGTH), ping=duration)
        return httpx.Request("GET", url)

    def check(self, answer: Answer) -> None:
        try:
            ok = json.loads(answer.body)["ok"] is True
        except (ValueError, TypeError, KeyError):
            ok = False
        if not ok:
            raise NotifyError(
                f"{self.named()}: the answer {answer.status} is not Uptime Kuma's: check push_url", answer=answer.text
            )
