"""What a backup costs the PostgreSQL server that it protects: pgbench's rate and latency while one is made.

pgbench (its own mix of reads and writes, four clients) runs in one database of the server while another one is dumped.
Each turn measures a while without a backup and then the whole of one, so that both halves of a ratio are of the same
minute.
"""

import argparse
import contextlib
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _sample
from _daemon import write_config
from _measure import cannot_measure, tell, title, version_of, workplace
from _servers import postgres, postgres_programs
from _ways import HASHED, ZSTD

_ALONE = 4.0
"""Seconds of pgbench alone before each backup."""

_PROGRESS = re.compile(r"progress: [\d.]+ s, ([\d.]+) tps, lat ([\d.]+) ms")
_NICE = {"nice": 19, "ionice": "idle"}


@dataclass
class Rates:
    """Transactions a second and milliseconds of each, as pgbench tells them every second, and when it did."""

    told: list[tuple[float, float, float]] = field(default_factory=list)

    def between(self, start: float, end: float) -> tuple[float, float]:
        """The means of what was told in that time."""
        within = [(rate, latency) for at, rate, latency in self.told if start + 1 <= at <= end]
        if not within:
            cannot_measure(f"the backup took only {end - start:.1f} s: use more --megabytes")
        return statistics.mean(rate for rate, _ in within), statistics.mean(latency for _, latency in within)


@dataclass
class Way:
    """A way to make a backup; ratios to pgbench alone, and how long the backup took."""

    run: Callable[[], None]
    rate: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def measure(self, rates: Rates) -> None:
        """Wait a while, make a backup, and compare."""
        begun = time.monotonic()
        time.sleep(_ALONE)
        started = time.monotonic()
        self.run()
        ended = time.monotonic()
        alone, during = rates.between(begun, started), rates.between(started, ended)
        self.rate.append(during[0] / alone[0])
        self.latency.append(during[1] / alone[1])
        self.seconds.append(ended - started)


def main() -> None:
    """Measure every way in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300, help="of the data that are dumped")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--bandwidth", default="20MiB", help="of the source, where it has one")
    asked, _ = parser.parse_known_args()
    title(f"pgbench beside a backup of {asked.megabytes} MB from the same server, zstd; medians of {asked.turns} turns")
    pgbench = postgres_programs() / "pgbench"
    print(f"  {version_of(str(pgbench), '--version')}\n  {version_of('zstd', '--version')}\n")
    with workplace() as folder, postgres() as socket:
        folder.chmod(0o755)
        _sample.into_postgres(socket, _sample.write(folder, asked.megabytes))
        measured = ways(folder, socket, asked.bandwidth)
        with working(pgbench, socket) as rates:
            for _ in range(asked.turns):
                for way in measured.values():
                    way.measure(rates)
        for name, way in measured.items():
            rate, latency = statistics.median(way.rate), statistics.median(way.latency)
            tell(f"{name}: transactions a second / without a backup", f"{rate:.2f}")
            tell(f"{name}: latency / without a backup", f"{latency:.2f}")
            tell(f"{name}: the backup takes", f"{statistics.median(way.seconds):.1f} s")


def ways(folder: Path, socket: Path, bandwidth: str) -> Mapping[str, Way]:
    """The shell's pipeline and ours, as they are and standing back."""
    out, dump = folder / "out", f"pg_dump --no-password -h {socket} -U postgres postgres"
    pipeline = f"{dump} | {HASHED.replace('{out}', str(out))}"
    source = {
        "provider": "postgres",
        "label": "Sample",
        "socket": str(socket),
        "user": "postgres",
        "db_name": "postgres",
    }
    one = {"pipeline": {**ZSTD, "threads": 1}}

    def shell(*before: str) -> Way:
        return Way(lambda: run([*before, "bash", "-o", "pipefail", "-c", pipeline]))

    def ours(name: str, settings: Mapping[str, Any], **more: str) -> Way:
        place = folder / name
        place.mkdir()
        config = write_config(place, data_sources=[{**source, **more}], **{"pipeline": ZSTD, **settings})

        def back_up() -> None:
            run([sys.executable, "-m", "backupman", "run", "-q", "-c", str(config)])
            shutil.rmtree(place / "drive")

        return Way(back_up)

    return {
        "pg_dump | zstd -3 -T2 | tee | sha256sum": shell(),
        "the same under nice -n 19 ionice -c 3": shell("nice", "-n", "19", "ionice", "-c", "3"),
        "backupman run": ours("plain", {}),
        "backupman run, nice: 19, ionice: idle": ours("nice", _NICE),
        "backupman run, these and threads: 1": ours("one", {**_NICE, **one}),
        f"backupman run, these and bandwidth: {bandwidth}": ours("slow", {**_NICE, **one}, bandwidth=bandwidth),
    }


def run(argv: list[str]) -> None:
    """Make one backup."""
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        cannot_measure(f"{json.dumps(argv)} ended with {done.returncode}: {done.stderr[-1000:]}")


@contextlib.contextmanager
def working(pgbench: Path, socket: Path) -> Iterator[Rates]:
    """A server at work on a database of its own, and how fast it is."""
    login = ["-h", str(socket), "-U", "postgres"]
    run(["createdb", *login, "busy"])
    run([str(pgbench), *login, "-i", "-q", "-s", "10", "busy"])
    argv = [str(pgbench), *login, "-n", "-c", "4", "-T", "86400", "-P", "1", "busy"]
    rates = Rates()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def listen() -> None:
        for line in process.stderr or ():
            if told := _PROGRESS.match(line):
                rates.told.append((time.monotonic(), float(told[1]), float(told[2])))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        time.sleep(_ALONE)  # until its pages are warm
        yield rates
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        listener.join()


if __name__ == "__main__":
    main()
