"""What the control plane costs as the records grow from a thousand backups to a million: list, metrics and retention.

Each store is filled anew and served by a real daemon; the pages are asked for over HTTP, in turn of each daemon,
and the retention is planned in this process by the daemon's own code. The growth is the cost on the largest store over
that on the smallest: 1 is flat. A retention plan looks at every copy of a source, so its cost is told for each of them.
"""

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from _daemon import Served, serving, small_database, write_config
from _history import SOURCES, fill
from _measure import in_turn, processor_seconds, ratio, rss, tell, title, workplace
from bench_list import far_end, path

from backupman.app import App

SCRAPES = 100
"""Scrapes a second."""
_SCRAPING = 12.0
"""Seconds: the metrics are made anew every five of them."""

_PAGE = "10"
"""Backups a page: as many as every filter finds on the smallest store."""
_ASKED: Mapping[str, Mapping[str, str]] = {
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
    parser.add_argument("--turns", type=int, default=31, help="how often each page is asked for")
    asked, _ = parser.parse_known_args()
    title(f"Records of {SOURCES} sources with three databases each, on two drives; medians of {asked.turns}")
    tell("backups on record", "  ".join(f"{backups:>9,}" for backups in asked.sizes))
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(workplace()) for _ in asked.sizes]
        configs = [filled(folder, backups) for folder, backups in zip(folders, asked.sizes, strict=True)]
        daemons = [stack.enter_context(serving(config)) for config in configs]
        time.sleep(10)  # they look through their records when they have started
        for name, wanted in _ASKED.items():
            told(f"ms of a page: {name}", pages(daemons, asked.turns, [wanted] * len(daemons)))
        cursors = [{"cursor": deep(daemon, backups)} for daemon, backups in zip(daemons, asked.sizes, strict=True)]
        told("ms of a page: nine tenths down", pages(daemons, asked.turns, cursors))
        scrapes = [scraped(daemon) for daemon in daemons]
        for what in scrapes[0]:
            told(what, [[each[what]] for each in scrapes])
        told("MiB of the daemon", [[rss(daemon.pid)] for daemon in daemons])
        told("ms of a retention plan of a source, for each copy", [planned(config) for config in configs])


def told(what: str, figures: Sequence[list[float]]) -> None:
    """The medians of one figure on every store, and how the last is to the first, turn by turn."""
    growth = ratio(figures[-1], figures[0])
    shown = "  ".join(f"{statistics.median(each):>9.3g}" for each in figures)
    tell(what, shown)
    tell("  growth", f"{growth:.2f}", f"<= {_FLAT:g}", met=growth <= _FLAT)


def filled(folder: Path, backups: int) -> Path:
    """A config whose store has so many backups."""
    folder.mkdir(exist_ok=True)
    config = configured(folder)
    fill(config, backups)
    return config


def pages(daemons: Sequence[Served], turns: int, wanted: Sequence[Mapping[str, str]]) -> list[list[float]]:
    """Milliseconds of a page until its last byte, asked of one daemon after the other, again and again."""

    def ask(daemon: Served, query: Mapping[str, str]) -> Callable[[], float]:
        return lambda: daemon.seconds(path(limit=_PAGE, **query)) * 1000

    ways = {str(n): ask(*asked) for n, asked in enumerate(zip(daemons, wanted, strict=True))}
    for daemon in daemons:
        daemon.close()  # the next request connects anew: one that waited long is let go of by the server
    in_turn(3, ways)  # only to warm up
    return list(in_turn(turns, ways).values())


def deep(daemon: Served, backups: int) -> str:
    """A cursor nine tenths down the list."""
    daemon.close()
    if backups > 100_000:
        return far_end(daemon)
    cursor, limit = "", min(1000, backups // 10)
    for _ in range(backups // limit * 9 // 10):
        wanted = {"limit": str(limit), "cursor": cursor, "kind": "all"}
        cursor = json.loads(daemon.get(path(**wanted)))["Cursor"]
    return cursor


def scraped(daemon: Served) -> dict[str, float]:
    """A hundred scrapes a second: what one of them takes, and what making the metrics anew takes."""
    taken: list[float] = []
    daemon.close()
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


def planned(config: Path) -> list[float]:
    """Milliseconds for each copy of a source to say what becomes of it, without doing it."""
    app = App.from_config(config)
    try:
        plan = next(plan for plan in app.plans if plan.label == "job-0")
        source = next(source for source in plan.sources if source.label == "Source 5")
        app.pruner.plan(plan, next(other for other in plan.sources if other.label == "Source 6"))  # all is loaded now
        taken: list[float] = []
        for _ in range(3):
            started = time.perf_counter()
            found = app.pruner.plan(plan, source)
            taken.append((time.perf_counter() - started) * 1000 / max(1, len(found.steps)))
    finally:
        app.close()
    return taken


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
