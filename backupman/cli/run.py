"""`run` and `retry`: the main job, watched, summed up, and with what is owed sent before the end."""

import getpass
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from backupman.children import one_child_early
from backupman.cli import completing
from backupman.cli.call import Call
from backupman.cli.interrupts import interruptible
from backupman.cli.options import DrainTimeout, Jobs, Json, Sources, Wait, duration, known, tags
from backupman.errors import BackupmanError, ConfigError, ExitCode

if TYPE_CHECKING:
    from backupman.app import App
    from backupman.config import JobPlan
    from backupman.engine.calls import Result
    from backupman.engine.figures import Asked
    from backupman.records import Backup

_DRAIN_INTERRUPTED = timedelta(seconds=5)


@one_child_early()
def run(
    call: Call,
    job: Jobs = None,
    source: Sources = None,
    comment: Annotated[str | None, typer.Option(metavar="TEXT", help="A remark for the records.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="A tag; may be repeated.")
    ] = None,
    wait: Wait = False,
    monitoring_verbosity: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=-2,
            max=2,
            help="What notifiers are told of the log, -2 (nothing) to 2 (all); default `monitoring_verbosity`.",
        ),
    ] = None,
    stats: Annotated[bool, typer.Option("--stats", help="Add sizes, speeds and versions to the log of each.")] = False,
    listing: Annotated[
        bool, typer.Option("--list", help="Add tables, objects and their checksums to the log of each.")
    ] = False,
    drain_timeout: DrainTimeout = "30s",
    as_json: Json = False,
) -> None:
    """Make backups now, of everything or of what is named.

    \b
    Examples:
      backupman run
      backupman run --source shop --comment "before the upgrade"
      backupman run --job nightly --tag release=7 --wait
      backupman run -q                        for cron: silent when all is well
      backupman run --stats --list            more for monitoring and show --log
    """
    from backupman.engine.figures import Asked
    from backupman.engine.runner import Order

    order = Order(trigger="manual", operator=operator(), comment=comment, tags=tags(tag or []))

    def work(app: "App") -> "Result":
        chosen = _chosen(app, job or [], source or [])
        app.spools.expire()
        interrupted = app.recovery.settle()  # of a run that was killed; where there is no daemon nobody else looks
        if interrupted and (gone_on := app.executor.retry(app.plans, interrupted, wait=wait)).interrupted:
            return gone_on
        return app.executor.run(chosen, source or None, order, wait=wait)

    drain, asked = duration("--drain-timeout", drain_timeout), Asked(stats, listing)
    _do(call, work, drain, as_json=as_json, verbosity=monitoring_verbosity, asked=asked)


@one_child_early()
def retry(
    call: Call,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="The id of a failed backup, its beginning, or `latest`.",
            autocompletion=completing.backups,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every database whose last backup has failed.")] = False,
    wait: Wait = False,
    drain_timeout: DrainTimeout = "30s",
    as_json: Json = False,
) -> None:
    """Go on with a failed backup.

    Only the uploads that failed are made again; where the dump failed, there is a new one.
    It ends with 1 as long as a drive lacks the dump, also one that is not `required`.

    \b
    Examples:
      backupman retry 1a2b3c4d
      backupman retry --all
    """
    if everything == bool(name):
        raise ConfigError("name the backup to retry, or say --all (and not both)")

    def work(app: "App") -> "Result":
        backups = [_failed(app, name)] if name else _all_failed(app)
        return app.executor.retry(app.plans, backups, wait=wait)

    drain = duration("--drain-timeout", drain_timeout)
    _do(call, work, drain, as_json=as_json, may_be_nothing=everything, everywhere=True)


def _chosen(app: "App", jobs: Sequence[str], sources: Sequence[str]) -> "list[JobPlan]":
    """The plans to run. Raises ConfigError for a label that is not there."""
    for job in jobs:
        known("job", job, [plan.label for plan in app.plans])
    chosen = [plan for plan in app.plans if not jobs or plan.label in jobs]
    for source in sources:
        known("source", source, [each.label for each in app.config.data_sources])
        if not any(each.label == source for plan in chosen for each in plan.sources):
            which = "none of the chosen jobs holds" if jobs else "no job holds"
            raise ConfigError(f"{which} the source {source!r}; see `data_sources` of the jobs in the config")
    return chosen


def _failed(app: "App", name: str) -> "Backup":
    backup = app.backup(name)
    if backup.status == "finished" and not backup.retryable:
        ended = f"backup {backup.id[:8]} of {backup.label} has finished"
        if lacking := [file.label for file in backup.drive_files if file.status == "failed"]:
            raise ConfigError(f"{ended}; copy it to {lacking[0]} by `backupman reconcile --drive {lacking[0]!r} --fix`")
        raise ConfigError(f"{ended}: there is nothing to retry")
    return backup


def _all_failed(app: "App") -> "list[Backup]":
    """The failed backups that are the last of their database, and those whose dump still waits in the spool.

    What the config does not mean any more is nobody's concern, unless its dump is there; nor is what others on the
    same records have made.
    """
    from backupman.store.backups import BackupFilter

    ours = BackupFilter(instance=app.config.instance)
    last: dict[tuple[str, str, str], str] = {}
    found: list[Backup] = []
    for backup in app.store.backups.list(replace(ours, status="failed")):
        of = (backup.job, backup.source, backup.database)
        if of not in last:
            # Without a database it failed before they were known, and a later backup of any of them makes up for it.
            same = replace(ours, job=backup.job, source=backup.source, database=backup.database or None)
            last[of] = app.store.backups.list(same, limit=1)[0].id
        if backup.dump_path or (backup.id == last[of] and _is_meant(app, backup)):
            found.append(backup)
    return found


def _is_meant(app: "App", backup: "Backup") -> bool:
    """Whether the config still has the job, the source and the database of a backup, and the server too."""
    from backupman.engine.executor import planned
    from backupman.records import now
    from backupman.store.standing import Of

    try:
        _, source = planned(app.plans, backup)
    except BackupmanError:
        return False
    if source.named is None and backup.database:  # dropped meanwhile, where the newest run did not find it
        of = Of(backup.instance, backup.job, backup.source)
        return backup.database in app.store.standing.databases(of, now())
    return source.means(backup.database)


def _do(
    call: Call,
    work: "Callable[[App], Result]",
    drain_timeout: timedelta,
    *,
    as_json: bool,
    may_be_nothing: bool = False,
    everywhere: bool = False,
    verbosity: int | None = None,
    asked: "Asked | None" = None,
) -> None:
    """Work while somebody watches, send what is owed, say what came of it, and end with its exit code."""
    from backupman.cli import summary
    from backupman.cli.progress import watcher

    _leave_to_the_summary(call)
    watching = watcher(quiet=call.quiet)
    with call.app(watching, verbosity, asked) as app:
        beside = app.dispatcher.beside() if drain_timeout else nullcontext()
        with beside, interruptible(watching.interrupted), watching:
            result = work(app)
        with interruptible():
            try:
                app.dispatcher.drain(min(drain_timeout, _DRAIN_INTERRUPTED) if result.interrupted else drain_timeout)
            except KeyboardInterrupt:
                result.interrupted = True
        code = _exit_code(result, may_be_nothing=may_be_nothing)
        if everywhere and code == ExitCode.OK and _lacking(result):
            code = ExitCode.FAILED
        summary.tell(call, app, result, code, as_json=as_json)
    raise typer.Exit(code)


def _exit_code(result: "Result", *, may_be_nothing: bool) -> ExitCode:
    if result.interrupted:
        return ExitCode.INTERRUPTED
    if result.busy and not (result.backups or result.errors):
        return ExitCode.BUSY
    if result.good and (result.backups or may_be_nothing):
        return ExitCode.OK
    return ExitCode.FAILED


def _lacking(result: "Result") -> bool:
    """Whether a drive lacks the dump of a backup, which may be finished without it."""
    return any(file.status == "failed" for backup in result.backups for file in backup.drive_files)


def _leave_to_the_summary(call: Call) -> None:
    """Keep from the log what the watcher and the summary say better."""
    said = {"executor": logging.CRITICAL, "pruning": logging.CRITICAL, "dispatcher": logging.CRITICAL}
    for name, level in ({} if call.verbose or call.debug else said).items():
        logging.getLogger(f"backupman.engine.{name}").setLevel(level)
    logging.getLogger("backupman.engine.runner").setLevel(logging.DEBUG if call.debug else logging.WARNING)


def operator() -> str | None:
    """Who asks: the account behind sudo, else the account."""
    if name := os.environ.get("SUDO_USER"):
        return name
    with suppress(KeyError, OSError):  # an account without a name, as in many containers
        return getpass.getuser()
    return None
