"""`verify`: reads copies back from their drives and says whether they are what was stored."""

import random
from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli.call import Call
from backupman.cli.options import Json, known
from backupman.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backupman.app import App
    from backupman.engine.verifying import Checked
    from backupman.records import Backup


def verify(
    call: Call,
    name: Annotated[
        str | None, typer.Argument(metavar="ID", help="The id of a backup, its beginning, or `latest`.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every finished copy.")] = False,
    sample: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="So many backups by chance, the newest of each database too.")
    ] = None,
    drive: Annotated[
        list[str] | None, typer.Option("--drive", metavar="LABEL", help="Only on this drive; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read copies back, every byte, and compare them with what was stored.

    Ends with 1 if one is bad, gone or cannot be checked, and also if there is nothing to check.

    \b
    Examples:
      backupman verify latest
      backupman verify --all --drive offsite
      backupman verify --sample 5 -q          for cron: silent when all is well
    """
    if [bool(name), everything, sample is not None].count(True) != 1:
        raise ConfigError("name a backup, or say --all or --sample N (one of them)")
    with call.app() as app:
        for label in drive or []:
            known("drive", label, [each.label for each in app.config.drives])
        done = []
        for checked in app.verifier.verify(_chosen(app, name, sample), drive):
            done.append(checked)
            if not as_json and (checked.error or not call.quiet):
                _print(checked)
    bad = [checked for checked in done if checked.error]
    if as_json:
        _print_json(done)
    elif not done:
        typer.echo("Error: there is no finished copy to check", err=True)
    elif bad or not call.quiet:
        _sum_up(len(done), len(bad))
    raise typer.Exit(ExitCode.FAILED if bad or not done else ExitCode.OK)


def _chosen(app: "App", name: str | None, sample: int | None) -> "Sequence[Backup]":
    from backupman.records import Kind
    from backupman.store.backups import BackupFilter

    if name:
        return [app.store.backups.get(name)]
    found = app.store.backups.list(BackupFilter(kind=Kind.OWN))
    mine = [backup for backup in found if backup.instance == app.config.instance]
    if sample is None:
        return mine
    finished = [backup for backup in mine if any(file.status == "finished" for file in backup.drive_files)]
    newest = {(backup.job, backup.source, backup.database): backup for backup in reversed(finished)}
    chosen = {backup.id: backup for backup in newest.values()}
    rest = [backup for backup in finished if backup.id not in chosen]
    for backup in random.sample(rest, min(len(rest), max(0, sample - len(chosen)))):
        chosen[backup.id] = backup
    return list(chosen.values())


def _print(checked: "Checked") -> None:
    from backupman.cli.output import console, local, print_marked, size, span

    label, file = checked.backup.label, checked.file
    what = f"{label} of {local(checked.backup.created_at)} on {file.label}"
    if checked.error:
        print_marked("failed", f"{what}: {checked.error}", console(stderr=True))
    else:
        print_marked("finished", f"{what}: {size(file.size)} in {span(checked.seconds)}", console())


def _sum_up(count: int, bad: int) -> None:
    from backupman.cli.output import console, counted

    copies = counted(count, "copy", "copies")
    console().print(f"{bad} of {copies} not right." if bad else f"{copies} read back, every byte is right.")


def _print_json(done: "Sequence[Checked]") -> None:
    from backupman.cli.output import print_json
    from backupman.engine.verifying import VerifiedCopy

    results = [
        {"Label": each.backup.label, "Job": each.backup.job, **VerifiedCopy.about(each).document()} for each in done
    ]
    print_json({"Results": results})
