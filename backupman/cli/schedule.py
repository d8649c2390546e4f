"""`schedule`: when every job runs next, in its own zone."""

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backupman.cli.call import Call
from backupman.cli.options import Json, moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from backupman.config import Config, JobPlan


def schedule(
    call: Call,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="From when; default now: 2026-03-29, 2026-03-29T01:00Z."),
    ] = None,
    count: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="How many runs of each job.")] = 5,
    as_json: Json = False,
) -> None:
    """When every job runs next, in its own time zone.

    Nothing is run, and no daemon is needed. Try a new schedule with the days on which clocks change.

    \b
    Examples:
      backupman schedule
      backupman schedule --from 2026-03-28 --count 3
      backupman schedule --json | jq '.Results[].NextRuns[0]'
    """
    from backupman.cli.output import console, print_json
    from backupman.config import plans

    now = datetime.now(UTC)
    after = moment("--from", start, now) if start else now
    config = call.load().config
    jobs = plans(config)
    anchors = _first_seen(call, config) if any(job.schedule and job.schedule.every for job in jobs) else {}
    found = [(job, _next_runs(job, after, anchors, count)) for job in jobs]
    if as_json:
        print_json({"Results": [_document(job, runs) for job, runs in found]})
    else:
        console().print(_table(found))


def _first_seen(call: Call, config: "Config") -> "Mapping[str, datetime]":
    """What the intervals count from, where a daemon has seen them."""
    with call.records() as (_, store):
        return store.jobs.since(config.instance)


def _next_runs(job: "JobPlan", after: datetime, anchors: "Mapping[str, datetime]", count: int) -> list[datetime]:
    if job.schedule is None:
        return []
    due = islice(job.schedule.due(after, anchors.get(job.label, after)), count)
    return [time.astimezone(job.schedule.zone) for time in due]


def _document(job: "JobPlan", runs: list[datetime]) -> dict[str, Any]:
    return {
        "Label": job.label,
        "Schedule": job.schedule_text or None,
        "JitterSeconds": job.jitter.total_seconds() if job.jitter else None,
        "NextRuns": [run.isoformat() for run in runs],
    }


def _table(found: "list[tuple[JobPlan, list[datetime]]]") -> "Table":
    """A run a row; what is said of a job stands beside its first one."""
    from backupman.cli.output import one_line, table
    from backupman.registry import format_duration

    seconds = any(run.second for _, runs in found for run in runs)
    shape = "%a %Y-%m-%d %H:%M:%S %Z" if seconds else "%a %Y-%m-%d %H:%M %Z"
    shown = table("JOB", "NEXT RUNS", "SCHEDULE")
    shown.columns[0].no_wrap, shown.columns[1].no_wrap = False, True
    for job, runs in found:
        jitter = f", up to {format_duration(job.jitter)} later" if job.jitter else ""
        about = job.schedule_text + jitter if job.schedule else "by hand, or from outside"
        times = [run.strftime(shape) for run in runs] or ["never" if job.schedule else ""]
        for row, time in enumerate(times):
            shown.add_row(one_line(job.label, 1000) if row == 0 else "", time, about if row == 0 else "")
    return shown
