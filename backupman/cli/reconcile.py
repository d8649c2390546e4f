"""`reconcile`: whether the records and what the drives hold fit together, and putting right what can be."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from backupman.cli import completing
from backupman.cli.call import Call
from backupman.cli.delivering import deliver
from backupman.cli.options import Json, known
from backupman.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from backupman.engine.reconcile_report import Item, Review

_HARMLESS_SHOWN = 10
_OTHERS_SHOWN = 3


def reconcile(
    call: Call,
    drive: Annotated[
        list[str] | None,
        typer.Option(
            "--drive", metavar="LABEL", help="Only this drive; may be repeated.", autocompletion=completing.drives
        ),
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Put right what can be; without it nothing is changed.")] = False,
    adopt: Annotated[
        list[str] | None,
        typer.Option("--adopt", metavar="INSTANCE", help="Take what another instance has left for ours; see the docs."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare the records with what the drives hold.

    Ends with 1 if something is wrong and was not mended. On a fresh host,
    `--fix` makes all records anew from what the drives hold.

    \b
    Examples:
      backupman reconcile
      backupman reconcile --drive offsite --fix
      backupman reconcile --fix --adopt old-host      old-host is no more
    """
    with call.app() as app:
        drives = app.config.drive_labels
        for label in drive or []:
            known("drive", label, drives)
        chosen = [each for each in app.config.drives if not drive or each.label in drive]
        reviews = []
        for review in app.reconciler.reconcile(chosen, fix=fix, adopting=adopt or []):
            reviews.append(review)
            if not as_json:
                _print(review, fix=fix, quiet=call.quiet)
        deliver(app)
        instance = app.config.instance
    if as_json:
        _print_json(reviews, instance)
    elif not fix and any(review.mendable for review in reviews):
        typer.echo(f"Put right what can be: {call.again('reconcile', '--fix')}", err=True)
    elif not call.quiet:
        _tell_of_others(call, reviews, instance)
    raise typer.Exit(ExitCode.OK if all(review.good for review in reviews) else ExitCode.FAILED)


def _tell_of_others(call: Call, reviews: "Sequence[Review]", instance: str) -> None:
    """How to take what another instance has left, where there is nothing else."""
    from backupman.cli.output import counted, printable
    from backupman.engine.reconcile_report import only_of_others

    for other, count in only_of_others(reviews).most_common(_OTHERS_SHOWN):
        name, there = printable(other), f"there {'is' if count == 1 else 'are'} {counted(count, 'object')}"
        typer.echo(
            f"Nothing there is of {instance}, and of {name} {there}. If this host takes the place of {name}, set "
            f"`instance: {name}` in the config; if {name} is no more, take them over: "
            f"{call.again('reconcile', '--fix', '--adopt', name)}",
            err=True,
        )


def _print(review: "Review", *, fix: bool, quiet: bool) -> None:
    from backupman.cli.output import console, print_marked, table
    from backupman.engine.comparing import Finding
    from backupman.engine.reconcile_report import sentence

    if quiet and review.good and not review.mended:
        return
    out = console(stderr=True) if quiet else console()
    print_marked("finished" if review.good else "failed", sentence(review), out)
    if review.unlisted:
        print_marked("warning", f"only what is on record was looked at: {review.unlisted}", out, indent=2)
    shown = table("WHAT", "OBJECT", "WHY")
    harmless = [
        item for item in review.items if item.found.kind in (Finding.FOREIGN, Finding.UNREAD) and not item.error
    ]
    for item in [item for item in review.items if item not in harmless] + harmless[:_HARMLESS_SHOWN]:
        shown.add_row(_what(item), item.found.name, _why(item))
    if shown.row_count:
        out.print(shown)
    if (more := sum(review.counts.values()) - shown.row_count) > 0:
        out.print(f"… and {more:,} more")


def _what(item: "Item") -> "Text":
    from backupman.cli.output import mark

    if item.mended:
        return mark("finished", text=item.found.kind)
    return mark("failed" if item.found.wrong else "dropped", text=item.found.kind)


def _why(item: "Item") -> str:
    said = (item.found.reason, item.mended, item.error)
    return "; ".join(each for each in said if each)


def _print_json(reviews: "Sequence[Review]", instance: str) -> None:
    from backupman.cli.output import print_json
    from backupman.engine.reconcile_report import report_of

    results: list[dict[str, Any]] = [
        report_of(review, instance).document() | {"Unlisted": review.unlisted} for review in reviews
    ]
    print_json({"Results": results})
