"""What jobs cost the daemon, from ten to a thousand: its start, taking their schedules, and a look at each of them.

A real `backupman serve` is started on so many jobs; the schedules and the looks are timed in this process, with the
daemon's own scheduler, on a store that remembers a thousand runs of each job.
"""

import argparse
import contextlib
import sqlite3
import statistics
import time
from pathlib import Path

from _daemon import serving, store_of, write_config
from _measure import processor_seconds, tell, title, workplace
from bench_idle import jobs

from backupman.app import App
from backupman.engine.scheduler import Scheduler
from backupman.records import now

RUNS = 1_000
_FLAT = 3.0


def main() -> None:
    """Measure with every number of jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[10, 100, 1_000])
    asked, _ = parser.parse_known_args()
    title(f"Hourly jobs, with {RUNS:,} runs of each on record")
    costs: dict[str, list[float]] = {}
    for count in asked.jobs:
        with workplace() as folder:
            for what, cost in at(folder, count).items():
                costs.setdefault(what, []).append(cost)
    tell("jobs", "  ".join(f"{count:>9,}" for count in asked.jobs))
    for what, figures in costs.items():
        tell(what, "  ".join(f"{figure:>9.3g}" for figure in figures))
    growth = costs[LOOK][-1] / costs[LOOK][0]
    tell(f"growth of: {LOOK}", f"{growth:.2f}", f"<= {_FLAT:g}", met=growth <= _FLAT)


LOOK = "ms of a look at one job, none of which is due"


def at(folder: Path, count: int) -> dict[str, float]:
    """The costs with so many jobs."""
    config = write_config(folder, **jobs(folder, count))
    remember(Path(store_of(config)), count)
    costs = looked_at(config)
    started = time.perf_counter()
    with serving(config) as daemon:
        costs["s until the daemon answers"] = time.perf_counter() - started
        time.sleep(20)  # it looks at every job once when it has started
        costs["s of processor time of its start, every job looked at"] = processor_seconds(daemon.pid)
    return costs


def looked_at(config: Path) -> dict[str, float]:
    """Load the config, take the schedules, and look at each job."""
    begun = time.perf_counter()
    app = App.from_config(config)
    loaded = time.perf_counter() - begun

    def never(*_about: object) -> None:
        raise AssertionError("no job is due")

    scheduler = Scheduler(app.store, app.config.instance, never, never, now)  # type: ignore[arg-type]  # nothing is started
    begun = time.perf_counter()
    scheduler.reschedule(app.plans)
    taken = time.perf_counter() - begun
    seconds = []
    for plan in app.plans:
        begun = time.perf_counter()
        scheduler.tick(plan)
        seconds.append(time.perf_counter() - begun)
    app.close()
    return {
        "s to load the config": loaded,
        "s to take all schedules": taken,
        LOOK: statistics.median(seconds) * 1000,
    }


def remember(store: Path, count: int) -> None:
    """Put hourly runs of each job on record, the last of them just done."""
    numbers = (
        f"WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count * RUNS - 1})"
    )
    due = f"strftime('%Y-%m-%d %H:%M:%S', 'now', (-(n / {count})) || ' hours') || '.000000'"
    with contextlib.closing(sqlite3.connect(store)) as database, database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute(
            "INSERT INTO backupman_runs (instance, job, due_at, state, started_at, ended_at) "
            f"{numbers} SELECT 'benchmark', 'job-' || (n % {count}), {due}, 'done', {due}, {due} FROM numbers"
        )


if __name__ == "__main__":
    main()
