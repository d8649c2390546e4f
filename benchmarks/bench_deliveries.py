"""How fast ten thousand owed deliveries go out to ten endpoints, and whether a slow one among them holds up the others.

A real `backupman serve` finds them owed at its start, and a real HTTP receiver answers; in turn with a receiver that
answers everything at once, and with one that takes eight seconds for each request to the tenth endpoint.
"""

import argparse
import contextlib
import json
import sqlite3
import statistics
import time
from pathlib import Path
from uuid import uuid4

from _daemon import serving, store_of, write_config
from _measure import cannot_measure, processor_seconds, ratio, rss, spread, tell, title, told_ratio, workplace
from _receiver import SECONDS, SLOW, Receiver, receiving

ENDPOINTS = 10
JOBS = 100
WITHIN = 600.0


def main() -> None:
    """Measure both, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=2)
    asked, _ = parser.parse_known_args()
    title(f"{asked.deliveries:,} owed deliveries to {ENDPOINTS} endpoints, of {JOBS} jobs; {asked.turns} turns")
    alike, beside_slow = [], []
    for _ in range(asked.turns):
        alike.append(drained(asked.deliveries, slow=False))
        beside_slow.append(drained(asked.deliveries, slow=True))
    fast = asked.deliveries * (ENDPOINTS - 1) // ENDPOINTS
    tell(f"all {ENDPOINTS} endpoints quick: seconds until nine have all of theirs", spread(alike))
    tell(f"one endpoint takes {SECONDS:g} s an answer: seconds until the nine have", spread(beside_slow))
    tell("deliveries a second to the nine beside it", f"{fast / statistics.median(beside_slow):.0f}")
    told_ratio("the nine beside a slow one / beside a quick one", ratio(beside_slow, alike), 1.25)


def drained(deliveries: int, *, slow: bool) -> float:
    """Seconds from the first request to the one that is the last of the nine endpoints."""
    with workplace() as folder, receiving() as receiver:
        urls = [f"{receiver.url}/quick{n}" for n in range(ENDPOINTS - 1)]
        urls.append(f"{receiver.url}{SLOW if slow else '/quick'}")
        config = configured(folder, urls)
        owe(Path(store_of(config)), deliveries)
        with serving(config) as daemon:
            times = wait(receiver, deliveries // ENDPOINTS)
            label = "slow" if slow else "quick"
            tell(f"  a turn ({label}): the daemon's processor time", f"{processor_seconds(daemon.pid):.1f} s")
            tell(f"  a turn ({label}): the daemon's memory", f"{rss(daemon.pid):.0f} MiB")
    return max(times) - min(times)


def wait(receiver: Receiver, each: int) -> list[float]:
    """When every request to the nine came in, once they have all of theirs."""
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        time.sleep(0.5)
        nine = {path: times for path, times in receiver.seen().items() if path[-1].isdigit()}
        if sum(map(len, nine.values())) >= each * (ENDPOINTS - 1):
            return [time for times in nine.values() for time in times]
    return cannot_measure(f"the deliveries did not go out within {WITHIN:.0f} s")


def configured(folder: Path, urls: list[str]) -> Path:
    """A config with a webhook endpoint for each URL."""
    endpoints = [{"name": f"End {n}", "url": url} for n, url in enumerate(urls)]
    return write_config(
        folder,
        data_sources=[{"provider": "sqlite", "label": "Notes", "db_path": str(folder / "notes.db")}],
        notifiers={"webhook": {"enabled": True, "endpoints": endpoints}},
    )


def owe(store: Path, deliveries: int) -> None:
    """Put events of a hundred jobs into the store, each owed to every endpoint."""
    with contextlib.closing(sqlite3.connect(store)) as database, database:
        for seq in range(1, deliveries // ENDPOINTS + 1):
            job = f"job-{seq % JOBS}"
            database.execute(
                "INSERT INTO backupman_events (seq, id, kind, time, instance, job, payload) "
                "VALUES (?, ?, 'backup_report', datetime(), 'benchmark', ?, ?)",
                (seq, str(uuid4()), job, json.dumps({"Id": str(uuid4()), "Status": "finished", "Label": job})),
            )
            database.executemany(
                "INSERT INTO backupman_deliveries (event_seq, instance, endpoint, lane, state, attempts, "
                "next_attempt_at, created_at) VALUES (?, 'benchmark', ?, ?, 'owed', 0, datetime(), datetime())",
                [(seq, f"webhook/End {n}", job) for n in range(ENDPOINTS)],
            )


if __name__ == "__main__":
    main()
