"""Grafana Loki: every event as a line, and the log of the backup's run before it, by the push API.

Format: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs. Times are strings of nanoseconds that
grow in a stream. They follow from the event, so that a second try repeats the same lines, which Loki drops.
"""

import gzip
import re
import socket
from pathlib import Path
from typing import Any, Self

import httpx
from pydantic import Field, PrivateAttr, SecretStr, ValidationInfo, model_validator

from backupman.errors import NotifyError
from backupman.notifiers import Message, State, events_of
from backupman.notifiers._fitting import as_json
from backupman.notifiers._http import Address, Answer, HttpNotifier, basic
from backupman.notifiers._words import sentence, title
from backupman.text import cut, one_line

_LINE_LENGTH, _LOG_LENGTH = 100_000, 1_000_000
"""Bytes; Loki drops lines above 256 KiB, and takes some megabytes at once."""
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NANO = 1_000_000_000


class Loki(HttpNotifier):
    """One Loki, or one tenant of it."""

    needs = ("url",)
    default_events = events_of(State.START, State.FINISH, State.FAIL)

    url: Address = Field(default=SecretStr(""), description="The push address: `http://…:3100/loki/api/v1/push`.")
    labels: dict[str, str] = Field(
        default={"app": "backupman", "hostname": "__hostname", "job": "__job"},
        min_length=1,
        max_length=15,
        description="Few and lasting; `__hostname`, `__job`, `__config` and `__config_path` stand for what they say.",
    )
    tenant: str | None = Field(default=None, pattern=r"^[ -~]*$", description="Sent as `X-Scope-OrgID`.")
    username: str | None = Field(default=None, description="With `password`; of Grafana Cloud the number of the user.")
    password: SecretStr | None = Field(default=None, description="With `username`; of Grafana Cloud a token.")
    send_logs: bool = Field(default=True, description="Sends the log of the backup's run too.")
    compress: bool = Field(default=True, description="Sends more than a few lines in gzip.")

    _config_file: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _can_be_sent(self, info: ValidationInfo) -> Self:
        for name in self.labels:
            if not _LABEL.fullmatch(name):
                raise ValueError(f"labels: {name!r} is no label: write letters, digits and _, no digit first")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: write both or none")
        self._config_file = (info.context or {}).get("config_file")
        return self

    def request(self, message: Message) -> httpx.Request:
        known = {"__hostname": socket.gethostname(), "__job": str(message.payload.get("Job") or "none")}
        if self._config_file:
            known |= {"__config": self._config_file.name, "__config_path": str(self._config_file.absolute())}
        labels = {name: one_line(known.get(label, label), 500) for name, label in self.labels.items()}
        body = as_json({"streams": [{"stream": labels, "values": self._values(message)}]})
        headers = {"Content-Type": "application/json"}
        if self.tenant:
            headers["X-Scope-OrgID"] = self.tenant
        if self.username is not None and self.password is not None:
            headers["Authorization"] = basic(self.username, self.password)
        if self.compress and len(body) > 2_000:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, mtime=0)
        return httpx.Request("POST", self.url.get_secret_value(), headers=headers, content=body)

    def _values(self, message: Message) -> list[list[str]]:
        """The newest lines of the log and the line of the event, the oldest first, each with its time.

        The log of a start is still growing: every attempt would push another, and the end pushes it whole.
        """
        lines: list[str] = [_line(message)]
        room = _LOG_LENGTH
        for line in reversed(message.log if self.send_logs and message.state != State.START else ()):
            text = cut(line, _LINE_LENGTH)
            room -= len(text.encode())
            if room < 0:
                break
            lines.append(text)
        end = int(message.time.timestamp()) * _NANO + message.time.microsecond * 1_000
        return [[str(end - back), line] for back, line in reversed(list(enumerate(lines)))]

    def check(self, answer: Answer) -> None:
        if answer.status != 204:
            why = f"the answer {answer.status} is not Loki's 204: check url, and whether Loki blocks the tenant"
            raise NotifyError(f"{self.named()}: {why}", answer=answer.text)


def _line(message: Message) -> str:
    known: dict[str, Any] = message.payload
    told = known.get("Error") or sentence(message)
    about = f"event={message.event}" + (f" id={known['Id']}" if known.get("Id") else "")
    return cut(one_line(f"{title(message)}{f': {told}' if told else ''} ({about})", _LINE_LENGTH), _LINE_LENGTH)
