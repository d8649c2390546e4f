"""`worker`: takes the work of a fleet from its queues, in the foreground, until a signal ends it."""

import logging
import os
import signal
import time
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from backupman import __version__
from backupman.cli.call import Call
from backupman.errors import BackupmanError, ConfigError, ExitCode
from backupman.logs import Format, Level, log_for_service

if TYPE_CHECKING:
    from backupman.config.log import Log
    from backupman.fleet.worker import Worker

log = logging.getLogger(__name__)

_TICK = 1.0
_LAST_TICK = 0.1
_END_WITHIN = timedelta(minutes=1)
"""Behind `shutdown_grace`: for backups to abort their uploads, be recorded and reported."""
_LOST_WITHIN = 15.0
"""Seconds for the same where it has ended by itself: a call to a PostgreSQL that is silent may never come back."""

_Signals = SimpleQueue[int]


def worker(
    call: Call,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", metavar="NAME", help="A queue to take from, beside `worker.queues`; may be repeated."),
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option("--parallel", metavar="N", min=1, help="How much is under way at once; default `max_parallel`."),
    ] = None,
    log_format: Annotated[
        Format | None,
        typer.Option(
            metavar="FORMAT", envvar="BACKUPMAN_LOG_FORMAT", help="The log: `human` or `json`; default `log.format`."
        ),
    ] = None,
    log_level: Annotated[
        Level | None,
        typer.Option(
            metavar="LEVEL", envvar="BACKUPMAN_LOG_LEVEL", help="`debug`, `info`, `warning`, `error`; or `log.level`."
        ),
    ] = None,
) -> None:
    """Do on this host what a control host hands out.

    \b
    SIGTERM and Ctrl-C stop it: what is under way has `shutdown_grace` to end,
    and is put back into its queue then. A second one ends it at once.

    \b
    Examples:
      backupman worker --queue db7
      backupman worker --queue eu-west --queue db7 --parallel 4
      backupman worker -c /etc/backupman/worker.yml --log-format json
    """

    def set_up_log(section: "Log") -> None:
        level = call.log_level() or log_level or Level(section.level)
        log_for_service(log_format or Format(section.format), level)

    from backupman.config.log import Log

    set_up_log(Log())  # for what goes wrong before there is a config
    try:
        made = _made(call, queue or [], parallel)
        set_up_log(made.config.log)
        _work(made)
    except BackupmanError as error:
        for sentence in error.sentence.splitlines():
            log.critical("%s", sentence, exc_info=call.debug)
        raise typer.Exit(error.exit_code) from error


def _made(call: Call, queues: list[str], parallel: int | None) -> "Worker":
    from backupman.queues import check_queue

    try:
        from backupman.fleet.worker import Worker
    except ModuleNotFoundError as error:
        raise ConfigError(f"a worker needs {error.name}: pip install 'backupman[fleet]'") from error
    try:
        return Worker(call.config_file(), [check_queue(name) for name in queues], parallel)
    except ValueError as error:
        raise ConfigError(f"--queue: it {error}") from error


def _work(worker: "Worker") -> None:
    from backupman.engine.systemd import notify

    signals: _Signals = SimpleQueue()

    def note(number: int, _frame: FrameType | None) -> None:
        signals.put(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    try:
        worker.start()
        log.info("backupman %s works for %s, queues: %s", __version__, worker.config.instance, worker.takes)
        notify("READY=1", f"STATUS=takes from {worker.takes}")
        good = _wait(worker, signals)
    finally:
        _stop(worker, signals)
    if not good:
        raise typer.Exit(ExitCode.FAILED)


def _wait(worker: "Worker", signals: _Signals) -> bool:
    """Until a signal ends it, which is good, or until it does not work any more."""
    while worker.lives():
        if number := _signal(signals):
            log.info("stopping: %s", signal.Signals(number).name)
            return True
    log.critical("stopping: the worker has ended by itself; what was under way is begun once more")
    return False


def _stop(worker: "Worker", signals: _Signals) -> None:
    """Stop in good order; another signal to stop ends what is still under way at once."""
    from backupman.engine.systemd import notify

    alive = worker.lives()
    grace = worker.config.shutdown_grace if alive else timedelta(0)
    notify("STOPPING=1", f"EXTEND_TIMEOUT_USEC={(grace + _END_WITHIN) // timedelta(microseconds=1)}")
    stopping = Thread(target=worker.stop, args=(grace,), name="stopping", daemon=True)
    stopping.start()
    deadline = time.monotonic() + _LOST_WITHIN
    while stopping.is_alive():
        if not alive and time.monotonic() > deadline:
            log.critical("stopping: what still waits for PostgreSQL is left behind")
            os._exit(ExitCode.FAILED)
        if _signal(signals, _LAST_TICK):
            log.info("stopping: what is still under way is ended now")
            worker.hurry()


def _signal(signals: _Signals, within: float = _TICK) -> int | None:
    """The next signal, or nothing after a moment; meanwhile systemd's watchdog is told that we live."""
    from backupman.engine.systemd import notify, watchdog_seconds

    notify("WATCHDOG=1")
    try:
        return signals.get(timeout=min(watchdog_seconds() or within, within))
    except Empty:
        return None
