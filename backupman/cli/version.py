"""`version`: which version this is."""

import typer

from backupman import __version__
from backupman.cli.call import Call


def version(call: Call) -> None:
    """Print the version.

    \b
    Example:
      backupman version
    """
    typer.echo(f"backupman {__version__}")
