"""`serve` and `worker` end, also where something of them never does."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from queue import SimpleQueue
from threading import Event

import pytest

from backupman.cli import lasting
from backupman.errors import ExitCode


class Hanging:
    """A service in a call that never comes back."""

    lost = False

    def stop(self, grace: timedelta) -> None:
        Event().wait()

    def hurry(self) -> None:
        pass


def _stop() -> None:
    """In a process of its own, with no time to end."""
    lasting._END_WITHIN = timedelta(0)
    lasting.stop(Hanging(), timedelta(0), SimpleQueue(), ())


@contextmanager
def _stopping() -> Iterator[multiprocessing.process.BaseProcess]:
    process = multiprocessing.get_context("spawn").Process(target=_stop)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


@pytest.mark.timeout(60)
def test_what_never_ends_is_left_behind() -> None:
    with _stopping() as process:
        process.join(30)
        assert process.exitcode == ExitCode.FAILED
