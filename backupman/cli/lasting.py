"""What `serve` and `worker` have in common: their log, signals, systemd's watchdog, and an end in good order."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Protocol

import typer

from backupman.cli.call import Call
from backupman.errors import BackupmanError, ExitCode
from backupman.logs import Format, Level, log_for_service

if TYPE_CHECKING:
    from backupman.config.log import Log

log = logging.getLogger(__name__)

Signals = SimpleQueue[int]
SetUpLog = Callable[["Log"], None]
"""Sets the log up by its section of the config."""

_TICK = 1.0
_LAST_TICK = 0.1
_END_WITHIN = timedelta(minutes=1)
"""Behind `shutdown_grace`: for backups to abort their uploads, be recorded and reported."""
_LOST_WITHIN = 15.0
"""Seconds for the same where another host may have taken over."""


class Lasting(Protocol):
    """Something that works until it is stopped."""

    @property
    def lost(self) -> bool:
        """Whether another host may have taken over, so that nothing is left to be done in good order."""

    def stop(self, grace: timedelta) -> None:
        """Begin nothing more, give what is under way a while, and end the rest."""

    def hurry(self) -> None:
        """Let `stop` wait no longer for what is under way."""


@contextmanager
def logged(call: Call, form: Format | None, level: Level | None) -> Iterator[SetUpLog]:
    """Log as a service does, errors that end it too; what was said on the command line counts more than the config.

    Raises:
        typer.Exit: instead of a BackupmanError, once it is logged.
    """
    from backupman.config.log import Log

    def set_up(section: Log) -> None:
        log_for_service(form or Format(section.format), call.log_level() or level or Level(section.level))

    set_up(Log())  # for what goes wrong before there is a config
    try:
        yield set_up
    except BackupmanError as error:
        for sentence in error.sentence.splitlines():
            log.critical("%s", sentence, exc_info=call.debug)
        raise typer.Exit(error.exit_code) from error


def noted(*numbers: int) -> Signals:
    """The queue that these signals go into from now on."""
    signals: Signals = SimpleQueue()

    def note(number: int, _frame: FrameType | None) -> None:
        signals.put(number)

    for number in numbers:
        signal.signal(number, note)
    return signals


def next_signal(signals: Signals, within: float = _TICK) -> int | None:
    """The next signal, or nothing after a moment; meanwhile systemd's watchdog is told that we live."""
    from backupman.engine.systemd import notify, watchdog_seconds

    notify("WATCHDOG=1")
    try:
        return signals.get(timeout=min(watchdog_seconds() or within, within))
    except Empty:
        return None


def stop(service: Lasting, grace: timedelta, signals: Signals, hurrying: Sequence[int]) -> None:
    """Stop in good order; one of the signals `hurrying` ends at once what is still under way.

    What does not end at all is left behind: a call to records that hang may never come back. What is lost gets no
    grace either.
    """
    from backupman.engine.systemd import notify

    lost = service.lost
    grace = timedelta(0) if lost else grace
    notify("STOPPING=1", f"EXTEND_TIMEOUT_USEC={(grace + _END_WITHIN) // timedelta(microseconds=1)}")
    stopping = Thread(target=service.stop, args=(grace,), name="stopping", daemon=True)
    stopping.start()
    deadline = time.monotonic() + (_LOST_WITHIN if lost else (grace + _END_WITHIN).total_seconds())
    while stopping.is_alive():
        if time.monotonic() > deadline:
            log.critical("stopping: what does not end, as it waits for the records or a drive, is left behind")
            os._exit(ExitCode.FAILED)
        if next_signal(signals, _LAST_TICK) in hurrying:
            log.info("stopping: what is still running is ended now")
            service.hurry()
