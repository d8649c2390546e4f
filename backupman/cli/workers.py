"""`workers`: who works, on what, and which queues have work that nobody takes."""

from contextlib import closing
from typing import TYPE_CHECKING

import typer

from backupman.cli.call import Call
from backupman.cli.options import Json
from backupman.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from rich.table import Table

    from backupman.engine.workers import Fleet, WorkersShown

_MARKS = {"living": "finished", "stopped": "dropped", "lost": "failed"}


def workers(call: Call, as_json: Json = False) -> None:
    """Who works on other hosts, on what, and which queues have work waiting.

    Needs only the records, and shows the same on every host, with a worker's own config too. Ends with 1 if work
    waits in a queue that no living worker takes from. With -q only such queues are shown.

    \b
    Examples:
      backupman workers
      backupman workers -c /etc/backupman/worker.yml
      backupman workers --json | jq '.Queues[] | select(.Waiting > 0)'
    """
    from backupman.cli.output import console, print_json
    from backupman.config import Loaded
    from backupman.engine.workers import NO_FLEET, fleet, has_fleet
    from backupman.store import Store

    loaded = call.load_any()
    config = loaded.config
    if isinstance(loaded, Loaded) and not has_fleet(loaded.config):
        raise ConfigError(NO_FLEET)
    with closing(Store.open(config.database.address(config.state_folder))) as store:
        found = fleet(store, config.instance)
    shown = found.shown()
    if as_json:
        print_json(shown.document())
    else:
        if not call.quiet:
            out = console()
            out.print(_workers(shown) if shown.workers else "No worker was ever started.")
            out.print()
            out.print(_queues(shown))
        _warn(found, quiet=call.quiet)
    raise typer.Exit(ExitCode.FAILED if found.unattended else ExitCode.OK)


def _workers(shown: "WorkersShown") -> "Table":
    from backupman.cli.output import local, mark, one_line, table

    made = table("HOST", "STATE", "VERSION", "TAKES FROM", "DOING", "LAST HEARD OF")
    made.columns[1].no_wrap = True
    for each in shown.workers:
        doing = [f"{one_line(one.what, 100)} since {local(one.since)}" for one in each.doing]
        made.add_row(
            one_line(each.host, 1000),
            mark(_MARKS[each.state], text=each.state),
            one_line(each.version, 40),
            ", ".join(each.queues) or "nothing",
            "\n".join(doing) or ("nothing" if each.state == "living" else ""),
            local(each.heard_at),
        )
    return made


def _queues(shown: "WorkersShown") -> "Table":
    from backupman.cli.output import local, mark, one_line, table

    made = table("QUEUE", "WAITING", "OLDEST OF", "TAKEN BY")
    made.columns[1].justify = "right"
    for each in shown.queues:
        hosts = ", ".join(one_line(host, 100) for host in each.workers)
        nobody = mark("failed", text="nobody") if each.unattended_since else "nobody"
        made.add_row(one_line(each.label, 200), f"{each.waiting:,}", local(each.oldest), hosts or nobody)
    return made


def _warn(found: "Fleet", *, quiet: bool) -> None:
    """Say of each queue that nobody takes from it, and what to do."""
    from backupman.cli.output import console, local, print_marked
    from backupman.engine.workers import waits

    out = console(stderr=quiet)
    for place, queue in enumerate(found.unattended):
        if place == 0 and not quiet:
            out.print()
        told = f"{queue.label}: {waits(queue)}, and no living worker takes from this queue since "
        told += f"{local(queue.unattended_since)}: {queue.remedy}"
        print_marked("failed", told, out)
