"""The last thing that a command does: what it owes goes out, as far as that does not take long."""

from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from backupman.cli.interrupts import interruptible
from backupman.errors import ExitCode

if TYPE_CHECKING:
    from backupman.app import App

_LONGEST = timedelta(seconds=30)


def deliver(app: "App") -> None:
    """Send what is owed; what cannot be sent goes with the daemon or the next command.

    Raises:
        typer.Exit: a signal ended it.
    """
    with interruptible():
        try:
            app.dispatcher.drain(_LONGEST)
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
