"""`serve`: the daemon in the foreground, as systemd and Docker run it, until a signal ends it."""

import logging
import signal
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Annotated

import typer

from backupman.cli.call import Call

log = logging.getLogger(__name__)

_TICK = 1.0


def serve(
    call: Call,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where to listen; default `http.host`.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", metavar="PORT", help="The port; default `http.port`, 0 for any.")
    ] = None,
) -> None:
    """Schedule, back up, answer HTTP, and come back from anything.

    \b
    SIGTERM and Ctrl-C stop it: running backups have `shutdown_grace` to end.
    SIGHUP reads the config anew; a wrong one changes nothing.

    \b
    Examples:
      backupman serve
      backupman serve --host 127.0.0.1 -p 9000 -c /etc/backupman/config.yml
    """
    from backupman.api import create_api
    from backupman.api.server import Server
    from backupman.daemon import Daemon
    from backupman.engine.systemd import notify, watchdog_seconds

    signals: SimpleQueue[int] = SimpleQueue()

    def note(number: int, _frame: FrameType | None) -> None:
        signals.put(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, note)
    daemon = Daemon(call.config_file())
    http = daemon.app.config.http
    server = Server(
        create_api(daemon), host or http.address(), http.port if port is None else port, http.trusted_proxies
    )
    try:
        daemon.start()
        server.start()
        typer.echo(f"backupman serves on http://{server.address}", err=True)
        notify("READY=1", f"STATUS=serving {len(daemon.app.plans)} jobs on {server.address}")
        _wait(reload=daemon.reload, signals=signals, beat=watchdog_seconds() or _TICK)
    finally:
        notify("STOPPING=1")
        daemon.stop(daemon.app.config.shutdown_grace)
        server.stop()


def _wait(*, reload: Callable[[], None], signals: "SimpleQueue[int]", beat: float) -> None:
    """Handle signals until one of them ends the service."""
    from backupman.engine.systemd import notify

    while True:
        try:
            number = signals.get(timeout=min(beat, _TICK))
        except Empty:
            notify("WATCHDOG=1")
            continue
        if number != signal.SIGHUP:
            log.info("stopping: %s", signal.Signals(number).name)
            return
        notify("RELOADING=1")
        reload()
        notify("READY=1")
