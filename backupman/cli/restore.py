"""`restore`: a dump brought back from the drives, unpacked and checked."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli.call import Call
from backupman.cli.interrupts import interruptible
from backupman.cli.options import known
from backupman.errors import ConfigError, Interrupted

if TYPE_CHECKING:
    from backupman.data_plane.protocol import Message
    from backupman.records import Backup


def restore(
    call: Call,
    name: Annotated[
        str, typer.Argument(metavar="ID", help="The id of a backup, its beginning, or `latest`: the newest on a drive.")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The new file to write; `-` is standard output.")
    ],
    source: Annotated[str | None, typer.Option(metavar="LABEL", help="With `latest`: only of this source.")] = None,
    database: Annotated[str | None, typer.Option(metavar="NAME", help="With `latest`: only of this database.")] = None,
    from_drive: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Only from this drive; default the first good one.")
    ] = None,
    identity: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="The age identity of an encrypted backup; may be repeated."),
    ] = None,
) -> None:
    """Bring back a dump as its tool has written it: decrypted, unpacked, and checked from end to end.

    A copy that is damaged or away is left for the next drive's. A file gets its
    name only when all of it is good. Whoever reads standard output waits for
    the exit code before taking it for good.

    \b
    Examples:
      backupman restore latest --source shop --output shop.sql
      backupman restore 1a2b3c4d --identity key.txt --output - | pg_restore --list
    """
    from backupman.engine.restores import newest, write_dump
    from backupman.pipeline.encryption import identities_in

    if name != "latest" and (source or database):
        raise ConfigError("--source and --database go with `latest`: an id says already which backup it is")
    if output == "-" and sys.stdout.isatty():
        raise ConfigError("a dump is not for a terminal: send it to a program or a file, or name one by --output FILE")
    identities = [key for file in identity or [] for key in identities_in(file)]
    with call.records() as (config, store):
        if from_drive is not None:
            known("drive", from_drive, [drive.label for drive in config.drives])
        backup = newest(store, source, database) if name == "latest" else store.backups.get(name)
    file = None if output == "-" else Path(output)
    shown = _Shown(call, backup)
    try:
        with interruptible(), shown.live():
            write_dump(config, backup, identities, file, shown.heard, from_drive)
    except KeyboardInterrupt:
        raise Interrupted(f"{backup.label}: the restore was interrupted") from None
    shown.ended(file)


class _Shown:
    """What is seen of a restore, on standard error: a bar on a terminal, copies that failed, and the end."""

    def __init__(self, call: Call, backup: "Backup") -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        from backupman.cli.output import console, one_line

        self._quiet = call.quiet
        self._backup = backup
        self._out = console(stderr=True)
        self._written = 0
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bar = Progress(
            *columns, console=self._out, transient=True, disable=call.quiet or not self._out.is_interactive
        )
        self._task = self._bar.add_task(one_line(backup.label, 40), total=backup.stored_size)

    def live(self) -> AbstractContextManager[object]:
        """The bar while it lasts."""
        return self._bar

    def heard(self, message: "Message") -> None:
        """The data plane said something."""
        from backupman.cli.output import print_marked
        from backupman.data_plane.protocol import CopyFailed, Restoring

        match message:
            case Restoring():
                self._written = message.written
                self._bar.update(self._task, completed=message.read)
            case CopyFailed():
                print_marked("warning", message.error, self._out)

    def ended(self, file: Path | None) -> None:
        """All of it is good."""
        from backupman.cli.output import local, print_marked, size

        if not self._quiet:
            where = file or "standard output"
            backup = self._backup
            made = f"backup {backup.id[:8]} of {local(backup.created_at)}"
            print_marked("finished", f"{backup.label}: {made}, {size(self._written)} written to {where}", self._out)
