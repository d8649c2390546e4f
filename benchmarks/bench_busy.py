"""A backup by a daemon whose API answers fifty requests a second meanwhile, beside one that is left in peace.

A real `backupman serve` has ten thousand backups on record. Several programs ask it over HTTP for what is polled: the
newest backups, those that failed, a single one, the jobs, the health, the metrics. Its backup of a PostgreSQL database
onto a local drive is begun over HTTP too. Both kinds are taken in turn, and the ratio is the median of the turns' own.
"""

import argparse
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import _sample
from _daemon import Served, serving, write_config
from _history import fill
from _measure import cannot_measure, processor_seconds, ratio, spread, tell, title, told_ratio, version_of, workplace
from _servers import postgres
from _ways import ZSTD

_BACKUPS = 10_000
_ASKERS = 5
_LIMIT = 1.15


def main() -> None:
    """Measure both kinds in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="of the sample data")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rate", type=int, default=50, help="requests a second")
    parser.add_argument("--page", type=int, default=10, help="backups on a page of the lists that are asked for")
    asked, _ = parser.parse_known_args()
    title(f"A daemon's backup of {asked.megabytes} MB of rows, zstd, while its API is asked; {asked.turns} turns")
    print(f"  {version_of('pg_dump', '--version')}\n")
    with workplace() as folder, postgres() as socket:
        folder.chmod(0o755)
        _sample.into_postgres(socket, _sample.write(folder, asked.megabytes))
        source = {"provider": "postgres", "label": "Sample", "socket": str(socket), "user": "postgres"}
        config = write_config(folder, data_sources=[{**source, "db_name": "postgres"}], pipeline=ZSTD)
        fill(config, _BACKUPS)
        with serving(config) as daemon:
            measure(daemon, folder / "drive", asked.turns, Asking(daemon, asked.rate, asked.page))


def measure(daemon: Served, drive: Path, turns: int, asking: "Asking") -> None:
    """The ratio, and whether as many requests as were wanted were answered."""
    rate = asking.rate
    left: list[float] = []
    busy: list[float] = []
    for turn in range(turns + 1):  # the first only fills the page cache
        for seconds, meanwhile in ((left, nullcontext()), (busy, asking.meanwhile())):
            with meanwhile:
                took = backed_up(daemon)
            shutil.rmtree(drive)
            if turn:
                seconds.append(took)
    tell("the daemon's backup, left in peace", spread(left))
    tell(f"the same, asked {rate} times a second", spread(busy))
    told_ratio("the backup while the API is asked / left in peace", ratio(busy, left), _LIMIT)
    answered = len(asking.taken) / asking.seconds
    tell("requests that were answered a second", f"{answered:.1f}", f">= {rate * 0.9:g}", met=answered >= rate * 0.9)
    tell("an answer meanwhile", spread([seconds * 1000 for seconds in asking.taken], "ms"))
    tell("processor time of the daemon for each of them", f"{asking.used / len(asking.taken) * 1000:.1f} ms")


def backed_up(daemon: Served) -> float:
    """Seconds that one backup has taken, from its child's start to its end, as the record says."""
    (backup_id,) = daemon.post("/api/backups", {})["Ids"]
    while True:
        backup = json.loads(daemon.get(f"/api/backups/{backup_id}"))
        if backup["Status"] != "pending":
            break
        time.sleep(0.2)
    if backup["Status"] != "finished":
        cannot_measure(f"the backup failed: {backup['Error']}")
    return float(backup["Seconds"])


class Asking:
    """Several who ask a daemon in turn, so many times a second, however long an answer takes."""

    def __init__(self, daemon: Served, rate: int, page: int) -> None:
        (newest,) = json.loads(daemon.get("/api/backups?limit=1&kind=all"))["Results"]
        lists = [f"/api/backups?limit={page}", f"/api/backups?status=failed&limit={page}"]
        self._paths = [*lists, f"/api/backups/{newest['Id']}", "/api/jobs", "/health", "/metrics"]
        self._daemon, self.rate = daemon, rate
        self.seconds, self.used = 0.0, 0.0
        self.taken: list[float] = []
        """Seconds of each answer."""

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Ask while the `with` lasts."""
        over = threading.Event()
        askers = [threading.Thread(target=self._ask, args=(over, number)) for number in range(_ASKERS)]
        started, used = time.monotonic(), processor_seconds(self._daemon.pid)
        for asker in askers:
            asker.start()
        try:
            yield
        finally:
            over.set()
            for asker in askers:
                asker.join()
            self.seconds += time.monotonic() - started
            self.used += processor_seconds(self._daemon.pid) - used

    def _ask(self, over: threading.Event, number: int) -> None:
        daemon, every = self._daemon.another(), _ASKERS / self.rate
        due = time.monotonic() + every * number / _ASKERS
        while not over.wait(max(0.0, due - time.monotonic())):
            self.taken.append(daemon.seconds(self._paths[number % len(self._paths)]))
            number, due = number + 1, due + every
        daemon.close()


if __name__ == "__main__":
    main()
