"""What a fleet gains and costs: throughput by the number of workers, the overhead of handing a task to one, thousands
of jobs that are due at once (each must be made exactly once), and fetching a task with thousands waiting.

A real `backupman serve` and real workers on this machine, each doing one thing at a time, with small SQLite databases
and a private PostgreSQL without fsync. More workers than cores show what the queue adds, not what more hosts would.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from _daemon import serving
from _fetching import fetch_costs
from _fleet import Records, ask_for_all, config_of, working
from _measure import processor_seconds, ratio, spread, tell, title, workplace
from _servers import postgres

_WITHIN = 7200.0
_GOOD = "SELECT count(*) FROM backupman_backups WHERE status = 'finished'"
_AHEAD = timedelta(seconds=45)
"""How long the daemon may take to start before its jobs are due, beside 10 ms for each job."""


def main() -> None:
    """Measure the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2_000, help="jobs that are due at once")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--each", type=int, default=50, help="jobs for each number of workers, and for the overhead")
    parser.add_argument("--turns", type=int, default=3, help="turns of the overhead")
    parser.add_argument(
        "--waiting", type=int, nargs="+", default=[10, 1_000, 10_000], help="waiting tasks to fetch among"
    )
    parser.add_argument("--parts", nargs="+", default=["overhead", "throughput", "due", "fetch"])
    asked, _ = parser.parse_known_args()
    title("A fleet on one machine, small SQLite databases")
    with workplace() as folder, postgres() as socket:
        if "overhead" in asked.parts:
            overhead(folder, socket, asked.each, asked.turns)
        if "throughput" in asked.parts:
            throughput(folder, socket, asked.each, asked.workers)
        if "due" in asked.parts:
            due_at_once(folder, socket, asked.jobs, max(asked.workers))
        if "fetch" in asked.parts:
            for what, figure in fetch_costs(folder, socket, asked.waiting):
                tell(what, figure)


def overhead(folder: Path, socket: Path, jobs: int, turns: int) -> None:
    """The same jobs by the embedded executor, one at a time, and by one worker that does one thing at a time."""
    embedded, fleet = [], []
    for turn in range(turns):
        records = Records(socket, f"embedded-{turn}")
        with serving(config_of(folder / f"embedded-{turn}", records, jobs, "embedded")) as daemon:
            started = time.perf_counter()
            ask_for_all(daemon)
            records.wait(_GOOD, jobs, _WITHIN)
            embedded.append((time.perf_counter() - started) / jobs)
        fleet.append(1 / made(folder / f"fleet-{turn}", Records(socket, f"fleet-{turn}"), jobs, 1))
    tell(f"{jobs} jobs by the daemon itself, one at a time: seconds a job", spread(embedded))
    tell(f"{jobs} jobs by one worker, one at a time: seconds a job", spread(fleet))
    tell("by the worker / by the daemon, by turns", f"{ratio(fleet, embedded):.2f}")
    added = statistics.median(f - e for f, e in zip(fleet, embedded, strict=True))
    tell("what handing a task over adds, by turns", f"{added * 1000:.0f} ms")


def throughput(folder: Path, socket: Path, jobs: int, counts: Sequence[int]) -> None:
    """Backups a second by the number of workers."""
    for count in counts:
        rate = made(folder / f"workers-{count}", Records(socket, f"workers-{count}"), jobs, count)
        tell(f"{jobs} jobs by {count} workers: backups a second", f"{rate:.2f}")


def made(folder: Path, records: Records, jobs: int, workers: int) -> float:
    """Backups a second, of jobs that are asked for over HTTP all at once."""
    with serving(config_of(folder, records, jobs, "procrastinate")) as daemon, working(folder, records, workers):
        started = time.perf_counter()
        ask_for_all(daemon)
        records.wait(_GOOD, jobs, _WITHIN)
        return jobs / (time.perf_counter() - started)


def due_at_once(folder: Path, socket: Path, jobs: int, workers: int) -> None:
    """All jobs are due in the same minute; each must be made once, and nothing twice."""
    records = Records(socket, "due")
    due = (datetime.now().astimezone() + _AHEAD + jobs * timedelta(milliseconds=10)).replace(second=0, microsecond=0)
    due += timedelta(minutes=1)
    config = config_of(
        folder / "due", records, jobs, "procrastinate", cron=f"{due.minute} {due.hour} * * *", misfire_grace="12h"
    )
    with serving(config) as daemon:
        tell("connections of a control host without work", str(records.connections()))
        alone = records.connections()
        with working(folder / "due", records, workers):
            tell("connections of a worker without work", f"{(records.connections() - alone) / workers:.1f}")
            while datetime.now().astimezone() < due:
                time.sleep(0.05)
            used, most, recorded = processor_seconds(daemon.pid), [0], [0.0]

            def watch() -> None:
                most.append(records.connections())
                if not recorded[0] and records.number("SELECT count(*) FROM backupman_runs") >= jobs:
                    recorded[0] = (datetime.now().astimezone() - due).total_seconds()

            records.wait("SELECT count(*) FROM backupman_runs WHERE ended_at IS NOT NULL", jobs, _WITHIN, watch)
            took = (datetime.now().astimezone() - due).total_seconds()
            used = processor_seconds(daemon.pid) - used
        tell(f"{jobs:,} jobs due at once: until all runs are handed out", f"{recorded[0]:.0f} s")
        tell(f"{jobs:,} jobs due at once, {workers} workers: until the last has ended", f"{took:.0f} s")
        tell("backups a second", f"{jobs / took:.2f}")
        tell("processor time of the control host meanwhile, each job", f"{used / jobs * 1000:.0f} ms")
        tell("connections of all together, at most", str(max(most)))
        counted(records, jobs)
        sizes(records, jobs)


def counted(records: Records, jobs: int) -> None:
    """Exactly once: a run for each job, done; an assignment for each, taken once; a finished backup for each."""
    wrong = {
        "runs that are not done": "SELECT count(*) FROM backupman_runs WHERE state <> 'done'",
        "due times that were recorded twice": "SELECT count(*) - count(DISTINCT (job, due_at)) FROM backupman_runs",
        "assignments that were not taken once": "SELECT count(*) FROM backupman_assignments WHERE attempts <> 1",
        "assignments without exactly one backup": (
            "SELECT count(*) FROM backupman_assignments WHERE json_array_length(records::json) <> 1"
        ),
        "backups that are not finished": "SELECT count(*) FROM backupman_backups WHERE status <> 'finished'",
        "sources that were backed up twice": "SELECT count(*) - count(DISTINCT source) FROM backupman_backups",
        "tasks that are left in the queue": "SELECT count(*) FROM backupman_queue.procrastinate_jobs",
    }
    for table in ("runs", "assignments", "backups"):
        found = int(records.number(f"SELECT count(*) FROM backupman_{table}"))
        tell(f"{table} on record", f"{found:,}", f"= {jobs:,}", met=found == jobs)
    for what, query in wrong.items():
        found = int(records.number(query))
        tell(what, f"{found:,}", "= 0", met=found == 0)


def sizes(records: Records, jobs: int) -> None:
    """What one backup leaves in each table, its indexes included."""
    records.ask("SELECT pg_stat_force_next_flush()")
    found = records.ask(
        "SELECT relname, n_live_tup, pg_total_relation_size(relid), n_tup_ins, n_tup_upd, n_tup_del"
        " FROM pg_stat_user_tables WHERE n_tup_ins > 100 ORDER BY pg_total_relation_size(relid) DESC"
    )
    for name, rows, size, inserted, updated, deleted in found:
        what = f"{name}: rows, bytes, inserts, updates, deletes of a backup"
        counts = " + ".join(f"{each / jobs:.2g}" for each in (inserted, updated, deleted))
        tell(what, f"{rows / jobs:.2g}, {size / jobs:,.0f}, {counts}")


if __name__ == "__main__":
    main()
