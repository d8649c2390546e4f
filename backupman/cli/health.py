"""`health`: can everything in the config be reached?"""

from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli.call import Call
from backupman.cli.options import Json, duration
from backupman.errors import ExitCode

if TYPE_CHECKING:
    from backupman.engine.reaching import Reached


def health(
    call: Call,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="How long one check may take.")] = "15s",
    as_json: Json = False,
) -> None:
    """Check that everything in the config can be reached.

    That is the records, every drive and every source; the exit code is 1 when one cannot.

    A drive is checked by storing a small object and removing it again; nobody is sent a message. Whoever could not be
    told something lately is named, and changes no exit code.

    \b
    Examples:
      backupman health
      backupman health --json | jq .Status
    """
    from backupman.cli.output import console, mark, paragraph, print_json
    from backupman.engine import reaching
    from backupman.engine.health import check

    span = duration("--timeout", timeout)
    found = check(call.load().config, span)
    told = _told(call)
    if as_json:
        document = found.document()
        document["Details"]["Messages"] = None if told is None else reaching.document(told)
        print_json(document)
    else:
        down = found.status == "DOWN"
        out = console(stderr=call.quiet)
        for component in found.components if not call.quiet or down else []:
            if component.error or not call.quiet:
                what = {"Drives": "drive", "DataSources": "source"}.get(component.group)
                name = f"{what:8}{component.label}" if what else "the records"
                name = paragraph(name, 16 if what else 8, out).lstrip()
                out.print(
                    mark(component.status, text=f"{component.status:6}").append(name, style="default"), soft_wrap=True
                )
            if component.error:
                out.print(paragraph(component.error, 6, out), soft_wrap=True)
        for each in told or []:
            _warn(call, each)
    raise typer.Exit(ExitCode.OK if found.status == "UP" else ExitCode.FAILED)


def _told(call: Call) -> "list[Reached] | None":
    """How messages get to everybody; None where the records cannot be used, which has been said before."""
    from backupman.engine.reaching import reached
    from backupman.errors import StoreError
    from backupman.records import now

    try:
        with call.records() as (config, store):
            return reached(config, store, now())
    except StoreError:
        return None


def _warn(call: Call, each: "Reached") -> None:
    """Say that somebody was not told, or is not reached."""
    from backupman.cli.output import console, counted, local, print_marked
    from backupman.engine.alarm_drills import Outcome

    err = console(stderr=True)
    if each.given_up:
        told = f"{counted(each.given_up, 'message')} to {each.endpoint} could not be delivered and"
        told += f" {'was' if each.given_up == 1 else 'were'} given up, the oldest of {local(each.oldest)}"
        print_marked("warning", f"{told}: {call.again('deliveries', 'list', '--state', 'failed')}", err)
    if each.result.outcome == Outcome.FAILED:
        told = f"{each.endpoint} was not reached by the alarm drill of {local(each.result.at)}: {each.result.said}"
        print_marked("warning", told, err)
