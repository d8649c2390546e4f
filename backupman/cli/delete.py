"""`delete`: removes one backup, its copies and its record, after a question that names it."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli.call import Call
from backupman.cli.options import BackupName
from backupman.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from backupman.records import Backup


def delete(
    call: Call,
    name: BackupName,
    yes: Annotated[bool, typer.Option("--yes", help="Delete it without asking.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also the last good backup, the last proved one, or one that a drive seems to have lost."
        ),
    ] = False,
) -> None:
    """Delete a backup: its copy on every drive, then its record. That cannot be undone.

    A pinned backup is refused, and so is the last good one of a database.

    \b
    Examples:
      backupman delete 1a2b3c4d
      backupman delete 1a2b3c4d --yes
    """
    from backupman.cli.output import console, print_marked
    from backupman.cli.run import operator

    with call.app() as app:
        backup = app.backup(name)
        app.deleter.check(backup, force=force)  # before anybody is asked anything
        _confirm(backup, yes=yes)
        found = app.deleter.delete(backup, operator() or "somebody", force=force)
    for sentence in found.retained:
        print_marked("warning", sentence, console(stderr=True))
    for error in found.errors:
        print_marked("failed", error.sentence, console(stderr=True))
    if not call.quiet:
        drives = ", ".join(step.file.label for step in found.removed)
        gone = (
            f"removed from {drives}" if drives else "no drive held it" if found.is_complete else "nothing was removed"
        )
        what = "is deleted" if found.is_complete else "stays on record"
        console().print(f"Backup {backup.id[:8]} of {backup.label} {what}: {gone}.", soft_wrap=True)
    if found.errors:
        raise typer.Exit(ExitCode.FAILED)


def _confirm(backup: "Backup", *, yes: bool) -> None:
    """Raise ConfigError unless the backup was named."""
    from backupman.cli.output import local, size
    from backupman.records import Status

    if yes:
        return
    name = backup.id[:8]
    files = [file for file in backup.drive_files if file.status == Status.FINISHED]
    copies = ", ".join(f"{size(file.size)} on {file.label}" for file in files) or "on no drive"
    what = f"This deletes the backup of {backup.label} of {local(backup.created_at)}: {copies}."
    if not sys.stdin.isatty():
        raise ConfigError(f"{what} Say --yes if that is meant")
    said = typer.prompt(f"{what}\nType {name} to go on", default="", show_default=False, err=True)
    if said != name:
        raise ConfigError(f"{said!r} is not {name!r}: nothing was done")
