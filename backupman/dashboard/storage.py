"""What each drive holds, and what the retention will remove at the next run, with its reasons."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock, Thread
from typing import Self

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backupman.api.keys import Served
from backupman.config.plans import JobPlan
from backupman.daemon import Daemon
from backupman.dashboard.doors import PageRoute, Reader
from backupman.dashboard.figures import Trend, by_day
from backupman.dashboard.pages import render
from backupman.engine.pruning import Pruner, Step
from backupman.errors import StoreError
from backupman.records import now
from backupman.store import Store
from backupman.store.listings import Held

log = logging.getLogger(__name__)
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


@dataclass(frozen=True)
class Counted:
    """What each drive holds, by its label, and what was added to it each day; as it was `at` that time."""

    held: dict[str, Held]
    trends: dict[str, Trend | None]
    at: datetime

    @classmethod
    def of(cls, store: Store) -> Self:
        """Every copy on record is read: a few seconds where there are millions."""
        return cls(held=store.listings.held(now() - _WEEK), trends=_trends(store), at=now())


class Holdings:
    """What the drives hold, counted at most once a minute. Thread-safe.

    Args:
        many: with more copies on record nobody waits for them to be counted anew, but for the first time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, many: int = 100_000) -> None:
        self._clock = clock
        self._many = many
        self._lock = Lock()
        self._at = -_KEPT
        self._counted: Counted | None = None

    def of(self, store: Store) -> Counted:
        """As it is, or as it was when it was last asked for."""
        with self._lock:
            known, due = self._counted, self._clock() - self._at >= _KEPT
            if due:
                self._at = self._clock()
            if known and due and sum(each.count for each in known.held.values()) > self._many:
                Thread(target=self._renew, args=(store,), name="count", daemon=True).start()
            elif due or not known:
                known = self._counted = Counted.of(store)
            return known

    def _renew(self, store: Store) -> None:
        try:
            self._counted = Counted.of(store)
        except StoreError as error:
            log.warning("what the drives hold was not counted: %s", error.sentence)


def _trends(store: Store) -> dict[str, Trend | None]:
    """The last four weeks, without today, which is not over."""
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=ago) for ago in range(_DAYS, 0, -1)]
    added = store.listings.added_by_day(days[0])
    return {label: by_day([sizes.get(f"{day:%Y-%m-%d}", 0) for day in days]) for label, sizes in added.items()}


@router.get("/storage")
def storage(daemon: Served, visit: Reader, request: Request) -> Response:
    """Every drive of the config, and those that the records still name."""
    counted: Counted = request.app.state.holdings.of(daemon.app.store)
    drives = {drive.label: drive.provider for drive in daemon.app.config.drives}
    outlooks = [outlook for plan in daemon.app.plans for outlook in _outlooks(daemon, plan)]
    return render(
        request,
        "storage",
        visit,
        drives=drives | {label: "not in the config any more" for label in counted.held if label not in drives},
        held=counted.held,
        trends=counted.trends,
        counted=counted.at,
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
            warnings=[words for each in planned for words in each.warnings_of.get(drive.label, ())],
        )
