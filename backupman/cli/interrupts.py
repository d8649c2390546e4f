"""Ctrl-C, SIGTERM and a terminal that goes away: all three end a run in good order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible(tell: Callable[[], None] = lambda: None) -> Iterator[None]:
    """While it lasts the first signal raises KeyboardInterrupt in the main thread, after `tell` was called.

    Further ones change nothing: ending the work in good order is bounded in time, and breaking that off would leave
    what it is there to remove.
    """
    interrupted = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if not interrupted.is_set():
            interrupted.set()
            tell()
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as `nohup` wants it
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
