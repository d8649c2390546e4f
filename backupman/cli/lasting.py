"""What `serve` and `worker` have in common: signals, systemd's watchdog, and an end in good order."""

import logging
import os
import signal
import time
from collections.abc import Sequence
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Thread
from types import FrameType
from typing import Protocol

from backupman.errors import ExitCode

log = logging.getLogger(__name__)

Signals = SimpleQueue[int]

_TICK = 1.0
_LAST_TICK = 0.1
_END_WITHIN = timedelta(minutes=1)
"""Behind `shutdown_grace`: for backups to abort their uploads, be recorded and reported."""
_LOST_WITHIN = 15.0
"""Seconds for the same where another host may have taken over: a call to a silent PostgreSQL may never come back."""


class Lasting(Protocol):
    """Something that works until it is stopped."""

    @property
    def lost(self) -> bool:
        """Whether another host may have taken over, so that nothing is left to be done in good order."""

    def stop(self, grace: timedelta) -> None:
        """Begin nothing more, give what is under way a while, and end the rest."""

    def hurry(self) -> None:
        """Let `stop` wait no longer for what is under way."""


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

    What is lost gets no grace, and is left behind where it does not end at all.
    """
    from backupman.engine.systemd import notify

    lost = service.lost
    grace = timedelta(0) if lost else grace
    notify("STOPPING=1", f"EXTEND_TIMEOUT_USEC={(grace + _END_WITHIN) // timedelta(microseconds=1)}")
    stopping = Thread(target=service.stop, args=(grace,), name="stopping", daemon=True)
    stopping.start()
    deadline = time.monotonic() + _LOST_WITHIN
    while stopping.is_alive():
        if lost and time.monotonic() > deadline:
            log.critical("stopping: what still waits for the records is left behind")
            os._exit(ExitCode.FAILED)
        if next_signal(signals, _LAST_TICK) in hurrying:
            log.info("stopping: what is still running is ended now")
            service.hurry()
