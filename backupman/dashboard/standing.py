"""Where every series of backups stands: its last runs, its copies, its deadline, and one true sentence of all."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backupman.config.plans import JobPlan
from backupman.daemon import Daemon
from backupman.dashboard.figures import RUNS
from backupman.dashboard.series import KnownSeries
from backupman.engine.promises import Deadline, Promise, Target, deadline
from backupman.engine.review import OF_PROMISES
from backupman.events import EventKind
from backupman.records import Incident, Status
from backupman.store.standing import Made
from backupman.store.statistics import Past, Series

_MISSING = 3
"""Runs of a source without one of its databases, after which that is believed to be gone."""


@dataclass(frozen=True)
class Drive:
    """The copies of the last runs on one drive."""

    label: str
    count: int
    newest: datetime | None
    problem: str | None
    damaged: datetime | None = None
    """When the newest backup was made whose copy there is not right."""


@dataclass(frozen=True)
class Row:
    """One series and everything that its line of the overview tells."""

    series: Series
    label: str
    jobs: tuple[str, ...]
    runs: Sequence[Past]
    last: Past | None
    good: Past | None
    read: datetime | None
    """When the newest copy was made that was read back and was right."""
    proven: Past | None
    """The newest run of which a drill has restored a copy, and all that should be there was."""
    drives: Sequence[Drive]
    due: Deadline | None
    next_run: datetime | None
    incidents: Sequence[Incident]
    error: str = ""
    restore_seconds: float | None = None
    """How long that drill took to restore it."""

    @property
    def alarming(self) -> bool:
        """Whether somebody should look at it."""
        if any(drive.damaged for drive in self.drives):
            return True
        late = any(incident.kind != EventKind.SIZE_ANOMALY for incident in self.incidents)
        return late or (self.last is not None and self.last.status == Status.FAILED)

    @property
    def state(self) -> str:
        """`bad`, `warn`, `ok`, or `none` when nothing is known yet."""
        if self.alarming:
            return "bad"
        if self.last is None:
            return "none"
        return "warn" if self.incidents or self.last.warning or any(drive.problem for drive in self.drives) else "ok"


@dataclass(frozen=True)
class Group:
    """The series of this installation, or those of another device."""

    name: str
    own: bool
    rows: Sequence[Row]


def rows(daemon: Daemon, known: KnownSeries) -> list[Row]:
    """Every series: those of the config's sources in its order, then those that others told of."""
    app = daemon.app
    statistics, sources = app.store.statistics, app.config.source_labels
    own = sorted(known.own(), key=lambda each: (sources.index(each.source), each.database))
    begun = {series.source for series in own}
    own += [Series(label, "") for label in sources if label not in begun]
    told = sorted(known.ingested(), key=lambda each: (each.source, each.database))
    recent = statistics.recent([*own, *told], RUNS)
    own = _there(own, recent)
    series = [*own, *told]
    promises: dict[tuple[str, str, str | None], list[Promise]] = defaultdict(list)
    for promise in daemon.deadlines.promises():
        database = promise.of.job if promise.ingested else ""
        promises[promise.of.source, database, promise.of.sender].append(promise)
    incidents = [each for each in app.store.jobs.open_incidents(app.config.instance) if each.kind in OF_PROMISES]
    upcoming = {plan.label: next(iter(daemon.upcoming(plan, 1)), None) for plan in app.plans}
    counts = Counter(each.source for each in own)
    found = [
        _row(
            each,
            recent[each],
            promises[each.source, each.database if each.sender is not None else "", each.sender],
            [incident for incident in incidents if _about(incident, each)],
            _jobs(app.plans, each),
            upcoming,
            named=counts[each.source] > 1,
        )
        for each in series
    ]
    return _explained(daemon, found)


def _there(own: Sequence[Series], recent: Mapping[Series, Sequence[Past]]) -> list[Series]:
    """Those that still say something of their source, beside the source's other databases.

    What failed before any database was known does until one was backed up, and a database until it was missing in
    several runs: then it was dropped, or is left out.
    """
    nth: dict[tuple[str, int], datetime] = {}  # since when a database of the source has had so many runs
    for each in own:
        for missing, past in enumerate(recent[each][:_MISSING], 1):
            nth[each.source, missing] = max(past.created_at, nth.get((each.source, missing), past.created_at))
    found = []
    for each in own:
        since = nth.get((each.source, _MISSING if each.database else 1))
        # Its own runs are none since the newest of them.
        if not recent[each] or since is None or since <= recent[each][0].created_at:
            found.append(each)
    return found


def groups(found: Sequence[Row], instance: str) -> list[Group]:
    """The rows by where they are made: here first, then each device."""
    own = [row for row in found if row.series.sender is None]
    devices: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        if row.series.sender is not None:
            devices[row.series.source].append(row)
    here = [Group(instance, True, own)] if own else []
    return here + [Group(device, False, told) for device, told in devices.items()]


def _row(
    series: Series,
    runs: Sequence[Past],
    promises: Sequence[Promise],
    incidents: Sequence[Incident],
    jobs: Sequence[str],
    upcoming: dict[str, datetime | None],
    *,
    named: bool,
) -> Row:
    settled = [past for past in runs if past.status != Status.PENDING]
    good = next((past for past in settled if past.status == Status.FINISHED), None)
    read = next(
        (past.created_at for past in runs if any(copy.is_right and copy.verified_at for copy in past.copies)), None
    )
    proven = next((past for past in runs if any(copy.is_right and copy.proved_at for copy in past.copies)), None)
    due = [found for promise in promises if (found := _due(promise, series, good))]
    label = series.database if series.sender is not None else series.source
    runs_next = [time for job in jobs if (time := upcoming.get(job))]
    return Row(
        series=series,
        label=f"{label}/{series.database}" if named and series.database else label,
        jobs=tuple(jobs),
        runs=runs,
        last=settled[0] if settled else None,
        good=good,
        read=read,
        proven=proven,
        drives=_drives(settled),
        due=min(due, key=lambda each: each.until) if due else None,
        next_run=min(runs_next) if runs_next else None,
        incidents=incidents,
    )


def _due(promise: Promise, series: Series, good: Past | None) -> Deadline | None:
    made = Made(series.source, good.status, good.created_at, None, None, good.timed_out) if good else None
    return deadline(promise, Target(series.database, good=made))


def _drives(settled: Sequence[Past]) -> list[Drive]:
    labels = dict.fromkeys(copy.drive for past in settled for copy in past.copies)
    found = []
    for label in labels:
        held = [(past, copy) for past in settled for copy in past.copies if copy.drive == label]
        there = [past.created_at for past, copy in held if copy.status == Status.FINISHED]
        past, newest = held[0]
        elsewhere = any(copy.status == Status.FINISHED for copy in past.copies)  # else the dump itself may have failed
        problem = "the newest upload failed" if newest.status == Status.FAILED and elsewhere else None
        damaged = next((past.created_at for past, copy in held if copy.is_bad), None)
        problem = "a copy is damaged" if damaged else problem
        found.append(Drive(label, len(there), there[0] if there else None, problem, damaged))
    return found


def _about(incident: Incident, series: Series) -> bool:
    if series.sender is not None:
        return (incident.job, incident.source, incident.database) == (series.database, series.source, series.sender)
    return incident.source == series.source and incident.database in ("", series.database)


def _jobs(plans: Iterable[JobPlan], series: Series) -> list[str]:
    if series.sender is not None:
        return []
    return [plan.label for plan in plans if any(source.label == series.source for source in plan.sources)]


def _explained(daemon: Daemon, found: Sequence[Row]) -> list[Row]:
    """The same, with why the last run of each failed, and how long it took to restore what was proved."""
    statistics = daemon.app.store.statistics
    failed = [row.last.id for row in found if row.last and row.last.status == Status.FAILED]
    errors = statistics.errors(failed) if failed else {}
    proven = [row.proven.id for row in found if row.proven]
    seconds = statistics.restore_seconds(proven) if proven else {}
    return [
        replace(
            row,
            error=errors.get(row.last.id, "") if row.last else "",
            restore_seconds=seconds.get(row.proven.id) if row.proven else None,
        )
        for row in found
    ]
