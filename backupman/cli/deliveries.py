"""`deliveries`: who was told what, and sending again what did not arrive."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backupman.cli.call import Call
from backupman.cli.interrupts import interruptible
from backupman.cli.options import DrainTimeout, Json, Limit, duration, limited
from backupman.errors import ExitCode, NotFoundError

if TYPE_CHECKING:
    from backupman.app import App

Endpoint = Annotated[
    str | None, typer.Option("--endpoint", metavar="NAME", help="Only to this endpoint, for example webhook/Ops.")
]


def list_deliveries(
    call: Call,
    state: Annotated[
        Literal["owed", "delivered", "failed", "dropped"] | None, typer.Option(help="Only in this state.")
    ] = None,
    endpoint: Endpoint = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Who was told what, the newest first.

    Owed: it will be sent, again if need be. Failed: given up. Dropped: the endpoint is not in the config any more.

    \b
    Examples:
      backupman deliveries list --state owed
      backupman deliveries list --endpoint webhook/Ops --json
    """
    from backupman.cli.messages import DeliveryDocument, delivery_table, documents
    from backupman.cli.output import console, print_json

    with call.records() as (_, store):
        deliveries = store.outbox.deliveries(state, endpoint, limit=limited(limit, as_json=as_json))
    if as_json:
        print_json(documents(DeliveryDocument, deliveries))
    else:
        console().print(delivery_table(deliveries) if deliveries else "No delivery fits.")


def retry(
    call: Call,
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="ID", help="From `deliveries list`; default all owed and failed.")
    ] = None,
    endpoint: Endpoint = None,
    drain_timeout: DrainTimeout = "30s",
) -> None:
    """Send now what is owed, and once more what was given up.

    \b
    Examples:
      backupman deliveries retry
      backupman deliveries retry 17 18
      backupman deliveries retry --endpoint webhook/Ops
    """
    time = duration("--drain-timeout", drain_timeout)
    with call.app() as app:
        send(call, app, ids or _not_arrived(app, endpoint), time)


def _not_arrived(app: "App", endpoint: str | None) -> list[int]:
    found = [
        delivery
        for state in ("owed", "failed")
        for delivery in app.store.outbox.deliveries(state, endpoint, limit=None)
    ]
    return [delivery.id for delivery in found if delivery.id is not None]


def send(call: Call, app: "App", ids: Sequence[int], time: timedelta) -> None:
    """Make the deliveries due, send for that long, and end the command with what came of them.

    Raises:
        NotFoundError: there is no delivery of one of the ids.
    """
    from backupman.cli.messages import delivery_table
    from backupman.cli.output import console

    out = console()
    if not ids:
        if not call.quiet:
            out.print("There is nothing to send.")
        raise typer.Exit(ExitCode.OK)
    there = {delivery.id for delivery in app.store.outbox.deliveries(ids=ids, limit=None)}
    if missing := sorted(set(ids) - there):
        raise NotFoundError(f"there is no delivery {missing[0]}; see `backupman deliveries list`")
    app.store.outbox.owe_again(ids)
    with interruptible():
        app.dispatcher.drain(time)
    found = app.store.outbox.deliveries(ids=ids, limit=None)
    late = [delivery for delivery in found if delivery.state != "delivered"]
    if not call.quiet or late:
        out.print(delivery_table(late if call.quiet else found))
    raise typer.Exit(ExitCode.FAILED if late else ExitCode.OK)
