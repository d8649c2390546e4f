"""What the control plane costs as the records grow from a thousand backups to a million: list, metrics and retention.

Each store is filled anew and served by a real daemon; the list and the metrics are asked for over HTTP, and the
retention is planned in this process by the daemon's own code. The growth is the cost on the largest store over that on
the smallest: 1 is flat. A retention plan looks at every copy of a source, so its cost is told for each of them.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from _daemon import Served, serving, small_database, write_config
from _history import SOURCES, fill
from _measure import cannot_measure, processor_seconds, rss, tell, title, workplace
from bench_list import far_end, path

from backupman.app import App

SCRAPES = 100
"""Scrapes a second."""
_SCRAPING = 12.0
"""Seconds: the metrics are made anew every five of them."""

_PAGE = "10"
"""Backups a page: as many as every filter finds on the smallest store."""
_ASKED = {
    "first page": {},
    "status=failed": {"status": "failed"},
    "job": {"job": "job-0"},
    "source": {"source": "Source 5"},
    "kind=ingested": {"kind": "ingested"},
}
_RULES = {"keep_within": "2d", "keep_daily": 30, "keep_weekly": 12, "keep_monthly": 24, "keep_yearly": 10}
_FLAT = 3.0
"""The largest growth that still counts as flat or logarithmic; twenty steps of a tree are twice ten."""


def main() -> None:
    """Measure on every store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--turns", type=int, default=15, help="how often each page is asked for")
    asked, _ = parser.parse_known_args()
    title(f"Records of {SOURCES} sources with three databases each, on two drives; medians of {asked.turns}")
    costs: dict[str, list[float]] = {}
    for backups in asked.sizes:
        with workplace() as folder:
            found = at(folder, backups, asked.turns)
        for what, cost in found.items():
            costs.setdefault(what, []).append(cost)
    tell("backups on record", "  ".join(f"{backups:>9,}" for backups in asked.sizes))
    for what, figures in costs.items():
        tell(what, "  ".join(f"{figure:>9.3g}" for figure in figures))
    for what, figures in costs.items():
        growth = figures[-1] / figures[0]
        tell(f"growth of: {what}", f"{growth:.2f}", f"<= {_FLAT:g}", met=growth <= _FLAT)


def at(folder: Path, backups: int, turns: int) -> dict[str, float]:
    """The costs on a store with so many backups."""
    config = configured(folder)
    fill(config, backups)
    costs: dict[str, float] = {}
    with serving(config) as daemon:
        for name, wanted in _ASKED.items():
            costs[f"ms of a page: {name}"] = page(daemon, turns, **wanted)
        costs["ms of a page: nine tenths down"] = page(daemon, turns, cursor=deep(daemon, backups))
        costs |= scraped(daemon)
        costs["MiB of the daemon"] = rss(daemon.pid)
    return costs | planned(config)


def deep(daemon: Served, backups: int) -> str:
    """A cursor nine tenths down the list."""
    if backups > 100_000:
        return far_end(daemon)
    cursor, limit = "", min(1000, backups // 10)
    for _ in range(backups // limit * 9 // 10):
        wanted = {"limit": str(limit), "cursor": cursor, "kind": "all"}
        cursor = json.loads(daemon.get(path(**wanted)))["Cursor"]
    return cursor


def page(daemon: Served, turns: int, **wanted: str) -> float:
    """Milliseconds until the last byte."""
    return statistics.median(daemon.seconds(path(limit=_PAGE, **wanted)) * 1000 for _ in range(turns))


def scraped(daemon: Served) -> dict[str, float]:
    """A hundred scrapes a second: what one of them takes, and what making the metrics anew takes."""
    taken: list[float] = []
    used, started = processor_seconds(daemon.pid), time.perf_counter()
    for number in range(int(SCRAPES * _SCRAPING)):
        if (early := started + number / SCRAPES - time.perf_counter()) > 0:
            time.sleep(early)
        taken.append(daemon.seconds("/metrics") * 1000)
    elapsed = time.perf_counter() - started
    used = processor_seconds(daemon.pid) - used
    return {
        "ms of a scrape": statistics.median(taken),
        "ms of a scrape that makes the metrics anew": max(taken),
        "scrapes a second": len(taken) / elapsed,
        "share of a core meanwhile": used / elapsed,
    }


def planned(config: Path) -> dict[str, float]:
    """What becomes of each copy of a source, without doing it."""
    app = App.from_config(config)
    try:
        plan = next(plan for plan in app.plans if plan.label == "job-0")
        source = next(source for source in plan.sources if source.label == "Source 5")
        app.pruner.plan(plan, next(other for other in plan.sources if other.label == "Source 6"))  # all is loaded now
        started = time.perf_counter()
        found = app.pruner.plan(plan, source)
        seconds = time.perf_counter() - started
    finally:
        app.close()
    if not found.steps:
        cannot_measure("the retention found no copy")
    return {"ms of a retention plan of a source, for each copy": seconds * 1000 / len(found.steps)}


def configured(folder: Path) -> Path:
    """All sources of the records, in their jobs, on their drives."""
    file = str(small_database(folder / "notes.db"))
    sources = [f"Source {n}" for n in range(SOURCES)]
    drives = [{"provider": "local", "label": label, "folder": str(folder / label)} for label in ("Disk", "Cloud")]
    jobs = [{"label": f"job-{n // 10}", "data_sources": sources[n : n + 10]} for n in range(0, SOURCES, 10)]
    return write_config(
        folder,
        data_sources=[{"provider": "sqlite", "label": label, "db_path": file} for label in sources],
        drives=drives,
        jobs=jobs,
        retention=_RULES,
    )


if __name__ == "__main__":
    main()
