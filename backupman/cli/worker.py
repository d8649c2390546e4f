"""`worker`: takes the work of a fleet from its queues, in the foreground, until a signal ends it."""

import logging
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from backupman import __version__
from backupman.cli.call import Call
from backupman.cli.lasting import Signals, logged, next_signal, noted, stop
from backupman.cli.options import LogFormat, LogLevel
from backupman.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from backupman.fleet.worker import Worker

log = logging.getLogger(__name__)


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
    log_format: LogFormat = None,
    log_level: LogLevel = None,
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
    with logged(call, log_format, log_level) as set_up_log:
        made = _made(call, queue or [], parallel)
        set_up_log(made.config.log)
        _work(made)


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

    signals = noted(signal.SIGTERM, signal.SIGINT)
    try:
        worker.start()
        log.info("backupman %s works for %s, queues: %s", __version__, worker.config.instance, worker.takes)
        notify("READY=1", f"STATUS=takes from {worker.takes}")
        good = _wait(worker, signals)
    finally:
        stop(worker, worker.config.shutdown_grace, signals, (signal.SIGTERM, signal.SIGINT))
    if not good:
        raise typer.Exit(ExitCode.FAILED)


def _wait(worker: "Worker", signals: Signals) -> bool:
    """Until a signal ends it, which is good, or until it does not work any more."""
    while worker.lives():
        if number := next_signal(signals):
            log.info("stopping: %s", signal.Signals(number).name)
            return True
    ended = "the worker has ended by itself; what was under way is begun once more"
    log.critical("stopping: %s", worker.own_files.displaced() or ended)
    return False
