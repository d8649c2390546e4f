"""The words for people: title, sentence and text of every event, the same in mails, pushes, pages and log lines.

An event that is new to this module is told by its kind and by what its payload says in `Reason`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from backupman.events import EventKind
from backupman.notifiers import Message
from backupman.text import cut, listed, one_line, printable

TITLE_LENGTH = 200
"""Characters."""
_LABEL_LENGTH = 1_000
"""Characters; more than any label has."""
SENTENCE = "Reason"
"""Where a payload that is not about one backup says all of it in words."""

_OUTCOMES = {"finished": "finished", "failed": "FAILED", "pending": "started"}
_ABOUT_ONE_BACKUP = frozenset(
    {EventKind.BACKUP_START, EventKind.BACKUP_REPORT, EventKind.BACKUP_SUCCESS, EventKind.BACKUP_FAILURE}
)
_TITLES: Mapping[str, str] = {
    EventKind.BACKUP_LATE: "Backup of {label} is late",
    EventKind.BACKUP_MISSED: "Backup of {label} was missed",
    EventKind.BACKUP_STUCK: "Backup of {label} got stuck",
    EventKind.BACKUP_RECOVERED: "Backup of {label} is in order again",
    EventKind.SIZE_ANOMALY: "Backup of {label} has an odd size",
    EventKind.RECONCILE_REPORT: "Records and drive {label} were compared",
    EventKind.VERIFY_SUCCESS: "The copies of {label} are right",
    EventKind.VERIFY_FAILURE: "A copy of {label} is not right",
    EventKind.RESTORE_START: "A restore of {label} has begun",
    EventKind.RESTORE_SUCCESS: "{label} was restored",
    EventKind.RESTORE_FAILURE: "A restore of {label} has failed",
    EventKind.ALARM_DRILL: "DRILL, no alarm: {label} proves that it reaches you",
    EventKind.ALARM_DRILL_FAILURE: "Alarms do not reach {label}",
    EventKind.ALARM_DRILL_RECOVERED: "Alarms reach {label} again",
    EventKind.QUEUE_UNATTENDED: "No worker takes from the queue {label}",
    EventKind.QUEUE_RECOVERED: "The queue {label} is in order again",
    EventKind.RECORDS_FAILURE: "The records of {label} cannot be used",
    EventKind.RECORDS_RECOVERED: "The records of {label} can be used again",
    EventKind.NOTIFICATION: "{severity}: {label}",
}


def outcome(message: Message) -> str:
    """One or two words: `finished`, `FAILED`, `started`, and of any other event its kind."""
    words = message.event.replace("_", " ")
    if message.event not in _ABOUT_ONE_BACKUP:
        return words
    return _OUTCOMES.get(message.payload.get("Status", ""), words)


def label_of(message: Message) -> str:
    """What the event is about: a source, a database, somebody's device; a line that turns nothing around it."""
    known = message.payload
    return one_line(str(known.get("Label") or known.get("Job") or message.event.replace("_", " ")), _LABEL_LENGTH)


def title(message: Message) -> str:
    """One line: `Backup of shop failed`."""
    severity = str(message.payload.get("Severity") or "notification").capitalize()
    fallback = "Backup of {label} {outcome}" if message.event in _ABOUT_ONE_BACKUP else "{label}: {outcome}"
    names = {"label": label_of(message), "severity": severity, "outcome": outcome(message).lower()}
    found = _of_copies(message) or _TITLES.get(message.event, fallback)
    return one_line(found.format_map(names), TITLE_LENGTH)


def _of_copies(message: Message) -> str | None:
    """The title where not all is right that was looked at, or not all that is wrong was found to be."""
    known = message.payload
    if message.event == EventKind.VERIFY_SUCCESS and known.get("StillBad"):
        return "The copies of {label} that were looked at are right, others are still bad"
    if message.event == EventKind.VERIFY_FAILURE and known.get("Unchecked") and not known.get("Bad"):
        return "Copies of {label} could not be looked at"
    return None


def sentence(message: Message) -> str:
    """What it comes to: where the dump is and where it is not, or why somebody is told."""
    payload = printable(message.payload)
    told = payload.get(SENTENCE) or (message.event == EventKind.NOTIFICATION and payload.get("Message"))
    if told or message.event == EventKind.NOTIFICATION:
        return str(told or "")
    return summary(payload) if payload.get("Label") else ""


def summary(backup: Mapping[str, Any]) -> str:
    """One sentence on where the dump is and where it is not; nothing where the event is about no certain backup."""
    label, status = backup["Label"], backup.get("Status")
    if backup.get("Kind") == "ingested":
        ended = "has finished with a warning" if backup.get("Warning") else f"has {status}"
        return f"{label} on {backup.get('Device')} {ended}, says {backup.get('Sender')}."
    files = backup.get("DriveFiles") or []
    kept = [file["Label"] for file in files if file["Status"] == "finished"]
    lost = [file["Label"] for file in files if file["Status"] == "failed"]
    if status == "pending":
        return f"The backup of {label} is under way."
    if kept:
        return f"{label} is stored on {listed(kept)}" + (f", but not on {listed(lost)}." if lost else ".")
    return f"{label} is not backed up: no drive holds this dump." if status == "failed" else ""


def text(message: Message, longest: int) -> str:
    """The sentence, the error and the warnings, a paragraph each, in at most so many bytes of UTF-8."""
    payload = printable(message.payload)
    warnings = "\n".join(f"- {warning}" for warning in payload.get("Warnings") or [])
    parts = [sentence(message), str(payload.get("Error") or ""), warnings]
    return cut("\n\n".join(part for part in parts if part), longest)


def text_with_log(message: Message, longest: int) -> str:
    """The text, and behind it the newest lines of the log, in at most so many bytes of UTF-8."""
    return with_log(text(message, longest), message.log, longest)


def with_log(head: str, lines: Sequence[str], longest: int, most_log: int = 0) -> str:
    """A text, and behind it the newest lines, in at most so many bytes of UTF-8; of lines at most `most_log`, if not 0.

    The lines give way: they get what the text leaves.
    """
    head = cut(head, longest)
    room = longest - len(head.encode()) - 2
    log = newest(lines, min(room, most_log or room)) if room > 0 else ""
    return "\n\n".join(part for part in (head, log) if part)


def newest(lines: Any, longest: int) -> str:
    """The last lines that fit into so many bytes of UTF-8, behind `...` where something was left out.

    What is cut is cut between two characters, so that the bytes stay UTF-8.
    """
    whole = "\n".join(printable(str(line)) for line in lines)
    if len(whole.encode()) <= longest:
        return whole
    mark = "...\n"
    room = longest - len(mark)
    return mark + whole.encode()[-room:].decode(errors="ignore") if room > 0 else ""
