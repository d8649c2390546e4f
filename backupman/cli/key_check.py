"""`key check`: shows that a secret key opens the backups that were encrypted for it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli import completing
from backupman.cli.call import Call
from backupman.cli.options import Json
from backupman.errors import ExitCode

if TYPE_CHECKING:
    from backupman.engine.key_check import Opened


def check(
    call: Call,
    identity: Annotated[
        list[Path], typer.Option(metavar="FILE", help="The age identity of encrypted backups; may be repeated.")
    ],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="A backup's id, its beginning, or `latest`; default the newest of each database.",
            autocompletion=completing.backups,
        ),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Decrypt and unpack all of it, not only its beginning.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show that a secret key opens the newest encrypted backup of each database.

    Run it where the key is, which need not be where backups are made: it needs
    the records and the drives. Ends with 1 if one cannot be opened, and also if
    there is nothing to open. `backupman doctor` asks for it until it was done.

    \b
    Examples:
      backupman key check --identity key.txt
      backupman key check latest --identity key.txt --whole
    """
    from backupman.engine.key_check import KeyCheck
    from backupman.pipeline.encryption import identities_in
    from backupman.store.verifiable import Named

    identities = [key for file in identity for key in identities_in(file)]
    done = []
    with call.records() as (config, store):
        named = Named(config.source_labels, config.drive_labels)
        backups = [store.backups.get(name, config.source_labels)] if name else store.verifiable.newest_encrypted(named)
        for opened in KeyCheck(config, store).check(backups, identities, whole=whole):
            done.append(opened)
            if not as_json:
                _print(call, opened, whole=whole)
    if as_json:
        _print_json(done)
    elif not done:
        typer.echo("Error: no encrypted backup with a copy is on record here", err=True)
    raise typer.Exit(ExitCode.OK if done and not any(each.error for each in done) else ExitCode.FAILED)


def _print(call: Call, opened: "Opened", *, whole: bool) -> None:
    from backupman.cli.output import console, local, print_marked

    what = f"{opened.backup.label} of {local(opened.backup.created_at)}"
    if opened.error:
        print_marked("failed", f"{what}: {opened.error}", console(stderr=True))
    elif not call.quiet:
        how = "the key opens all of it" if whole else "the key opens it"
        print_marked("finished", f"{what} on {opened.drive}: {how}", console())


def _print_json(done: "list[Opened]") -> None:
    from backupman.cli.output import print_json

    results = [
        {
            "Id": each.backup.id,
            "Label": each.backup.label,
            "Source": each.backup.source,
            "Database": each.backup.database,
            "Drive": each.drive,
            "Good": each.error is None,
            "Error": each.error,
        }
        for each in done
    ]
    print_json({"Results": results})
