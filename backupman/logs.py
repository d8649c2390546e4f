"""The log: what every line says beside its message, and how it looks to a person, to a program and to the journal.

The standard library's logging is enough for it: the libraries that we use log through it too, and what is ours is only
the shape of a line. Packages that write JSON know neither what a line is about nor what must not stand in it.
"""

import json
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, TextIO

from backupman.text import here, one_line, printable

if TYPE_CHECKING:
    from backupman.records import Backup

LONGEST_MESSAGE = 2000
LONGEST_TRACE = 6000
"""Characters; a line of both is shorter than the 16 KiB at which Docker cuts lines, unless most of it is escapes."""

_LONGEST_NAME = 100
_SHORT_ID = 8
_OURS = "backupman"
_STEPS = "backupman.engine.steps"
"""What the steps of a backup say: commands show them in their own way."""
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""syslog's priorities as the journal takes them in front of a line, sd-daemon(3)."""

_RELOADS_REMEMBERED = 8

Redact = Callable[[str], str]


class Format(StrEnum):
    """How the lines of a service look."""

    HUMAN = "human"
    JSON = "json"


class Level(StrEnum):
    """What is logged: this and what is worse."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """The same for the standard library."""
        return logging.getLevelNamesMapping()[self.name]


_subject: ContextVar[Mapping[str, str]] = ContextVar("_subject", default=MappingProxyType({}))
_redactions: deque[Redact] = deque(maxlen=_RELOADS_REMEMBERED)


@contextmanager
def about(*, job: str = "", source: str = "", backup_id: str = "") -> Iterator[None]:
    """Every line that this thread or task logs meanwhile is about this job, source or backup."""
    said = {"job": job, "source": source, "backup_id": backup_id}
    token = _subject.set({**_subject.get(), **{name: value for name, value in said.items() if value}})
    try:
        yield
    finally:
        _subject.reset(token)


@contextmanager
def about_backup(backup: "Backup") -> Iterator[None]:
    """Every line that this thread or task logs meanwhile is about this backup, its source and its job."""
    with about(job=backup.job, source=backup.source, backup_id=backup.id):
        yield


def hide_secrets(redact: Redact) -> None:
    """Let no line show what `redact` takes out of a text; those of the last few configs are remembered."""
    _redactions.append(redact)


def subject_of(record: logging.LogRecord) -> dict[str, str]:
    """Job, source and backup_id that a record is about, as far as they are known; `extra` of it counts more."""
    extra = {name: getattr(record, name, "") for name in ("job", "source", "backup_id")}
    found = {**_subject.get(), **{name: value for name, value in extra.items() if value}}
    return {name: one_line(found[name], _LONGEST_NAME) for name in extra if name in found}


def kept_line(record: logging.LogRecord) -> str:
    """A record as a line of the log of its backup: `2026-03-01T01:30:00Z WARNING Shop: …`, without secrets."""
    at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{at} {record.levelname} {one_line(_redacted(record.getMessage()), LONGEST_MESSAGE)}"


def log_for_terminal(level: Level, *, detailed: bool = False) -> None:
    """Log our own lines to standard error, as commands do: without times, unless `detailed`."""
    log, journal = logging.getLogger(_OURS), is_journal(sys.stderr)
    formatter = _Human(timed=detailed and not journal)
    log.handlers, log.propagate = [ToStderr(formatter, prefixed=journal)], False
    log.handlers[0].addFilter(_shown(level, unsaid=(_STEPS,)))
    log.setLevel(level.number)


def log_for_service(form: Format, level: Level) -> None:
    """Log everything to standard error, that of the libraries and of lost threads too. May be called again."""
    journal = is_journal(sys.stderr)
    formatter = _Json() if form == Format.JSON else _Human(timed=not journal)
    root, ours = logging.getLogger(), logging.getLogger(_OURS)
    root.handlers, ours.handlers, ours.propagate = [ToStderr(formatter, prefixed=journal)], [], True
    root.handlers[0].addFilter(_shown(level))
    root.setLevel(logging.WARNING)  # below that, libraries log requests with all their headers
    ours.setLevel(level.number)
    for name in ("uvicorn", "apscheduler"):
        logging.getLogger(name).setLevel(logging.INFO if level == Level.DEBUG else logging.WARNING)
    logging.captureWarnings(True)
    threading.excepthook = _log_lost_thread


def is_journal(stream: TextIO) -> bool:
    """Whether systemd connected this stream to the journal: it names its device and inode, systemd.exec(5)."""
    with suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
    return False


def _shown(level: Level, unsaid: tuple[str, ...] = ()) -> Callable[[logging.LogRecord], bool]:
    """Which records are written: of ours, also where more is kept, this level and what is worse."""

    def shown(record: logging.LogRecord) -> bool:
        return record.name not in unsaid and (not record.name.startswith(_OURS) or record.levelno >= level.number)

    return shown


def _log_lost_thread(lost: threading.ExceptHookArgs) -> None:
    if issubclass(lost.exc_type, SystemExit):
        return
    name = lost.thread.name if lost.thread else "?"
    trace = (lost.exc_type, lost.exc_value, lost.exc_traceback) if lost.exc_value else None
    logging.getLogger(__name__).critical("the thread %s has ended unexpectedly", name, exc_info=trace)


class ToStderr(logging.Handler):
    """Writes to whatever standard error is now: a live display puts itself there to keep lines from its own."""

    def __init__(self, formatter: logging.Formatter, *, prefixed: bool = False) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._prefixed = prefixed

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's lines, for the journal each with its priority."""
        text = self.format(record)
        if self._prefixed:
            prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>"
            text = "\n".join(prefix + line for line in text.split("\n"))
        try:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody reads it any more
            return


class _Line(logging.Formatter):
    """What both formats are made of: texts without secrets, bounded, and with nothing foreign that ends a line."""

    def __init__(self, *, timed: bool = True) -> None:
        super().__init__()
        self._timed = timed

    def _message(self, record: logging.LogRecord) -> str:
        return one_line(_redacted(record.getMessage()), LONGEST_MESSAGE)

    def _trace(self, record: logging.LogRecord) -> str:
        """The end of the trace, which names the fault."""
        if not record.exc_info or record.exc_info[0] is None:
            return ""
        trace: str = printable(_redacted(self.formatException(record.exc_info)))
        return "\n".join(trace[-LONGEST_TRACE:].splitlines())  # which also know Unicode's own line ends


class _Human(_Line):
    """`2026-03-01T02:30:00.123+01:00 WARNING [nightly, Shop, 1a2b3c4d] Shop: …`; a trace is indented behind it."""

    def format(self, record: logging.LogRecord) -> str:
        about = subject_of(record)
        if "backup_id" in about:
            about["backup_id"] = about["backup_id"][:_SHORT_ID]
        parts = [_time(record), record.levelname] if self._timed else []
        parts += [f"[{', '.join(about.values())}]"] if about else []
        lines = [" ".join([*parts, self._message(record)])]
        return "\n  ".join([*lines, *self._trace(record).splitlines()])


class _Json(_Line):
    """One object a line, in ASCII: time, level, logger, message, and where known job, source, backup_id, trace."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
            **subject_of(record),
        }
        if trace := self._trace(record):
            said["trace"] = trace
        return json.dumps(said)


def _time(record: logging.LogRecord) -> str:
    return here(datetime.fromtimestamp(record.created, UTC)).isoformat(timespec="milliseconds")


def _redacted(text: str) -> str:
    for redact in _redactions:
        text = redact(text)
    return text
