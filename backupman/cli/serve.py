"""`serve`: the daemon in the foreground, as systemd and Docker run it, until a signal ends it."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from backupman import __version__
from backupman.cli.call import Call
from backupman.cli.lasting import SetUpLog, Signals, logged, next_signal, noted, stop
from backupman.cli.options import LogFormat, LogLevel
from backupman.errors import ExitCode, StoreError

if TYPE_CHECKING:
    from backupman.api.server import Server
    from backupman.daemon import Daemon

log = logging.getLogger(__name__)


def serve(
    call: Call,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where to listen; default `http.host`.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", metavar="PORT", help="The port; default `http.port`, 0 for any.")
    ] = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Schedule, back up, answer HTTP, and come back from anything.

    \b
    SIGTERM and Ctrl-C stop it: running backups have `shutdown_grace` to end.
    A second one ends them at once.
    SIGHUP reads the config anew; a wrong one changes nothing.

    \b
    Examples:
      backupman serve
      backupman serve --host 127.0.0.1 -p 9000 -c /etc/backupman/config.yml
      backupman serve --log-format json
    """
    with logged(call, log_format, log_level) as set_up_log:
        _serve(call, host, port, set_up_log)


def _serve(call: Call, host: str | None, port: int | None, set_up_log: SetUpLog) -> None:
    from backupman.api import create_api
    from backupman.api.server import Server
    from backupman.config.references import warnings
    from backupman.daemon import Daemon
    from backupman.dashboard import add_dashboard
    from backupman.engine.systemd import notify

    signals = noted(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with _told_of(call):
        daemon = Daemon(call.config_file())

    def taken() -> None:
        """What follows at once from the config that counts now."""
        config = daemon.app.config
        set_up_log(config.log)
        for sentence in warnings(config):
            log.warning("%s", sentence)

    taken()
    http = daemon.app.config.http
    server = Server(
        add_dashboard(create_api(daemon)),
        host or http.address(),
        http.port if port is None else port,
        http.trusted_proxies,
    )

    def tell(*first: str) -> None:
        """systemd how we are."""
        notify(*first, "READY=1", f"STATUS=serves on {server.address}, jobs: {len(daemon.app.plans)}")

    def reload() -> None:
        notify("RELOADING=1")
        daemon.reload()
        taken()
        tell()

    try:
        with _told_of(call):
            daemon.start()
        server.start()
        log.info("backupman %s serves on http://%s, jobs: %d", __version__, server.address, len(daemon.app.plans))
        tell()
        good = _wait(daemon, server, signals, reload)
    finally:
        stop(daemon, daemon.app.config.shutdown_grace, signals, (signal.SIGTERM, signal.SIGINT))
        server.stop()
    if not good:
        raise typer.Exit(ExitCode.FAILED)


@contextmanager
def _told_of(call: Call) -> Iterator[None]:
    """Tell of a daemon that cannot begin for the sake of its records: it is started again and again."""
    from backupman.engine.records_watch import tell_of_start
    from backupman.records import now

    try:
        yield
    except StoreError as error:
        tell_of_start(call.load().config, error.sentence, now())
        raise


def _wait(daemon: "Daemon", server: "Server", signals: Signals, reload: Callable[[], None]) -> bool:
    """Handle signals until one of them ends the service, which is good, or until it does not work any more."""
    while daemon.lives() and server.alive:
        number = next_signal(signals)
        if number == signal.SIGHUP:
            reload()
        elif number:
            log.info("stopping: %s", signal.Signals(number).name)
            return True
    ended = "a part of the daemon has ended by itself; what is under way goes on at the next start"
    log.critical("stopping: %s", daemon.own_files.displaced() or ended)
    return False
