"""The bodies that a webhook can have: Backupman's own, those of two other programs, and a template of the user's."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from jinja2 import ChainableUndefined, TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup
from pydantic import ValidationError

from backupman import __version__
from backupman.errors import NotifyError
from backupman.events import documented
from backupman.notifiers import Message, State
from backupman.notifiers._words import sentence, text, title
from backupman.text import clean

_TEXT_LENGTH = 10_000
_STATUSES = {State.START: "start", State.FINISH: "success", State.FAIL: "failure"}
_SOURCES = {"manual": "console", "api": "command_source", "schedule": "command_source", "retry": "command_source"}
"""Prime Backup's word for what a trigger is: its own schedule is neither a player nor the console."""
_BY_ITSELF = ("schedule", "retry")
"""Triggers for which Backupman is the operator, as Prime Backup is `prime_backup:scheduled_backup`."""


def backupman(message: Message, *, extended: bool) -> bytes:
    """The documented JSON; `extended` adds every other known field behind the documented ones."""
    known = clean(message.payload)
    return compact({"Event": message.event, "Payload": _payload(known, extended=extended)})


def prime(message: Message) -> bytes:
    """What Prime Backup's webhooks send, as its documentation lists it; what is not known is left out."""
    known = clean(message.payload)
    about_backup, utc = "DriveFiles" in known, message.time.astimezone(UTC).replace(tzinfo=None)
    task, _, rest = message.event.partition("_")
    status = _STATUSES.get(message.state, rest) if about_backup else rest
    event = f"{task}_{status}" if about_backup else message.event
    document: dict[str, Any] = {
        "event": event,
        "task": task,
        "status": status,
        "timestamp": {"unix": message.time.timestamp(), "iso": f"{utc.isoformat()}Z"},
        "plugin": {"id": "backupman", "version": __version__},
        "server": {"running": None},
        "backup": _prime_backup(known) if message.state != State.START else None,
        "operator": _prime_operator(known),
        "source": _prime_source(known),
        "cost_s": None if known.get("Seconds") is None else round(known["Seconds"], 3),
        "message": sentence(message) or None,
        "error": {"type": "BackupError", "message": known["Error"]} if known.get("Error") else None,
        "title": title(message),
        "body": text(message, _TEXT_LENGTH),
        "desp": text(message, _TEXT_LENGTH),
    }
    return compact({key: value for key, value in document.items() if value is not None})


def _prime_backup(known: Mapping[str, Any]) -> dict[str, Any] | None:
    """The backup that it is about; of a restore the one that is restored, of which the event knows less."""
    targets = [known[key] for key in ("Source", "Database") if known.get(key)]
    found: dict[str, Any] = {}
    if "BackupId" in known:  # `Id`, `CreatedAt` and `Operator` are the restore's
        found = {"id": known["BackupId"], "targets": targets, "raw_size": known.get("Size")}
    elif "DriveFiles" in known:
        found = {
            "id": known.get("Id"),
            "date": known.get("CreatedAt"),
            "comment": known.get("Comment") or "",
            "creator": known.get("Operator"),
            "targets": targets,
            "tags": known.get("Tags") or {},
            "raw_size": known.get("Size"),
            "stored_size": known.get("StoredSize"),
        }
    return {key: value for key, value in found.items() if value is not None} or None


def _prime_operator(known: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, name = "user", known.get("Operator")
    if not name and known.get("Trigger") in _BY_ITSELF:
        kind, name = "backupman", known["Trigger"]
    return {"type": kind, "name": name, "full": f"{kind}:{name}"} if name else None


def _prime_source(known: Mapping[str, Any]) -> dict[str, Any] | None:
    trigger = known.get("Trigger")
    return {"type": _SOURCES.get(trigger, "unknown"), "name": known.get("Instance")} if trigger else None


def simplebackups(message: Message) -> bytes | None:
    """What SimpleBackups' webhooks send of a backup that has ended; None of anything else. Times are UTC."""
    known = clean(message.payload)
    if "DriveFiles" not in known or message.state not in (State.FINISH, State.FAIL):
        return None
    storage = _storage(known["DriveFiles"] or [], failed=message.state == State.FAIL)
    return compact(
        {
            "id": known["Id"],
            "type": "backup",
            "status": "success" if message.state == State.FINISH else "error",
            "started_at": _spaced(known.get("CreatedAt")),
            "finished_at": _spaced(known.get("UpdatedAt")),
            # a job has many of them, and its label would mix them where a receiver keeps them by their ids
            "backup": {"id": known.get("Label"), "name": known.get("Label"), "type": "database"},
            "server": {"id": known.get("Instance"), "name": known.get("Instance")},
            "storage": {"id": storage, "name": storage},
        }
    )


def _storage(files: Sequence[Mapping[str, Any]], *, failed: bool) -> str | None:
    """The first required drive, else the first; of a failure rather one that has failed."""
    lost = [file for file in files if file["Status"] == "failed"] if failed else []
    chosen = lost or files
    return next((file["Label"] for file in chosen if file.get("Required")), chosen[0]["Label"] if chosen else None)


def sb_signature(secret: str, body: bytes) -> str:
    """PHP's `hash_hmac('sha256', $body, $secret)`: lower-case hex, without a prefix."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


FORMATS: Mapping[str, Callable[[Message], bytes | None]] = {"prime": prime, "simplebackups": simplebackups}


def filled(template: str, message: Message, *, as_json: bool) -> bytes:
    """The user's template with what is known of the event; in JSON every value is written so that it stays JSON.

    Raises:
        NotifyError: it cannot be filled, or JSON did not come out.
    """
    known = clean(message.payload)
    values = {
        "event": message.event,
        "id": message.id,
        "time": message.time.isoformat(),
        "state": str(message.state),
        "title": title(message),
        "text": text(message, _TEXT_LENGTH),
        "payload": known,
    }
    try:
        body = _environment(as_json).from_string(template).render(values)
        if as_json:
            json.loads(body)
    except (TemplateError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        raise NotifyError(f"body cannot be filled: {error}", permanent=True) from None
    return body.encode()


@lru_cache(maxsize=2)
def _environment(as_json: bool) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=ChainableUndefined, finalize=_in_json if as_json else None)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": False}
    return environment


def _in_json(value: object) -> object:
    """A text as it stands between quotes, everything else as JSON, also null; what `tojson` made stays as it is."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)[1:-1]
    if isinstance(value, Undefined):
        return "" if value._undefined_hint else "null"  # with a hint it is what an `if` without `else` comes to
    if value is None or isinstance(value, bool | int | float | dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value


def compact(document: Mapping[str, Any]) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _payload(known: dict[str, Any], *, extended: bool) -> dict[str, Any]:
    try:
        payload = documented(known)
    except ValidationError:
        return known  # of an event that is not about one backup: all of it is documented
    if not extended:
        return payload
    files = zip(payload["DriveFiles"] or [], known["DriveFiles"] or [], strict=True)
    payload["DriveFiles"] = payload["DriveFiles"] and [_extended(*pair) for pair in files]
    return _extended(payload, known)


def _extended(item: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    return item | {key: value for key, value in known.items() if key not in item}


def _spaced(time: str | None) -> str | None:
    """`2025-07-02 10:00:00` of an ISO 8601 time."""
    return datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if time else None
