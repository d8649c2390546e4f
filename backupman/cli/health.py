"""`health`: can everything in the config be reached?"""

from typing import Annotated

import typer

from backupman.cli.call import Call
from backupman.cli.options import Json, duration
from backupman.errors import ExitCode


def health(
    call: Call,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="How long one check may take.")] = "15s",
    as_json: Json = False,
) -> None:
    """Check that everything in the config can be reached.

    That is the records, every drive and every source; the exit code is 1 when one cannot.

    A drive is checked by storing a small object and removing it again; nobody is sent a message.

    \b
    Examples:
      backupman health
      backupman health --json | jq .Status
    """
    from backupman.cli.output import console, mark, paragraph, print_json
    from backupman.engine.health import check

    span = duration("--timeout", timeout)
    found = check(call.load().config, span)
    if as_json:
        print_json(found.document())
    else:
        down = found.status == "DOWN"
        out = console(stderr=call.quiet)
        for component in found.components if not call.quiet or down else []:
            if component.error or not call.quiet:
                what = {"Drives": "drive", "DataSources": "source"}.get(component.group)
                name = f"{what:8}{component.label}" if what else "the records"
                out.print(mark(component.status, text=f"{component.status:6}").append(name, style="default"))
            if component.error:
                out.print(paragraph(component.error, 6, out), soft_wrap=True)
        _tell_of_lost_messages(call)
    raise typer.Exit(ExitCode.OK if found.status == "UP" else ExitCode.FAILED)


def _tell_of_lost_messages(call: Call) -> None:
    """Warn where messages were given up; whether the records can be used has been said before."""
    from backupman.cli.output import console, counted, print_marked
    from backupman.errors import StoreError
    from backupman.records import DeliveryState

    try:
        with call.records() as (_, store):
            lost = store.statistics.deliveries(DeliveryState.FAILED)
    except StoreError:
        return
    again = call.again("deliveries", "list", "--state", "failed")
    for endpoint, count in lost.items():
        told = f"{counted(count, 'message')} to {endpoint} could not be delivered and {'was' if count == 1 else 'were'}"
        print_marked("warning", f"{told} given up: {again}", console(stderr=True))
