"""`auth-google`: a user's consent to Google Drive, on a host with a browser or without one."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from backupman.cli.call import Call
from backupman.errors import ConfigError

_FOR_A_BROWSER = ("DISPLAY", "WAYLAND_DISPLAY")


def auth_google(
    call: Call,
    client_secret_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The OAuth client; default that of the config's drive.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the token goes; default that of the config's drive.")
    ] = None,
    no_open_url: Annotated[
        bool, typer.Option("--no-open-url", help="Open no browser, only print the address.")
    ] = False,
) -> None:
    """Let backupman store files in a Google Drive.

    Prints an address where you agree, in a browser here or on any other machine. There, the browser ends at a page
    that cannot be found: paste its address here. Backupman then sees the files that it made itself, and no others.

    \b
    Examples:
      backupman auth-google
      backupman auth-google --client-secret-file client.json --token-file t.json
    """
    from backupman.drives._google_consent import consent

    if (client_secret_file is None) != (token_file is None):
        raise ConfigError("--client-secret-file and --token-file belong together: give both or none")
    files = (client_secret_file, token_file) if client_secret_file and token_file else _of_config(call)

    def show(address: str) -> None:
        typer.echo(f"Open this address and agree:\n\n{address}\n")
        if sys.stdin and sys.stdin.isatty():
            typer.echo("If the browser then finds no page, paste the address of that page here:")
        if not no_open_url and any(map(os.environ.get, _FOR_A_BROWSER)):
            import webbrowser

            webbrowser.open(address)

    def wrong() -> None:
        typer.echo("That is not it: it begins with http://127.0.0.1 and holds `code=`. Paste all of it here:")

    consent(*files, show, sys.stdin.fileno() if sys.stdin else None, wrong)
    typer.echo(f"The token stands in {files[1]}.")


def _of_config(call: Call) -> tuple[Path, Path]:
    """The files of the config's one Google Drive of a user."""
    drives = [drive.model_dump() for drive in call.load().config.drives if drive.provider == "google_drive"]
    found = {(drive["client_secret_file"], drive["token_file"]) for drive in drives if drive["token_file"]}
    if len(found) != 1:
        many = "several drives" if found else "no drive"
        raise ConfigError(
            f"the config has {many} with a client_secret_file and a token_file: say which files are meant with "
            "--client-secret-file and --token-file"
        )
    client_secret_file, token_file = found.pop()
    return client_secret_file, token_file
