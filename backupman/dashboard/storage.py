"""What each drive holds, and what the retention will remove at the next run, with its reasons."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backupman.api.keys import Served
from backupman.config.plans import JobPlan
from backupman.daemon import Daemon
from backupman.dashboard.doors import PageRoute, Reader
from backupman.dashboard.figures import Trend, by_day
from backupman.dashboard.pages import render
from backupman.engine.pruning import Pruner, Step
from backupman.records import now
from backupman.store import Store
from backupman.store.listings import Held

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_WEEK = timedelta(days=7)
_DAYS = 28
_SHOWN = 10
_KEPT = 60.0


@dataclass(frozen=True)
class Outlook:
    """What becomes of the copies of a job on a drive when it runs next; `going` are the first of them that leave."""

    job: str
    drive: str
    at: datetime | None
    rules: bool
    kept: int
    leaving: int
    count: int
    going: Sequence[Step]
    warnings: Sequence[str]


class Holdings:
    """What the drives hold, counted at most once a minute: each time it reads every copy on record. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._at = -_KEPT
        self._held: dict[str, Held] = {}
        self._trends: dict[str, Trend | None] = {}

    def of(self, store: Store) -> tuple[dict[str, Held], dict[str, Trend | None]]:
        """By the labels of the drives, with what was added each day."""
        with self._lock:
            if self._clock() - self._at >= _KEPT:
                self._held, self._trends = store.listings.held(now() - _WEEK), _trends(store)
                self._at = self._clock()
            return self._held, self._trends


def _trends(store: Store) -> dict[str, Trend | None]:
    """The last four weeks, without today, which is not over."""
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=ago) for ago in range(_DAYS, 0, -1)]
    added = store.listings.added_by_day(days[0])
    return {label: by_day([sizes.get(f"{day:%Y-%m-%d}", 0) for day in days]) for label, sizes in added.items()}


@router.get("/storage")
def storage(daemon: Served, visit: Reader, request: Request) -> Response:
    """Every drive of the config, and those that the records still name."""
    holdings: Holdings = request.app.state.holdings
    held, trends = holdings.of(daemon.app.store)
    drives = {drive.label: drive.provider for drive in daemon.app.config.drives}
    outlooks = [outlook for plan in daemon.app.plans for outlook in _outlooks(daemon, plan)]
    return render(
        request,
        "storage",
        visit,
        drives=drives | {label: "not in the config any more" for label in held if label not in drives},
        held=held,
        trends=trends,
        nothing=Held(0, 0, 0),
        outlooks=outlooks,
    )


def _outlooks(daemon: Daemon, plan: JobPlan) -> Iterator[Outlook]:
    """What the next run of a job would remove, as things are: a copy that it makes itself does not count yet."""
    due = next(iter(daemon.upcoming(plan, 1)), None)
    pruner = Pruner(daemon.app.config, daemon.app.store, lambda: due or now())
    ruled = [drive for drive in plan.drives if plan.retention_on(drive) and drive.capabilities.deletes]
    planned = [pruner.plan(plan, source) for source in plan.sources] if ruled else []
    for drive in plan.drives:
        steps = [step for each in planned for step in each.steps if step.file.label == drive.label]
        going = [step for step in steps if step.action in ("delete", "mark")]
        yield Outlook(
            job=plan.label,
            drive=drive.label,
            at=due,
            rules=drive in ruled,
            kept=len(steps) - len(going),
            leaving=sum(step.file.size or 0 for step in going),
            count=len(going),
            going=sorted(going, key=lambda step: step.file.backup.created_at)[:_SHOWN],
            warnings=[words for each in planned for words in each.warnings if drive.label in words],
        )
