"""`prune`, `pin` and `unpin`: what the retention would remove and why, doing it now, and what it must not touch."""

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backupman.cli.call import Call
from backupman.cli.delivering import deliver
from backupman.cli.options import BackupName, Jobs, Json, Sources, duration, known
from backupman.errors import BackupmanError, BusyError, ConfigError, ExitCode
from backupman.text import written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from backupman.app import App
    from backupman.config import JobPlan
    from backupman.engine.pruning import Plan, Step
    from backupman.sources import Source

_WORDS = {"keep": "finished", "mark": "pending", "trash": "pending", "retained": "pending", "delete": "failed"}
"""The mark that each action is shown with."""


def prune(
    call: Call,
    job: Jobs = None,
    source: Sources = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what becomes of every copy, and remove none.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove the copies that the retention lets go.

    That is done after every good backup too; this does it now.

    \b
    Examples:
      backupman prune --dry-run
      backupman prune --job nightly
      backupman prune --dry-run --json | jq '.Results[].Reason'
    """
    done: list[tuple[JobPlan, Plan]] = []
    errors: list[BackupmanError] = []
    busy = 0
    with call.app() as app:
        for plan, each in _chosen(app, job or [], source or []):
            try:
                done.append((plan, _one(app, plan, each, errors, dry_run=dry_run)))
            except BusyError as error:
                busy += 1
                errors.append(error)
        if not dry_run:
            deliver(app)
    steps = [(plan, step) for plan, planned in done for step in planned.steps]
    warnings = [sentence for _, planned in done for sentence in planned.warnings]
    if as_json:
        _print_json(steps, warnings, errors)
    else:
        _print(steps, warnings, errors, dry_run=dry_run, quiet=call.quiet)
    if errors:
        raise typer.Exit(ExitCode.BUSY if busy == len(errors) and not done else ExitCode.FAILED)


def pin(
    call: Call,
    name: BackupName,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until when: 2027-01-31, or 90d from now; default for ever.")
    ] = None,
) -> None:
    """Keep a backup, whatever the retention says. It also takes its copies out of the trash.

    \b
    Examples:
      backupman pin latest
      backupman pin 1a2b3c4d --until 2027-01-31
    """
    from backupman.cli.output import console, local
    from backupman.retention import FOR_EVER

    end = _until(until, datetime.now(UTC)) if until else FOR_EVER
    with call.records() as (config, store):
        backup = store.copies.pin(store.backups.get(name, config.source_labels).id, end)
    if not call.quiet:
        how_long = f"until {local(end)}" if until else f"until you say {call.again('unpin', backup.id[:8])}"
        console().print(f"Backup {backup.id[:8]} of {backup.label} is kept {how_long}.", soft_wrap=True)


def unpin(call: Call, name: BackupName) -> None:
    """Let the retention judge a backup again.

    \b
    Examples:
      backupman unpin 1a2b3c4d
    """
    from backupman.cli.output import console

    with call.records() as (config, store):
        backup = store.copies.pin(store.backups.get(name, config.source_labels).id, None)
    if not call.quiet:
        console().print(f"Backup {backup.id[:8]} of {backup.label} is kept as long as the retention says.")


def _chosen(app: "App", jobs: "Sequence[str]", sources: "Sequence[str]") -> "list[tuple[JobPlan, Source]]":
    """What to prune, job by job. Raises ConfigError for a label that is not there."""
    for job in jobs:
        known("job", job, [plan.label for plan in app.plans])
    for source in sources:
        known("source", source, [each.label for each in app.config.data_sources])
    chosen = [plan for plan in app.plans if not jobs or plan.label in jobs]
    if not any(plan.retention_on(drive) for plan in chosen for drive in plan.drives):
        raise ConfigError("no retention is configured: nothing is ever removed; see `retention` in the config")
    return [(plan, each) for plan in chosen for each in plan.sources if not sources or each.label in sources]


def _one(app: "App", plan: "JobPlan", source: "Source", errors: list[BackupmanError], *, dry_run: bool) -> "Plan":
    """Plan, and do it unless it is only asked for."""
    from backupman.engine.holding import source_alone

    free = nullcontext() if dry_run else source_alone(app.config.state_folder, app.holding, source.label)
    with free:
        planned = app.pruner.plan(plan, source)
        if not dry_run:
            errors += app.pruner.prune(plan, source, planned)
    return planned


def _until(text: str, now: datetime) -> datetime:
    """A time ahead: `90d` from now, a date or an ISO 8601 time. Raises ConfigError."""
    try:
        time = written(text)
    except (ValueError, OverflowError):
        try:
            time = now + duration("--until", text)
        except (ConfigError, OverflowError) as error:
            raise ConfigError(f"--until: {text!r} is no time: write for example 90d or 2027-01-31") from error
    if time <= now:
        raise ConfigError(f"--until: {text} is over already")
    return time


def _print_json(
    steps: "Sequence[tuple[JobPlan, Step]]", warnings: "Sequence[str]", errors: "Sequence[BackupmanError]"
) -> None:
    from backupman.cli.output import print_json

    print_json(
        {
            "Results": [_document(plan, step) for plan, step in steps],
            "Warnings": list(warnings),
            "Errors": [error.sentence for error in errors],
        }
    )


def _document(plan: "JobPlan", step: "Step") -> dict[str, Any]:
    from backupman.engine.pruning import PrunedCopy

    return {"Job": plan.label, "Source": step.file.backup.source} | PrunedCopy.about(step).document()


def _print(
    steps: "Sequence[tuple[JobPlan, Step]]",
    warnings: "Sequence[str]",
    errors: "Sequence[BackupmanError]",
    *,
    dry_run: bool,
    quiet: bool,
) -> None:
    from backupman.cli.output import console, counted, local, one_line, print_marked, size, table

    out, err = console(), console(stderr=True)
    shown = table("LABEL", "DRIVE", "BEGAN", "SIZE", "WHAT", "WHY")
    shown.columns[0].no_wrap = False
    for column in (2, 3, 4):
        shown.columns[column].no_wrap = True
    for _, step in steps:
        if dry_run or step.action in ("delete", "mark", "retained"):
            backup = step.file.backup
            began = local(backup.created_at)
            shown.add_row(one_line(backup.label, 200), step.file.label, began, size(step.file.size), *_what(step))
    if quiet:
        pass
    elif shown.row_count:
        out.print(shown)
    else:
        trash = sum(step.action == "trash" for _, step in steps)
        waiting = f", {trash} of them in the trash" if trash else ""
        kept = counted(len(steps), "copy", "copies")
        out.print(f"Nothing is to be removed: {kept}{waiting}." if steps else "There is no finished copy yet.")
    for sentence in warnings:
        print_marked("warning", sentence, err)
    for error in errors:
        print_marked("failed", error.sentence, err)


def _what(step: "Step") -> "tuple[Text, str]":
    from backupman.cli.output import mark

    if step.error:
        return mark("failed", text="not deleted"), step.error
    return mark(_WORDS[step.action], text=step.action), step.reason
