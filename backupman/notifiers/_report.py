"""An event as people read it: subject, plain text and HTML, by the packaged templates or a user's own.

What a template may use is listed in docs/notifiers/mail.md.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from traceback import walk_tb
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateSyntaxError,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic.alias_generators import to_snake

from backupman import __version__
from backupman.errors import NotifyError
from backupman.events import BackupExtended, DriveFileExtended
from backupman.notifiers import Message, State
from backupman.notifiers._words import SENTENCE, TITLE_LENGTH, label_of, outcome, sentence
from backupman.text import listed, moment, one_line, printable, size, span

_ERROR_LENGTH = 50_000
"""Characters of one error; servers refuse mails beyond some megabytes, and then nobody would be told."""
_MOST_COPIES = 50
"""Of a report about copies; its sentence has the numbers of all."""
_BYTES = frozenset({"Size", "UsualSize", "Freed"})
_SECONDS = frozenset({"MaxAge", "Seconds"})
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_TONES = {State.START: "pending", State.FINISH: "finished", State.FAIL: "failed"}
_COPY_KEYS = ("Drive", "Path", "Size", "CreatedAt", "Reason", "Error")
_WORDS = {"delete": "deleted", "mark": "marked"}
_KEYS = [info.alias or name for name, info in BackupExtended.model_fields.items()]
_DRIVE_FILE_KEYS = [info.alias or name for name, info in DriveFileExtended.model_fields.items()]


@dataclass(frozen=True)
class Report:
    """A message for people; `subject` is one line."""

    subject: str
    text: str
    html: str


def render(message: Message, folder: Path | None, label: str, log: str = "") -> Report:
    """The report of an event, with what is sent of its log; templates in `folder` come before the packaged ones.

    Raises:
        NotifyError: a template of the user's is broken; the sentence names its file and line.
    """
    if folder and not (os.access(folder, os.R_OK | os.X_OK) and folder.is_dir()):
        raise NotifyError(f"{label}: templates: there is no folder {folder} that may be read", permanent=True)
    context = context_of(message) | {"log": log}
    subject = one_line(_rendered(message.event, "subject", folder, context, label), TITLE_LENGTH)
    context["subject"] = subject
    text = _rendered(message.event, "txt", folder, context, label)
    html = _rendered(message.event, "html", folder, context, label)
    return Report(subject, text, html)


def context_of(message: Message) -> dict[str, Any]:
    """What templates see: every known key of the payload, None where its value is unknown."""
    payload = printable(message.payload)
    files = [
        {**dict.fromkeys(_DRIVE_FILE_KEYS), **file, "Error": _bounded(file.get("Error"))}
        for file in payload.get("DriveFiles") or []
    ]
    backup = {
        **dict.fromkeys(_KEYS),
        **payload,
        "DriveFiles": files,
        "Warnings": payload.get("Warnings") or [],
        "Tags": payload.get("Tags") or {},
        "Error": _bounded(payload.get("Error")),
    }
    return {
        "event": message.event,
        "event_id": message.id,
        "backup": backup,
        "more": _more(payload),
        "status": backup["Status"],
        "tone": backup["Status"] or ("failed" if payload.get("Failed") else _TONES.get(message.state)),
        "copies": _copies(payload),
        "title": outcome(message),
        "label": label_of(message),
        "summary": sentence(message),
        "version": __version__,
    }


def _more(payload: dict[str, Any]) -> list[tuple[str, str]]:
    """What a payload of another kind holds: `DeviceName` becomes `Device name`."""
    names = {key: to_snake(key).replace("_", " ").capitalize() for key in payload if key not in [*_KEYS, SENTENCE]}
    told = {key: value for key, value in payload.items() if isinstance(value, str | int | float) and value is not False}
    return [(name, _plain(key, told[key])) for key, name in names.items() if key in told]


def _plain(key: str, value: str | float) -> str:
    """A value as people write it: bytes, seconds and times by the name of the key, `yes`, and words for kinds."""
    if value is True:
        return "yes"
    if isinstance(value, int) and key in _BYTES:
        return size(value)
    if isinstance(value, int | float) and key in _SECONDS:
        return span(value)
    if isinstance(value, str) and _ISO.fullmatch(value):
        return moment(value)
    return value.replace("_", " ") if key == "Incident" and isinstance(value, str) else str(value)


def _copies(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """The copies that a report lists: those with an error first, each with a word and a tone."""
    found = []
    for copy in payload.get("Copies") or []:
        error = _bounded(copy.get("Error"))
        word = _WORDS.get(copy.get("Action", ""), "good" if copy.get("Good") else "bad")
        found.append(
            {
                **dict.fromkeys(_COPY_KEYS),
                **copy,
                "Error": error and error.removeprefix(f"{copy.get('Drive')}: "),
                "Word": f"not {word}" if error and "Action" in copy else word,
                "Tone": "failed" if error else "finished" if copy.get("Good") else None,
            }
        )
    return sorted(found, key=lambda copy: copy["Error"] is None)[:_MOST_COPIES]


def _bounded(error: str | None) -> str | None:
    if error is None or len(error) <= _ERROR_LENGTH:
        return error
    return f"… {len(error) - _ERROR_LENGTH} characters are left out here …\n{error[-_ERROR_LENGTH:]}"


def _rendered(event: str, part: str, folder: Path | None, context: dict[str, Any], label: str) -> str:
    names = [f"{event}.{part}.j2", f"backup_report.{part}.j2"]
    try:
        return _environment(folder).select_template(names).render(context)
    except Exception as error:  # a user's template may raise anything
        raise NotifyError(f"{label}: {_place(error, names)}: {one_line(str(error), 300)}", permanent=True) from error


def _place(error: Exception, names: Sequence[str]) -> str:
    """The template's file and the line in it where the error arose."""
    if isinstance(error, TemplateSyntaxError):
        return f"{error.filename or error.name}:{error.lineno}"
    lines = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    places = [f"{file}:{line}" for file, line in lines if file.endswith(".j2")]
    return places[-1] if places else names[-1]


@lru_cache(maxsize=8)
def _environment(folder: Path | None) -> Environment:
    packaged = PackageLoader("backupman.notifiers")
    # A user's backup_report.html.j2 can extend the one that it replaces, as packaged/backup_report.html.j2.
    loaders: list[BaseLoader] = [packaged, PrefixLoader({"packaged": packaged})]
    environment = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(folder), *loaders] if folder else loaders),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(size=size, duration=span, time=moment, listed=listed)
    return environment
