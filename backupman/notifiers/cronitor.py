"""Cronitor: telemetry pings with run, complete and fail, their series, message and metrics.

Parameters: https://cronitor.io/docs/telemetry-api. A monitor's short address (`https://cronitor.link/d3x0c1`) takes the
state in its path and nothing else, as borgmatic sends it.
"""

import httpx
from pydantic import Field, SecretStr

from backupman.notifiers import Message, State
from backupman.notifiers._pings import PingedNotifier, PingUrl, ping_url, run_of
from backupman.notifiers._words import sentence, title
from backupman.text import cut, one_line

_STATES = {State.START: "run", State.FINISH: "complete", State.FAIL: "fail"}
_MESSAGE_LENGTH, _HOST_LENGTH = 1_000, 50


class Cronitor(PingedNotifier):
    """One monitor, or with placeholders in its URL one for each job, source or database."""

    needs = ("ping_url",)

    ping_url: PingUrl = Field(
        default=SecretStr(""), description="The monitor's URL, or `https://cronitor.link/p/<API key>/<monitor>`."
    )
    environment: str | None = Field(default=None, max_length=100, description="Of the monitor, sent as `env`.")

    def request(self, message: Message) -> httpx.Request | None:
        state = _STATES.get(message.state)
        if state is None:
            return None
        if not self._takes_parameters:
            return httpx.Request("GET", ping_url(self.ping_url, message, state))
        told = one_line(f"{title(message)}: {sentence(message)} {message.payload.get('Error') or ''}", 2_000)
        url = ping_url(
            self.ping_url,
            message,
            state=state,
            series=run_of(message),
            message=cut(told, _MESSAGE_LENGTH),
            metric=_metrics(message) or None,
            host=one_line(str(message.payload.get("Instance") or ""), _HOST_LENGTH) or None,
            env=self.environment,
            stamp=f"{message.time.timestamp():.3f}",
        )
        return httpx.Request("GET", url)

    @property
    def _takes_parameters(self) -> bool:
        """Whether the URL has `/p/<API key>/<monitor>` or `/ping/…` in it."""
        segments = httpx.URL(self.ping_url.get_secret_value()).path.split("/")
        return len(segments) > 3 and segments[-3] in ("p", "ping")


def _metrics(message: Message) -> list[str]:
    """Seconds, stored bytes and drives that failed, of a backup that has ended."""
    backup = message.payload
    if "DriveFiles" not in backup or message.state == State.START:
        return []
    lost = sum(file["Status"] == "failed" for file in backup["DriveFiles"] or [])
    known = {"duration": backup.get("Seconds"), "length": backup.get("StoredSize"), "error_count": lost}
    return [f"{name}:{round(value, 3)}" for name, value in known.items() if value is not None]
