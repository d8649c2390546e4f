"""How long `GET /api/backups` takes on a store of a million backups, anywhere in it, and what memory that costs.

A real `backupman serve` is asked over HTTP, once on a small store and once on the large one, as often on both.
"""

import argparse
import json
import statistics
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from _daemon import Served, serving, write_config
from _history import fill
from _measure import processor_seconds, rss, spread, tell, title, told_ratio, workplace

SMALL = 1_000
LONG_PAGES = 100
RETIRED = "source, whose last backup is three years old"
FILTERS: Mapping[str, Mapping[str, str]] = {
    "status=failed": {"status": "failed"},
    "status=pending, of which there is none": {"status": "pending"},
    "job": {"job": "job-5"},
    "source": {"source": "Source 5"},
    RETIRED: {"source": "Source 3"},
    "label": {"label": "Source 5/db1"},
    "database": {"database": "db2"},
    "job, source and status": {"job": "job-0", "source": "Source 5", "status": "failed"},
    "since yesterday": {"since": (datetime.now(UTC) - timedelta(days=1)).isoformat()},
    "kind=ingested": {"kind": "ingested"},
    "kind=ingested, device": {"kind": "ingested", "device": "Source 50"},
    "kind=all": {"kind": "all"},
}


def main() -> None:
    """Measure on both stores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backups", type=int, default=1_000_000, help="how many the large store holds")
    parser.add_argument("--turns", type=int, default=31, help="how often each page is asked for")
    asked, _ = parser.parse_known_args()
    title(f"GET /api/backups, 100 backups a page; medians of {asked.turns}")
    memory = {}
    for backups in (SMALL, asked.backups):
        with workplace() as folder:
            memory[backups] = at(folder, backups, asked.turns)
    grown = memory[asked.backups] - memory[SMALL]
    tell(
        f"memory with {asked.backups:,} backups more than with {SMALL:,}",
        f"{grown:.1f} MiB",
        "<= 10 MiB",
        met=grown <= 10,
    )


def at(folder: Path, backups: int, turns: int) -> float:
    """Ask for pages of a store with so many backups; the daemon's memory at the end, in MiB."""
    nothing = [{"provider": "sqlite", "label": "Notes", "db_path": str(folder / "notes.db")}]
    config = write_config(folder, data_sources=nothing)
    fill(config, backups)
    with serving(config) as daemon:
        used = processor_seconds(daemon.pid)
        first = figures(daemon, turns)
        used = (processor_seconds(daemon.pid) - used) / turns * 1000
        told(f"{backups:,} backups: first page", first, 50)
        tell(f"{backups:,} backups: the daemon's processor time for it", f"{used:.1f} ms")
        if backups != SMALL:
            deep = figures(daemon, turns, cursor=far_end(daemon))
            told(f"{backups:,} backups: a page nine tenths down", deep, 50)
            told_ratio(
                "a page nine tenths down / the first page", statistics.median(deep) / statistics.median(first), 1.5
            )
            for name, wanted in FILTERS.items():
                told(f"{backups:,} backups: {name}", figures(daemon, turns, **wanted), 50)
        for _ in range(LONG_PAGES):
            daemon.get("/api/backups?limit=1000")
        memory = rss(daemon.pid)
        tell(f"{backups:,} backups: memory after {LONG_PAGES} pages of 1,000", f"{memory:.1f} MiB")
        return memory


def far_end(daemon: Served) -> str:
    """A cursor among the oldest: that of a source which has had no backup for long fits any list."""
    return str(json.loads(daemon.get(path(**FILTERS[RETIRED], limit="1")))["Cursor"])


def figures(daemon: Served, turns: int, **wanted: str) -> list[float]:
    """Milliseconds of a page, until its last byte."""
    return [daemon.seconds(path(**wanted)) * 1000 for _ in range(turns)]


def told(what: str, milliseconds: list[float], limit: float) -> None:
    """The figures of one page."""
    tell(what, spread(milliseconds, "ms"), f"< {limit:g} ms", met=statistics.median(milliseconds) < limit)


def path(**wanted: str) -> str:
    """The address of a page."""
    return "/api/backups?" + urlencode({name: value for name, value in wanted.items() if value})


if __name__ == "__main__":
    main()
