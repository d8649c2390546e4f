"""`deliveries`: who was told what, and sending again what did not arrive."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backupman.cli import completing
from backupman.cli.call import Call
from backupman.cli.interrupts import interruptible
from backupman.cli.options import DrainTimeout, Json, Limit, duration, known, limited
from backupman.errors import ConfigError, ExitCode, NotFoundError
from backupman.naming import LATEST

if TYPE_CHECKING:
    from backupman.app import App
    from backupman.config import Config
    from backupman.records import Delivery
    from backupman.store import Store

Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="NAME",
        help="Only to this endpoint, for example webhook/Ops.",
        autocompletion=completing.endpoints,
    ),
]
_LONGEST_ID = 18
"""Digits; a longer number fits into no column of ids."""
ID_HELP = "A number from `deliveries list`, or `latest`"
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help=f"{ID_HELP}.", autocompletion=completing.deliveries)
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

    Owed: it will be sent, again if need be. Failed: given up. Dropped: by hand, too late, or to an endpoint that
    is not in the config any more.

    \b
    Examples:
      backupman deliveries list --state owed
      backupman deliveries list --endpoint webhook/Ops --json
    """
    from backupman.cli.messages import DeliveryDocument, delivery_table, documents
    from backupman.cli.output import console, print_json

    with call.records() as (config, store):
        known_endpoint(config, store, endpoint)
        deliveries = store.outbox.deliveries(state, endpoint, limit=limited(limit, as_json=as_json))
    if as_json:
        print_json(documents(DeliveryDocument, deliveries))
    else:
        console().print(delivery_table(deliveries) if deliveries else "No delivery fits.")


def show(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="ID", help=f"{ID_HELP}.", autocompletion=completing.deliveries)],
    as_json: Json = False,
) -> None:
    """Everything that is known of one delivery: what was owed to whom, and every attempt with its answer.

    \b
    Examples:
      backupman deliveries show 17
      backupman deliveries show 17 --json | jq .Payload
    """
    from backupman.cli.messages import DeliveryShown, print_delivery
    from backupman.cli.output import console, print_json

    with call.records() as (_, store):
        delivery = _there(store, _numbers(store, [name]))[0]
    if as_json:
        print_json(DeliveryShown.of(delivery).document())
    else:
        print_delivery(call, delivery, console())


def drop(
    call: Call,
    ids: Ids = None,
    endpoint: Endpoint = None,
) -> None:
    """Owe deliveries no longer: those of the ids, or all of this instance to an endpoint, owed or given up.

    Their events stay in the records, and `events replay` tells them again.

    \b
    Examples:
      backupman deliveries drop 17 18
      backupman deliveries drop --endpoint webhook/Ops
    """
    from backupman.cli.output import console, counted

    if not ids and not endpoint:
        raise ConfigError("name what is to be dropped: ids from `backupman deliveries list`, or --endpoint")
    with call.records() as (config, store):
        known_endpoint(config, store, endpoint)
        named = _there(store, _numbers(store, ids)) if ids else _not_arrived(store, config, endpoint)
        dropped = store.outbox.drop([each.id for each in named if each.id is not None], "dropped by hand")
    if not call.quiet:
        console().print(f"{counted(dropped, 'delivery', 'deliveries')} dropped.")


def retry(
    call: Call,
    ids: Ids = None,
    endpoint: Endpoint = None,
    drain_timeout: DrainTimeout = "30s",
    as_json: Json = False,
) -> None:
    """Send now what is owed, and once more what was given up; without an ID all of it that is this instance's.

    \b
    Examples:
      backupman deliveries retry
      backupman deliveries retry 17 18
      backupman deliveries retry --endpoint webhook/Ops
    """
    time = duration("--drain-timeout", drain_timeout)
    with call.app() as app:
        known_endpoint(app.config, app.store, endpoint)
        named = _there(app.store, _numbers(app.store, ids)) if ids else _not_arrived(app.store, app.config, endpoint)
        for each in named:
            if each.instance != app.config.instance:
                raise ConfigError(
                    f"the delivery {each.id} is owed by the instance {each.instance}, which alone sends it; "
                    f"`backupman events replay {each.event.id[:8]}` tells its event from here"
                )
        send(call, app, [each.id for each in named if each.id is not None], time, as_json=as_json)


def known_endpoint(config: "Config", store: "Store", name: str | None) -> None:
    """Raise ConfigError for one that neither the config nor any delivery names."""
    if name is None or store.outbox.deliveries(endpoint=name, limit=1):
        return
    known("endpoint", name, [each.name for block in config.all_notifiers() for each in block.endpoints()])


def _numbers(store: "Store", words: Sequence[str]) -> list[int]:
    """Ids as they are typed. Raises ConfigError for what is none, NotFoundError for `latest` where there is none."""
    found = []
    for word in words:
        if word == LATEST:
            newest = store.outbox.deliveries(limit=1)
            if not newest:
                raise NotFoundError("there is no delivery yet")
            found += [each.id for each in newest if each.id is not None]
        elif word.isascii() and word.isdecimal() and len(word) <= _LONGEST_ID:
            found.append(int(word))
        else:
            raise ConfigError(f"{word!r} is no id of a delivery: it is a number from `backupman deliveries list`")
    return found


def _not_arrived(store: "Store", config: "Config", endpoint: str | None) -> "Sequence[Delivery]":
    """What this instance owes or has given up; what others of the same records owe is theirs to send."""
    outbox, mine = store.outbox, config.instance
    return [
        each for state in ("owed", "failed") for each in outbox.deliveries(state, endpoint, limit=None, instance=mine)
    ]


def send(call: Call, app: "App", ids: Sequence[int], time: timedelta, *, as_json: bool = False) -> None:
    """Make the deliveries of these ids due, send for that long, and end the command with what came of them."""
    from backupman.cli.messages import DeliveryDocument, delivery_table, documents
    from backupman.cli.output import console, print_json
    from backupman.notifiers import is_nothing

    out = console()
    if not ids:
        if as_json:
            print_json(documents(DeliveryDocument, []))
        elif not call.quiet:
            out.print("There is nothing to send.")
        raise typer.Exit(ExitCode.OK)
    app.store.outbox.owe_again(ids)
    with interruptible():
        app.dispatcher.drain(time)
    found = app.store.outbox.deliveries(ids=ids, limit=None)
    late = [each for each in found if each.state != "delivered" and not is_nothing(each.answer)]
    if as_json:
        print_json(documents(DeliveryDocument, found))
    elif not call.quiet or late:
        out.print(delivery_table(late if call.quiet else found))
    raise typer.Exit(ExitCode.FAILED if late else ExitCode.OK)


def _there(store: "Store", ids: Sequence[int]) -> "Sequence[Delivery]":
    """The deliveries of these ids. Raises NotFoundError."""
    found = store.outbox.deliveries(ids=ids, limit=None)
    if missing := sorted(set(ids) - {delivery.id for delivery in found}):
        raise NotFoundError(f"there is no delivery {missing[0]}; see `backupman deliveries list`")
    return found
