"""What is told of deadlines: the payload of their events, with a sentence that says it all in words."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import Field

from backupman.engine.promises import COUNTED, Deadline, Missed, Odd, Promise, Target
from backupman.events import EventKind, Time, View
from backupman.registry import format_duration
from backupman.text import few, listed, minute, size

_NAMED = 10
"""How many databases a sentence names; the payload has them all."""


class IncidentReport(View):
    """The payload of `backup_late`, `backup_missed`, `backup_stuck`, `size_anomaly` and `backup_recovered`."""

    label: str = Field(description="The source's label, or `source/database` where one of several is concerned.")
    job: str
    source: str = Field(description="Of an ingested job the device.")
    source_provider: str = Field(description="`ingest` for an ingested job.")
    database: str | None = Field(description="Where one is concerned.")
    databases: list[str] = Field(description="All that are concerned.")
    instance: str
    sender: str | None = Field(description="Of an ingested job.")
    incident: str = Field(description="The kind of the incident; of a recovery, of what is over.")
    since: Time = Field(description="When it was first told.")
    reminder: bool = Field(description="Whether it was told before.")
    due_at: Time | None = Field(description="When the good backup was due that is not there.")
    max_age: float | None = Field(description="The job's `max_age` in seconds.")
    last_success: Time | None = Field(description="When the newest good backup was begun; of several, the oldest.")
    size: int | None = Field(description="Bytes; of an anomaly of one database.")
    usual_size: int | None = Field(description="The median of those before it.")
    reason: str = Field(description="All this in a sentence.")


def report(
    promise: Promise,
    targets: Sequence[Target],
    *,
    incident: EventKind,
    reason: str,
    since: datetime,
    due_at: datetime | None,
    reminder: bool,
    odd: Odd | None,
) -> IncidentReport:
    """The payload of an event about some targets of a promise."""
    good = [target.good.created_at if target.good else None for target in targets]
    databases = [target.database for target in targets if target.database]
    return IncidentReport(
        label=_label(promise, targets),
        job=promise.key.job,
        source=promise.key.source,
        source_provider=promise.source.provider if promise.source else "ingest",
        database=databases[0] if len(databases) == 1 else None,
        databases=databases,
        instance=promise.of.instance,
        sender=promise.of.sender,
        incident=incident,
        since=since,
        reminder=reminder,
        due_at=due_at,
        max_age=promise.max_age.total_seconds() if promise.max_age else None,
        last_success=min((time for time in good if time), default=None) if None not in good else None,
        size=odd.size if odd else None,
        usual_size=round(odd.usual) if odd else None,
        reason=reason,
    )


def late(promise: Promise, targets: Sequence[Target], first: Deadline) -> str:
    """Why a backup is late, and what the limit was."""
    if promise.max_age is not None:
        limit = f"its age may be {format_duration(promise.max_age)}"
    else:
        limit = f"the next was due at {minute(first.due)} and had until {minute(first.until)}"
    return f"{still(promise, targets)}; {limit}"


def still(promise: Promise, targets: Sequence[Target]) -> str:
    """Since when there is no good backup."""
    good = [target.good.created_at for target in targets if target.good]
    if len(good) == len(targets):
        return f"{_who(promise, targets)} has had no good backup since {minute(min(good))}"
    return f"{_who(promise, targets)} has never had a good backup; it is expected since {minute(promise.since)}"


def missed(promise: Promise, missed: Missed) -> str:
    """Which runs never started."""
    least = "at least " if missed.count >= COUNTED else ""
    before = f"{least}{missed.count - 1} before it since {minute(missed.first)}"
    return (
        f"{promise.label}: the run of job {promise.key.job} due at {minute(missed.due)}"
        f"{f' and {before}' if missed.count > 1 else ''} did not start: {missed.reason}"
    )


def stuck(promise: Promise, targets: Sequence[Target]) -> str:
    """That a dump was ended."""
    limit = promise.source.timeout if promise.source else None
    of = f" of {format_duration(limit)}" if limit else ""
    return f"{_who(promise, targets)}: the dump took longer than its timeout{of} and was ended"


def odd(promise: Promise, targets: Sequence[Target], sizes: Mapping[str, Odd]) -> str:
    """Which sizes are odd."""
    told = []
    for target in targets[:_NAMED]:
        found = sizes[target.database]
        told.append(
            f"{_label(promise, [target])} has {size(found.size)}, the median of the {found.of} before it is "
            f"{size(round(found.usual))}"
        )
    more = f"; and {len(targets) - _NAMED} more" if len(targets) > _NAMED else ""
    return f"odd size of a dump: {'; '.join(told)}{more}"


def recovered(promise: Promise, targets: Sequence[Target], incident: EventKind, gone: Sequence[str]) -> str:
    """That it is over, also for databases that are gone."""
    left = f"the newest run did not find {few(gone)} any more" if gone else ""
    if not targets:
        return f"{promise.label}: {left}"
    if incident == EventKind.SIZE_ANOMALY:
        over = f"{_who(promise, targets)}: the size is as usual again"
    else:
        good = [target.good.created_at for target in targets if target.good]
        newest = f": the newest good backup was begun at {minute(min(good))}" if good else ""
        over = f"{_who(promise, targets)} is in order again{newest}"
    return "; ".join(filter(None, [over, left]))


def _who(promise: Promise, targets: Sequence[Target]) -> str:
    """`Main server/shop`, or `Main server (a, b and 40 more)`."""
    names = [target.database for target in targets]
    if len(names) < 2:
        return _label(promise, targets)
    if len(names) > _NAMED:
        names = [*names[: _NAMED - 1], f"{len(names) - _NAMED + 1} more"]
    return f"{promise.label} ({listed(names)})"


def _label(promise: Promise, targets: Sequence[Target]) -> str:
    """As the backups of one database call it; the source's or the ingested job's own otherwise."""
    if len(targets) == 1 and targets[0].database:
        return next((made.label for made in (targets[0].newest, targets[0].good) if made), promise.label)
    return promise.label
