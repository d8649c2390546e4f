"""`events`: what happened, and telling it again."""

from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli import completing
from backupman.cli.call import Call
from backupman.cli.options import DrainTimeout, Json, Limit, duration, known, limited
from backupman.naming import LATEST

if TYPE_CHECKING:
    from backupman.app import App
    from backupman.records import Event


def list_events(
    call: Call,
    kind: Annotated[
        str | None,
        typer.Option(metavar="EVENT", help="Only this kind: backup_report, …", autocompletion=completing.kinds),
    ] = None,
    backup: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Only of this backup: its id, its beginning, or `latest`.",
            autocompletion=completing.backups,
        ),
    ] = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """What happened, the newest first.

    \b
    Examples:
      backupman events list
      backupman events list --backup latest --json
    """
    from backupman.cli.messages import EventDocument, documents, event_table
    from backupman.cli.output import console, print_json
    from backupman.events import EventKind

    if kind:
        known("kind of event", kind, list(EventKind))
    count = limited(limit, as_json=as_json)
    with call.records() as (config, store):
        backup_id = store.backups.get(backup, config.source_labels).id if backup else None
        events = store.outbox.events(kind=kind, backup_id=backup_id, limit=count)
    if as_json:
        print_json(documents(EventDocument, events))
    else:
        console().print(event_table(events) if events else "No event fits.")


def replay(
    call: Call,
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The id of an event, its beginning, or `latest`.", autocompletion=completing.events
        ),
    ],
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--endpoint",
            metavar="NAME",
            help="Only to this endpoint; may be repeated.",
            autocompletion=completing.endpoints,
        ),
    ] = None,
    drain_timeout: DrainTimeout = "30s",
    as_json: Json = False,
) -> None:
    """Tell an event again, under the same id, to everybody who wants such events or to one endpoint.

    \b
    Examples:
      backupman events replay 1a2b3c4d
      backupman events replay 1a2b3c4d --endpoint webhook/Ops
    """
    from backupman.cli.deliveries import send

    time = duration("--drain-timeout", drain_timeout)
    with call.app() as app:
        newest = app.store.outbox.events(limit=1) if name == LATEST else []
        event = newest[0] if newest else app.store.outbox.event(name)
        ids = app.store.outbox.replay(event.id, _endpoints(app, event, endpoint or []), app.config.instance)
        send(call, app, ids, time, as_json=as_json)


def _endpoints(app: "App", event: "Event", wanted: list[str]) -> list[str]:
    """The full names of the endpoints to tell. Raises ConfigError for one that is not there."""
    from backupman.app import endpoints
    from backupman.config import wanting

    if not wanted:
        return wanting(app.config, app.plan(event.job), event.kind)
    everyone = endpoints(app.config)
    short = {name.split("/", 1)[-1]: name for name in everyone}
    return [short.get(name) or known("endpoint", name, list(everyone)) for name in wanted]
