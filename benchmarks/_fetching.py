"""What a fetch from Procrastinate's queue costs while many tasks wait there, and a look of the control host at them."""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from _fleet import Records, config_of
from _measure import cannot_measure

from backupman.app import App
from backupman.engine.live import Live
from backupman.engine.runner import Order
from backupman.fleet.control import Control
from backupman.fleet.patience import PatientConnector
from backupman.fleet.queue import Queue
from backupman.records import now

_FETCHES = 50
_LOOKS = 5
_SOURCES = 2_000
"""Of which every task is another, or the next but one: a source has several tasks where more wait than there are."""


def fetch_costs(folder: Path, socket: Path, waiting: Sequence[int]) -> Iterator[tuple[str, str]]:
    """What is measured and the figure, for each number of waiting tasks."""
    for count in waiting:
        records = Records(socket, f"fetch-{count}")
        app = App.from_config(config_of(folder / f"fetch-{count}", records, min(count, _SOURCES), "procrastinate"))
        control = Control(app, Live(), now)
        started = time.perf_counter()
        handing, order, left = control.handing, Order(trigger="schedule"), count
        while left > 0:
            each = [handing.backup_of(plan, source, order) for plan in app.plans for source in plan.sources][:left]
            handing.hand_out(each)
            left -= len(each)
        yield f"{count:,} tasks: ms to hand one out", f"{(time.perf_counter() - started) / count * 1000:.2f}"
        queue = Queue(records.url, app.config.instance)
        looks = [_timed_look(control) for _ in range(_LOOKS)]
        yield (
            f"{count:,} tasks wait: ms of the look that is taken every five seconds",
            f"{statistics.median(looks):.1f}",
        )
        fetches = asyncio.run(_fetches(queue, min(_FETCHES, count)))
        yield f"{count:,} tasks wait: ms to fetch one", f"{statistics.median(fetches):.2f} (to {max(fetches):.2f})"
        app.close()


def _timed_look(control: Control) -> float:
    [reap, *_] = control.lanes()
    started = time.perf_counter()
    reap[2]()
    return (time.perf_counter() - started) * 1000


async def _fetches(queue: Queue, count: int) -> list[float]:
    """Milliseconds of each, one after the other, by Procrastinate as a worker calls it."""
    app = queue.app(PatientConnector(conninfo=queue.conninfo, min_size=1, max_size=1), lambda *_: None)
    found = []
    async with app.open_async():
        worker = await app.job_manager.register_worker()
        for _ in range(count):
            started = time.perf_counter()
            task = await app.job_manager.fetch_job([queue.name_of("any")], worker)
            found.append((time.perf_counter() - started) * 1000)
            if not task:
                cannot_measure("a task that waits was not fetched")
    return found
