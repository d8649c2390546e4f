"""BackupMonitor: every result posted to an ingest API, theirs or that of another Backupman.

Fields: https://backupmonitor.io (see also docs/ingest.md, the other end). Sender, device and job identify a job there,
so none of them ever holds what changes from run to run. What was ingested here is not sent on.
"""

from typing import Any

import httpx
from pydantic import Field, SecretStr

from backupman.events import EventKind, iso, severity
from backupman.notifiers import Message, State
from backupman.notifiers._fitting import as_json
from backupman.notifiers._http import HttpNotifier, Server
from backupman.notifiers._network import HeaderKey
from backupman.notifiers._words import label_of, sentence, text
from backupman.text import one_line

_MESSAGE_LENGTH, _NAME_LENGTH = 10_000, 255
_STATUSES = {State.FINISH: "Success", State.FAIL: "Error"}
_RESULTS = frozenset({EventKind.BACKUP_REPORT, EventKind.BACKUP_SUCCESS, EventKind.BACKUP_FAILURE})


class BackupMonitor(HttpNotifier):
    """One account."""

    needs = ("api_key",)
    default_events = (
        EventKind.BACKUP_REPORT,
        EventKind.BACKUP_LATE,
        EventKind.BACKUP_MISSED,
        EventKind.BACKUP_STUCK,
        EventKind.SIZE_ANOMALY,
    )

    api_key: HeaderKey = Field(default=SecretStr(""), description="Sent as `X-Api-Key`.")
    server: Server = Field(
        default="https://ingest.backupmonitor.io", description="Its address; of another Backupman that of its daemon."
    )
    sender: str = Field(default="backupman", min_length=1, max_length=_NAME_LENGTH, description="What all is sent by.")
    device: str | None = Field(
        default=None, max_length=_NAME_LENGTH, description="The name of this machine there; default `instance`."
    )

    def request(self, message: Message) -> httpx.Request | None:
        known = message.payload
        if message.event == EventKind.NOTIFICATION or known.get("Kind") == "ingested" or known.get("Sender"):
            return None
        about: dict[str, Any] = {
            "deviceName": one_line(self.device or str(known.get("Instance") or "backupman"), _NAME_LENGTH),
            "jobName": one_line(label_of(message), _NAME_LENGTH),
            "timestamp": iso(message.time),
            "message": text(message, _MESSAGE_LENGTH) or sentence(message) or message.event,
            "sender": self.sender,
        }
        if message.event in _RESULTS:
            return self._post("backup", about | {"status": self._status(message)})
        bad = severity(message.event, known) or "info"
        return self._post("notification", about | {"severity": bad, "type": message.event})

    def _status(self, message: Message) -> str:
        known = message.payload
        warned = known.get("Warnings") or severity(EventKind.BACKUP_SUCCESS, known)  # also of a report of one
        return "Warning" if warned and message.state == State.FINISH else _STATUSES.get(message.state, "Error")

    def _post(self, what: str, body: dict[str, Any]) -> httpx.Request:
        headers = {"Content-Type": "application/json", "X-Api-Key": self.api_key.get_secret_value()}
        return httpx.Request("POST", f"{self.server}/api/ingest/{what}", headers=headers, content=as_json(body))
