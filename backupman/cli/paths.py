"""`config paths`: what systemd's `ProtectSystem=strict` and `ProtectHome=yes` must leave open for a config."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import typer

from backupman.cli.call import Call
from backupman.cli.service_kinds import DAEMON

STATE = DAEMON.state
"""What the `StateDirectory=` of the daemon and the timer opens by itself."""

_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - named, not written to


def paths(call: Call) -> None:
    """Print what the systemd service must be let write, as a drop-in.

    \b
    Example, as root:
      mkdir -p /etc/systemd/system/backupman.service.d
      backupman config paths > /etc/systemd/system/backupman.service.d/paths.conf
      systemctl daemon-reload

    Folders of hooks are not in it: nobody knows what a hook writes to.
    """
    from backupman.cli.output import console, print_marked

    # Where a unit sets no working directory, that is the root.
    folders = {Path("/") / folder: written for folder, written in call.load().config.folders().items()}
    for line in drop_in(folders):
        typer.echo(line)
    for folder, written in folders.items():
        if written and (missing := _missing(folder)):
            warning = f"{folder} {missing}"
        elif _inside(folder, _TEMPORARY):
            warning = f"{folder} is another folder in the service: PrivateTmp=yes gives it a /tmp of its own"
        else:
            continue
        print_marked("warning", warning, console(stderr=True))


def _missing(folder: Path) -> str | None:
    """Why the service could not start for want of a folder; None where it is there."""
    try:
        there = folder.exists()
    except OSError as error:
        return f"cannot be looked at ({error.strerror}): call this as root"
    return None if there else "is not there, and without it the service does not start: make the folder first"


def drop_in(folders: Mapping[Path, bool], state: Path = STATE) -> list[str]:
    """The lines of a drop-in for folders, of which some are written to; `state` is open by itself."""
    open_ = sorted(folder for folder, written in folders.items() if written and not _inside(folder, (state,)))
    lines = ["[Service]", *(f"ReadWritePaths={_quoted(folder)}" for folder in open_)]
    return [*lines, "ProtectHome=read-only"] if any(_inside(folder, _HOMES) for folder in folders) else lines


def _inside(folder: Path, others: Iterable[Path]) -> bool:
    return any(folder.is_relative_to(other) for other in others)


def _quoted(folder: Path) -> str:
    """A path as one word of a unit file, systemd.syntax(7); `%` begins a specifier there."""
    text = str(folder).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if set(text) & set(" \t\"'\\") else text
