"""What the daemon costs while it has nothing to do: memory with ten jobs, processor time with a thousand.

Both are read from /proc of a real `backupman serve`, its children included.
"""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _daemon import Served, backupman, serving, small_database, write_config
from _measure import processor_share, rss, tell, title, tree, workplace

IDLE_SECONDS = 60
"""A minute holds everything that the daemon does by the clock."""


def main() -> None:
    """Measure both."""
    argparse.ArgumentParser(description=__doc__).parse_known_args()
    title("The idle daemon")
    with workplace() as folder:
        memory(folder)
    with workplace() as folder:
        processor(folder)


def memory(folder: Path) -> None:
    """Resident memory: fresh, and after every job was run and the API was asked for everything."""
    config = write_config(folder, **jobs(folder, 10))
    with serving(config) as daemon:
        time.sleep(IDLE_SECONDS)
        told("ten jobs: memory after an idle minute", rss(daemon.pid))
        use(daemon)
        time.sleep(IDLE_SECONDS)
        told("the same, after ten backups and 1,000 requests", rss(daemon.pid))


def processor(folder: Path) -> None:
    """Share of a core that a thousand hourly jobs take while none is due."""
    config = write_config(folder, **jobs(folder, 1000))
    backupman(config, "list")
    started = time.monotonic()
    with serving(config) as daemon:
        tell("a thousand hourly jobs: start until it answers", f"{time.monotonic() - started:.1f} s")
        time.sleep(30)  # it looks at every job once when it has started
        shares = [processor_share(daemon.pid, IDLE_SECONDS) for _ in range(2)]
        for what, value in zip(("first", "second"), shares, strict=True):
            figure = f"{value:.2%}"
            tell(f"a thousand hourly jobs: share of a core, {what} idle minute", figure, "< 1 %", met=value < 0.01)
        tell("a thousand hourly jobs: memory", f"{rss(daemon.pid):.0f} MiB")


def told(what: str, mebibytes: float) -> None:
    """One figure of memory."""
    tell(what, f"{mebibytes:.0f} MiB", "< 120 MiB", met=mebibytes < 120)


def jobs(folder: Path, count: int) -> dict[str, Any]:
    """So many jobs with a source of their own each, due once an hour, and not within the next quarter of one."""
    file = small_database(folder / "notes.db")
    minute = (datetime.now(UTC).minute + 30) % 60
    return {
        "data_sources": [{"provider": "sqlite", "label": f"Source {n}", "db_path": str(file)} for n in range(count)],
        "jobs": [
            {"label": f"job-{n}", "cron": f"{minute} * * * *", "timezone": "UTC", "data_sources": [f"Source {n}"]}
            for n in range(count)
        ],
    }


def use(daemon: Served) -> None:
    """Run every job, and ask for everything that there is."""
    daemon.post("/api/backups", {})
    while b'"pending"' in daemon.get("/api/backups") or len(tree(daemon.pid)) > 1:
        time.sleep(0.5)
    for _ in range(200):
        for path in ("/api/backups", "/api/jobs", "/api/events", "/metrics", "/health"):
            daemon.get(path)


if __name__ == "__main__":
    main()
