"""`verify`: reads copies back from their drives, or restores them, and says whether they are good."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli import completing
from backupman.cli.call import Call
from backupman.cli.delivering import deliver
from backupman.cli.interrupts import interruptible
from backupman.cli.options import Json, known
from backupman.errors import ConfigError, ExitCode, Interrupted
from backupman.levels import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from backupman.app import App
    from backupman.engine.verify_report import Checked
    from backupman.records import Backup


def verify(
    call: Call,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="ID", help="The id of a backup, its beginning, or `latest`.", autocompletion=completing.backups
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every finished copy.")] = False,
    sample: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="So many backups by chance, the newest of each database too.")
    ] = None,
    level: Annotated[
        Level,
        typer.Option(
            help="`checksum` reads every byte, `structure` the whole archive, `restore` restores it: a drill."
        ),
    ] = "checksum",
    drive: Annotated[
        list[str] | None,
        typer.Option(
            "--drive", metavar="LABEL", help="Only on this drive; may be repeated.", autocompletion=completing.drives
        ),
    ] = None,
    identity: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="The age identity of encrypted backups; default `verify.identity_file`."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read copies back and compare them with what was stored, or restore them into a throwaway database.

    Ends with 1 if one is bad, gone or could not be checked, and also if there is nothing to check.

    \b
    Examples:
      backupman verify latest
      backupman verify --all --drive offsite
      backupman verify latest --level restore --identity key.txt
      backupman verify --sample 5 -q          for cron: silent when all is well
    """
    from backupman.pipeline.encryption import identities_in

    if [bool(name), everything, sample is not None].count(True) != 1:
        raise ConfigError("name a backup, or say --all or --sample N (one of them)")
    identities = [key for file in identity or [] for key in identities_in(file)]
    done, bad, unchecked, results = 0, 0, 0, []
    with call.app() as app:
        for label in drive or []:
            known("drive", label, app.config.drive_labels)
        try:
            with interruptible():
                for checked in app.verifier.verify(_chosen(app, name, sample), drive, level, identities):
                    done, bad, unchecked = done + 1, bad + checked.bad, unchecked + checked.unchecked
                    if as_json:
                        results.append(_document(checked))
                    elif checked.error or not call.quiet:
                        _print(checked)
        except KeyboardInterrupt:
            app.verifier.stop("it was interrupted")
            raise Interrupted("verifying was interrupted") from None
        deliver(app)
    if as_json:
        _print_json(results)
    elif not done:
        typer.echo("Error: there is no finished copy to check", err=True)
    elif bad or unchecked or not call.quiet:
        _sum_up(level, done, bad, unchecked)
    raise typer.Exit(ExitCode.FAILED if bad or unchecked or not done else ExitCode.OK)


def _chosen(app: "App", name: str | None, sample: int | None) -> "Iterable[Backup]":
    from random import SystemRandom

    from backupman.store.verifiable import Named

    if name:
        return [app.backup(name)]
    named = Named(app.config.source_labels, app.config.drive_labels)
    if sample is None:
        return app.store.verifiable.all(app.config.instance, named)
    return app.store.verifiable.sample(app.config.instance, named, sample, SystemRandom())


def _print(checked: "Checked") -> None:
    from backupman.cli.output import console, local, print_marked, size, span

    label, file = checked.backup.label, checked.file
    what = f"{label} of {local(checked.backup.created_at)} on {file.label}"
    if checked.error:
        said = f"could not be checked: {checked.error}" if checked.unchecked else checked.error
        print_marked("failed", f"{what}: {said}", console(stderr=True))
        return
    print_marked("finished", f"{what}: {size(file.size)} in {span(checked.seconds)}", console())
    if checked.drill:
        console().print(f"    {_found(checked)}", soft_wrap=True)


def _found(checked: "Checked") -> str:
    """What a good drill found, in a line."""
    from backupman.cli.output import counted, span

    drill = checked.drill
    assert drill is not None  # noqa: S101 - asked before
    said = [f"restored in {span(drill.restore_seconds)}"]
    if drill.tables:
        rows = "as they were dumped" if drill.compared else "not compared, as the dump has no manifest"
        said.append(f"{counted(drill.tables, 'table', 'tables')} and {counted(drill.rows, 'row', 'rows')}, {rows}")
    if drill.assertions:
        said.append(counted(len(drill.assertions), "assertion holds", "assertions hold"))
    if drill.newest_age_seconds is not None:
        said.append(f"the newest row is {span(drill.newest_age_seconds)} old")
    return "; ".join(said)


def _sum_up(level: Level, count: int, bad: int, unchecked: int) -> None:
    from backupman.cli.output import console, counted

    copies = counted(count, "copy", "copies")
    good = {
        "checksum": f"{copies} read back, every byte is right.",
        "structure": f"{copies} read through, each is whole.",
        "restore": f"{copies} restored in drills, all that should be there was there.",
    }
    wrong = {"not right": bad, "could not be checked": unchecked}
    said = [f"{number} of {copies} {words}" for words, number in wrong.items() if number]
    console().print(f"{'; '.join(said)}." if said else good[level])


def _document(checked: "Checked") -> dict[str, object]:
    from backupman.engine.verify_report import VerifiedCopy

    return {"Label": checked.backup.label, "Job": checked.backup.job, **VerifiedCopy.about(checked).document()}


def _print_json(results: "Sequence[dict[str, object]]") -> None:
    from backupman.cli.output import print_json

    print_json({"Results": results})
