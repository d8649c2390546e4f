"""PagerDuty: an alert for what has failed, resolved by what succeeds, through the Events API v2.

Fields and limits: https://developer.pagerduty.com/docs/send-alert-event and …/send-change-event. The dedup key names
what has failed, so that attempts and further failures join one alert, and the next success resolves it. Resolving what
is not open does nothing. An alarm drill is a change event, which calls nobody.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, Literal

import httpx
from pydantic import Field, SecretStr

from backupman.errors import NotifyError
from backupman.events import EventKind, iso
from backupman.notifiers import Message, State, events_of
from backupman.notifiers._http import Answer, BlockEndpoint, HttpNotifier, Server
from backupman.notifiers._words import label_of, newest, text, title
from backupman.text import clean, cut

_SUMMARY_LENGTH, _KEY_LENGTH, _TEXT_LENGTH, _LOG_LENGTH, _DETAIL_LENGTH = 1_024, 255, 20_000, 10_000, 1_000
_WARNINGS = frozenset({EventKind.SIZE_ANOMALY, EventKind.ALARM_DRILL_FAILURE, EventKind.PRUNE_REPORT})
_APART: Mapping[str, str] = {
    EventKind.RESTORE_SUCCESS: "restore",
    EventKind.RESTORE_FAILURE: "restore",
    EventKind.VERIFY_SUCCESS: "verify",
    EventKind.VERIFY_FAILURE: "verify",
    EventKind.PRUNE_REPORT: "prune_report",
    EventKind.RECONCILE_REPORT: "reconcile_report",
}
"""What has alerts of its own, because it says nothing of whether the next backup succeeds."""
_REPORTS = frozenset({EventKind.PRUNE_REPORT, EventKind.RECONCILE_REPORT})
"""What resolves its own alert where nothing has failed any more."""
_TAKE_TURNS = frozenset({EventKind.BACKUP_LATE, EventKind.BACKUP_MISSED, EventKind.BACKUP_STUCK})
"""Incidents that take each other's place: they are one alert, because the recovery names one of them alone."""
_TOLD_ALREADY = frozenset({"Error", "Warnings", "DriveFiles", "Message", "Reason"})
_ABOUT = ("Source", "Device", "Endpoint", "Queue", "Drive")
_WHICH = ("Incident", "Type", "Level", "Database")

Severity = Literal["critical", "error", "warning", "info"]


class PagerDuty(HttpNotifier):
    """One integration of a service."""

    needs = ("integration_key",)
    resolves = True
    default_events = (*events_of(State.FAIL, State.FINISH), EventKind.BACKUP_RECOVERED, EventKind.VERIFY_SUCCESS)
    tried_by = (EventKind.BACKUP_FAILURE, EventKind.BACKUP_SUCCESS)

    integration_key: SecretStr = Field(default=SecretStr(""), description="Of an integration by the Events API v2.")
    server: Server = Field(
        default="https://events.pagerduty.com",
        description="Of the region; in Europe `https://events.eu.pagerduty.com`.",
    )
    severity: Severity = Field(default="error", description="Of failures: `critical`, `error`, `warning` or `info`.")
    send_logs: bool = Field(default=True, description="Sends the newest lines of the log too.")

    def endpoints(self) -> Sequence["Integration"]:
        return [Integration(self.named(), self, self)] if self.enabled else []

    def request(self, message: Message) -> httpx.Request | None:
        if message.event == EventKind.ALARM_DRILL:
            return self._post("change", {"payload": self._change(message)})
        event: dict[str, Any] = {}
        if message.state == State.FAIL or message.event == EventKind.NOTIFICATION:
            event |= {"event_action": "trigger", "dedup_key": dedup_key(message), "client": "Backupman"}
            event["payload"] = self._payload(message)
        elif message.state == State.FINISH or message.event in _REPORTS:
            event |= {"event_action": "resolve", "dedup_key": dedup_key(message)}
        else:
            return None
        return self._post("", event)

    def _post(self, path: str, event: dict[str, Any]) -> httpx.Request:
        whole = {"routing_key": self.integration_key.get_secret_value().strip()} | event
        return httpx.Request(
            "POST",
            "/".join(filter(None, [self.server, "v2", path, "enqueue"])),
            headers={"Content-Type": "application/json"},
            content=json.dumps(clean(whole), ensure_ascii=False, allow_nan=False).encode(),
        )

    def _change(self, message: Message) -> dict[str, Any]:
        """A change event, which the service shows and which calls nobody."""
        return {
            "summary": cut(title(message), _SUMMARY_LENGTH),
            "source": cut(str(message.payload.get("Instance") or "backupman"), _DETAIL_LENGTH),
            "timestamp": iso(message.time),
            "custom_details": {"text": text(message, _TEXT_LENGTH)},
        }

    def check(self, answer: Answer) -> None:
        if answer.status != 202:
            raise NotifyError(
                f"{self.named()}: the answer {answer.status} is not PagerDuty's 202: check server", answer=answer.text
            )

    def _payload(self, message: Message) -> dict[str, Any]:
        known = message.payload
        log = {"log": newest(message.log, _LOG_LENGTH)} if self.send_logs and message.log else {}
        return {
            "summary": cut(title(message), _SUMMARY_LENGTH),
            "source": cut(str(known.get("Instance") or "backupman"), _DETAIL_LENGTH),
            "severity": self._severity(message),
            "timestamp": iso(message.time),
            "component": cut(label_of(message), _DETAIL_LENGTH),
            "group": "backups",
            "class": message.event.replace("_", " "),
            "custom_details": {"text": text(message, _TEXT_LENGTH), **_details(known), **log},
        }

    def _severity(self, message: Message) -> str:
        if message.event == EventKind.NOTIFICATION:
            return str(message.payload["Severity"])
        return "warning" if message.event in _WARNINGS else self.severity


class Integration(BlockEndpoint):
    """The integration; a good backup of one of several databases resolves what failed before they were known, too."""

    async def send(self, message: Message) -> str:
        known = message.payload
        if message.state == State.FINISH and "DriveFiles" in known and known["Label"] != known.get("Source"):
            await super().send(replace(message, payload=known | {"Database": None}))
        return await super().send(message)


def dedup_key(message: Message) -> str:
    """What an alert is about: a database of a source of a job, or an incident of a source.

    Incidents are never kept apart by databases, because their recovery may name others than they did. Copies
    that are not right are by how far they were looked at: that the bytes are there is no answer to a failed drill.
    """
    known = message.payload
    parts = [known.get("Instance"), known.get("Sender"), known.get("Job")]
    parts.append(next((known[key] for key in _ABOUT if known.get(key)), None))
    parts.append(_APART.get(message.event))
    which = next((known[key] for key in _WHICH if known.get(key)), None)
    parts.append(EventKind.BACKUP_LATE if which in _TAKE_TURNS else which)
    key = "backupman:" + "/".join(str(part) for part in parts if part)
    if len(key) <= _KEY_LENGTH:
        return key
    return f"backupman:{sha256(key.encode(errors='replace')).hexdigest()}"


def _details(known: dict[str, Any]) -> dict[str, Any]:
    """What is known in single words and numbers."""
    told = {key: value for key, value in known.items() if key not in _TOLD_ALREADY and value not in (None, "")}
    return {
        key: cut(value, _DETAIL_LENGTH) if isinstance(value, str) else value
        for key, value in told.items()
        if isinstance(value, str | int | float)
    }
