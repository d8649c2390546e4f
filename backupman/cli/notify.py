"""`notify`: does everybody still get what they are sent, and what would they get?"""

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli import completing
from backupman.cli.call import Call
from backupman.cli.interrupts import interruptible
from backupman.cli.options import DrainTimeout, Json, duration, known
from backupman.errors import ExitCode, NotifyError

if TYPE_CHECKING:
    from backupman.app import App
    from backupman.config import Config
    from backupman.engine.reaching import Reached
    from backupman.engine.samples import Recipient
    from backupman.events import EventKind

_POLL = 0.2

Notifiers = Annotated[
    list[str] | None,
    typer.Option(
        "--notifier",
        metavar="NAME",
        help="Only this one, by a name that jobs use; may be repeated.",
        autocompletion=completing.endpoints,
    ),
]


def test(
    call: Call,
    event: Annotated[
        str | None,
        typer.Argument(
            metavar="EVENT",
            help="The kind: backup_failure, …; default what disturbs least.",
            autocompletion=completing.kinds,
        ),
    ] = None,
    notifier: Notifiers = None,
    as_json: Json = False,
) -> None:
    """Send a sample that is marked as a test to every endpoint, once, and print what each answered.

    An EVENT goes to the endpoints that want such events, and to those named by --notifier in any case. Nothing is
    recorded or tried again. What a test does to a service that shows a state stands in docs/notifiers.md.

    \b
    Examples:
      backupman notify test
      backupman notify test backup_failure --notifier pagerduty
      backupman notify test --json
    """
    import asyncio  # here: it takes longer than a light command to start

    from backupman.cli.output import console, print_json
    from backupman.engine.samples import tell

    kind = _kind(event)
    config = call.load().config
    chosen = [each for each in _chosen(config, notifier) if notifier or not kind or kind in each.endpoint.events]
    trials = asyncio.run(tell(chosen, kind))
    failed = any(not trial.delivered for trial in trials)
    if as_json:
        from backupman.cli.messages import TrialDocument, documents

        print_json(documents(TrialDocument, trials))
    elif not trials:
        console().print("No endpoint wants such events." if kind and config.all_notifiers() else "Nobody is told.")
    else:
        from backupman.cli.messages import print_trials

        print_trials([trial for trial in trials if not (call.quiet and trial.delivered)], console())
    raise typer.Exit(ExitCode.FAILED if failed else ExitCode.OK)


def preview(
    call: Call,
    event: Annotated[
        str, typer.Argument(metavar="EVENT", help="The kind: backup_failure, …", autocompletion=completing.kinds)
    ],
    notifier: Notifiers = None,
) -> None:
    """Print what a sample of an event would look like on its way, secrets masked; nothing is sent.

    \b
    Examples:
      backupman notify preview backup_failure --notifier ops-mail
      backupman notify preview backup_report --notifier webhook
    """
    from backupman.engine.samples import sample

    kind = _kind(event)
    assert kind is not None  # noqa: S101 - it was given
    failed = False
    chosen = _chosen(call.load().config, notifier)
    if not chosen:
        typer.echo("Nobody is told.", err=True)
    for number, each in enumerate(chosen):
        try:
            text = each.endpoint.preview(sample(kind, each.names))
        except NotifyError as error:
            text, failed = f"Error: {error.sentence}", True
        typer.echo(("\n" if number else "") + f"# {each.endpoint.name}\n{text}")
    raise typer.Exit(ExitCode.FAILED if failed else ExitCode.OK)


def drill(
    call: Call,
    status: Annotated[bool, typer.Option("--status", help="Send nothing; show what came of the last drill.")] = False,
    notifier: Notifiers = None,
    drain_timeout: DrainTimeout = "30s",
    as_json: Json = False,
) -> None:
    """Prove that everybody is reached, as the planned `alarm_drill` does, and record what came of it.

    A message that is marked as a drill takes the way of an alarm, and is tried again where it has to be. What each
    service is sent stands in docs/alarm-drill.md; no state is changed and nobody is paged, unless `events` says so.

    \b
    Examples:
      backupman notify drill
      backupman notify drill --notifier ops-mail
      backupman notify drill --status
    """
    from backupman.cli.messages import print_reached
    from backupman.cli.output import console, print_json
    from backupman.engine import reaching
    from backupman.engine.alarm_drills import Outcome
    from backupman.records import now

    time = duration("--drain-timeout", drain_timeout)
    for name in () if call.verbose or call.debug else ("dispatcher", "alarm_drills"):
        logging.getLogger(f"backupman.engine.{name}").setLevel(logging.CRITICAL)  # what is printed says it better
    if status:
        with call.records() as (config, store):
            found = reaching.reached(config, store, now(), _chosen(config, notifier) if notifier else None)
    else:
        with call.app() as app:
            found = _held(app, _chosen(app.config, notifier) if notifier else None, time)
    if as_json:
        print_json({"Results": [each.shown().document() for each in found]})
    else:
        if not (found or call.quiet):
            console().print("Nobody takes part.")
        print_reached([each for each in found if not (call.quiet and each.is_right)], console())
    wrong = {Outcome.FAILED} if status else {Outcome.FAILED, Outcome.UNDER_WAY}
    raise typer.Exit(ExitCode.FAILED if any(each.result.outcome in wrong for each in found) else ExitCode.OK)


def _held(app: "App", chosen: "list[Recipient] | None", time: timedelta) -> "list[Reached]":
    """Hold a drill now: send, and wait for a daemon that is faster than we are."""
    from time import monotonic, sleep

    from backupman.engine.alarm_drills import Outcome, begin, drilled
    from backupman.engine.reaching import reached
    from backupman.records import now

    taking_part = drilled(app.config) if chosen is None else chosen
    end, at = monotonic() + time.total_seconds(), now()
    begin(app.config, app.store, taking_part, at, at)
    with interruptible():
        while True:
            app.dispatcher.drain(timedelta(seconds=max(end - monotonic(), 0.0)))
            found = reached(app.config, app.store, now(), taking_part)
            if monotonic() >= end or all(each.result.outcome != Outcome.UNDER_WAY for each in found):
                return found
            sleep(_POLL)


def _kind(event: str | None) -> "EventKind | None":
    """The kind of that name. Raises ConfigError for one that is not there."""
    from backupman.events import EventKind

    return EventKind(known("kind of event", event, list(EventKind))) if event else None


def _chosen(config: "Config", wanted: list[str] | None) -> "list[Recipient]":
    """Who is meant. Raises ConfigError for a name that nobody has."""
    from backupman.engine.samples import names, recipients

    for name in wanted or []:
        known("notifier", name, names(config))
    return recipients(config, wanted or [])
