"""`restore`: a dump brought back from the drives, checked, into a database or a file; and `restores`, what was."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backupman.children import one_child_early
from backupman.cli import completing
from backupman.cli.call import Call
from backupman.cli.interrupts import interruptible
from backupman.cli.options import Json, Limit, known, limited
from backupman.errors import ConfigError, Interrupted
from backupman.naming import LATEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backupman.data_plane.messages import Message
    from backupman.records import Backup, Restore


@one_child_early()
def restore(
    call: Call,
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="The id of a backup, its beginning, or `latest`: the newest of the config's sources.",
            autocompletion=completing.backups,
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL",
            help="With `latest`: of this source, which may have left the config.",
            autocompletion=completing.sources,
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With `latest`: only of this database; `_globals` is roles and accounts."),
    ] = None,
    to_database: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The new database; default its name with `_restored_` and the time."),
    ] = None,
    to_source: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL", help="Into the server of another source of the config.", autocompletion=completing.sources
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Into any server: postgresql://user@host:5432/name, mysql://…, sqlite:///srv/app.sqlite.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Into this new file instead; `-` is standard output."),
    ] = None,
    from_drive: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL", help="Only from this drive; default the first good one.", autocompletion=completing.drives
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this table, where the format allows it; may be repeated."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=64,
            help="How many tables at once, where the format allows it; default the source's `jobs`.",
        ),
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Replace the database of that name, if it is there; has to be confirmed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Replace it without asking.")] = False,
    identity: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="The age identity of an encrypted backup; may be repeated."),
    ] = None,
) -> None:
    """Bring a backup back: decrypted, unpacked, checked from end to end, into a new database.

    It goes into the server that it came from, under a new name, unless you say
    otherwise. Nothing that is there is touched without --clean, and nothing
    stays of a restore that has failed. A copy that is damaged or away is left
    for the next drive's.

    A file gets its name only when all of it is good. Whoever reads standard
    output waits for the exit code before taking it for good.

    \b
    Examples:
      backupman restore latest --source shop
      backupman restore 1a2b3c4d --to-database shop_test --identity key.txt
      backupman restore latest --source shop --clean       over what is there
      backupman restore latest --source shop --output shop.sql
      backupman restore 1a2b3c4d --output - | pg_restore --list
    """
    from backupman.cli.restore_into import Wanted, restore_into
    from backupman.pipeline.encryption import identities_in

    if name != LATEST and (source or database):
        raise ConfigError("--source and --database go with `latest`: an id says already which backup it is")
    if output == "-" and sys.stdout.isatty():
        raise ConfigError("a dump is not for a terminal: send it to a program or a file, or name one by --output FILE")
    if output and (wrong := _of_a_database(to_database, to_source, url, table, clean=clean, jobs=jobs)):
        raise ConfigError(
            f"{wrong} goes with a restore into a database, and --output writes a file: leave one of them out"
        )
    if to_source and url:
        raise ConfigError("--to-source and --url both name a server: leave one of them out")
    identities = [key for file in identity or [] for key in identities_in(file)]
    if not output:
        into = Wanted(to_database, to_source, url, tuple(table or ()), jobs, clean, yes, from_drive, tuple(identities))
        restore_into(call, name, source, database, into)
        return
    _write(call, name, source, database, output, from_drive, identities)


def _of_a_database(
    to_database: str | None,
    to_source: str | None,
    url: str | None,
    table: list[str] | None,
    *,
    clean: bool,
    jobs: int | None,
) -> str | None:
    """The first option that a file knows nothing of."""
    given = {
        "--to-database": to_database,
        "--to-source": to_source,
        "--url": url,
        "--table": table,
        "--clean": clean,
        "--jobs": jobs,
    }
    return next((option for option, value in given.items() if value), None)


def _write(
    call: Call,
    name: str,
    source: str | None,
    database: str | None,
    output: str,
    from_drive: str | None,
    identities: "Sequence[str]",
) -> None:
    from backupman.engine.restores import newest, write_dump

    with call.records() as (config, store):
        if from_drive is not None:
            known("drive", from_drive, config.drive_labels)
        backup = newest(config, store, source, database) if name == LATEST else store.backups.get(name)
    file = None if output == "-" else Path(output)
    shown = Shown(call, backup)
    try:
        with interruptible(), shown.live():
            write_dump(config, backup, identities, file, shown.heard, from_drive)
    except KeyboardInterrupt:
        raise Interrupted(f"{backup.label}: the restore was interrupted") from None
    shown.ended(f"written to {file or 'standard output'}")


class Shown:
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
        from backupman.data_plane.messages import CopyFailed, Restoring

        match message:
            case Restoring():
                self._written = message.written
                self._bar.update(self._task, completed=message.read)
            case CopyFailed():
                print_marked("warning", message.error, self._out)

    def ended(self, what: str, warnings: "Sequence[str]" = ()) -> None:
        """All of it is good."""
        from backupman.cli.output import local, print_marked, size

        for warning in warnings:
            print_marked("warning", warning, self._out)
        if not self._quiet:
            backup = self._backup
            made = f"backup {backup.id[:8]} of {local(backup.created_at)}"
            print_marked("finished", f"{backup.label}: {made}, {size(self._written)} {what}", self._out)


def list_restores(call: Call, limit: Limit = None, as_json: Json = False) -> None:
    """What was restored into databases, the newest first.

    \b
    Examples:
      backupman restores
      backupman restores --json | jq '.Results[0].Error'
    """
    from backupman.cli.output import console, print_json

    count = limited(limit, as_json=as_json)
    with call.records() as (_, store):
        found = store.restores.list(limit=count + 1)
    if as_json:
        from backupman.engine.restoring import RestoreShown

        print_json({"Results": [RestoreShown.of(each).document() for each in found[:count]]})
        return
    out = console()
    if not found:
        out.print(f"Nothing was restored yet. Try it: {call.again('restore', LATEST)}")
        return
    out.print(_table(found[:count]))
    if len(found) > count:
        out.print(f"\nThe newest {count}; more with --limit.")


def _table(restores: "Sequence[Restore]") -> object:
    from backupman.cli.output import local, mark, one_line, span, table

    shown = table("ID", "STATUS", "BACKUP", "INTO", "BEGAN", "TOOK")
    for column in (1, 4, 5):
        shown.columns[column].no_wrap = True
    for each in restores:
        into = one_line(each.target, 1000)
        backup = f"{each.backup_id[:8]} {one_line(each.label, 1000)}"
        took = span(each.seconds) if each.seconds is not None else "-"
        shown.add_row(each.id[:8], mark(each.status), backup, into, local(each.created_at), took)
    return shown
