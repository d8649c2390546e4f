"""`doctor`: would everything be backed up, kept and restorable, and would somebody be told if not?"""

from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli.call import Call
from backupman.cli.options import Json, duration
from backupman.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backupman.engine.findings import Finding

_MARKS = {"good": "finished", "advice": "warning", "problem": "failed"}


def doctor(
    call: Call,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="How long one look may take.")] = "60s",
    as_json: Json = False,
) -> None:
    """Look for what would keep a backup from being made, kept, restored or told of.

    Grants that dumps need, versions that fit, what would be left out, drives, room on the disk, the clock, jobs and
    the daemon, alarms that did not arrive, copies that nobody ever looked at. Every finding says what to do. Nothing
    is dumped, and nobody is sent a message.

    Ends with 1 if there is a problem; advice changes no exit code. With -q only problems are shown.

    \b
    Examples:
      backupman doctor
      backupman doctor --json | jq '.Findings[] | select(.Severity == "problem")'
    """
    from backupman.cli.output import print_json
    from backupman.engine.doctor import examine
    from backupman.engine.findings import Severity, worst

    found = examine(call.load(), duration("--timeout", timeout))
    gravest = worst(found)
    if as_json:
        print_json({"Severity": gravest, "Findings": [finding.document() for finding in found]})
    else:
        _print(call, found)
    raise typer.Exit(ExitCode.FAILED if gravest == Severity.PROBLEM else ExitCode.OK)


def _print(call: Call, found: "Sequence[Finding]") -> None:
    """The findings by area, the gravest of each first, and a sentence that sums them up."""
    from backupman.cli.output import console, counted, print_marked
    from backupman.engine.findings import Severity

    quiet = call.quiet
    out = console(stderr=quiet)
    order = list(Severity)
    for area in dict.fromkeys(finding.area for finding in found):
        mine = [finding for finding in found if finding.area == area]
        shown = [finding for finding in mine if finding.severity == Severity.PROBLEM or not quiet]
        if shown:
            out.print(area.capitalize(), style="bold")
        for finding in sorted(shown, key=lambda finding: -order.index(finding.severity)):
            about = f"{finding.about}: " if finding.about else ""
            print_marked(_MARKS[finding.severity], about + call.pasteable(finding.sentence), out, 2)
    if quiet:
        return
    problems, advice = (
        sum(finding.severity == severity for finding in found) for severity in (Severity.PROBLEM, Severity.ADVICE)
    )
    told = [counted(problems, "problem")] if problems else []
    told += [counted(advice, "piece of advice", "pieces of advice")] if advice else []
    out.print()
    if problems:
        print_marked("failed", f"{' and '.join(told)}.", out)
    else:
        print_marked("finished", f"Nothing is wrong; {told[0]}." if told else "Nothing is wrong.", out)
