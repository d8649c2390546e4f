"""How the programs here measure: the kernel's figures of a process, medians of turns, results as lines of a table."""

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import NoReturn

MIB = 2**20
_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder that goes with everything in it; `TMPDIR` says where."""
    with TemporaryDirectory(prefix="bm-bench-") as folder:
        yield Path(folder)


def title(sentence: str) -> None:
    """Say what is measured, when, and on what machine, above the table."""
    models = [line.partition(":")[2].strip() for line in _read("/proc/cpuinfo").splitlines() if "model name" in line]
    machine = f"{os.cpu_count()} cores ({models[0] if models else platform.machine()})"
    load = _read("/proc/loadavg").split()[0]
    print(f"\n{sentence}")
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}, load {load} before, Python {platform.python_version()}\n"
    )
    _row("", "measured", "limit", "")


def tell(what: str, figure: str, limit: str = "", *, met: bool = True) -> None:
    """A line of the table: a figure, and if there is a limit whether it is met."""
    _row(what, figure, limit, ("met" if met else "NOT met") if limit else "")


def told_ratio(what: str, figure: float, limit: float) -> None:
    """A ratio that may not be above its limit."""
    tell(what, f"{figure:.2f}", f"<= {limit:.2f}", met=figure <= limit)


def _row(what: str, figure: str, limit: str, verdict: str) -> None:
    print(f"  {what:<72} {figure:>24}  {limit:<10}  {verdict}".rstrip(), flush=True)


def in_turn(turns: int, ways: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """What each way of doing the same work gives, measured A B A B …, so that a busy machine hurts all alike."""
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            figures[name].append(way())
    return figures


@dataclass
class Timed:
    """What the runs of a command have taken, in seconds."""

    whole: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    """Of everything that was started and has ended; a database server is not among it."""

    def time(
        self, argv: Sequence[str], watch: "Callable[[subprocess.Popen[bytes]], None]" = lambda process: None
    ) -> bytes:
        """Run the command once; what it has printed. `watch` has a thread of its own meanwhile."""
        os.sync()  # what others have written is not to be waited for by this one
        started, used = time.perf_counter(), children_seconds()
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        watching = Thread(target=watch, args=(process,))
        watching.start()
        said, _ = process.communicate()
        self.whole.append(time.perf_counter() - started)
        watching.join()
        self.processor.append(children_seconds() - used)
        if process.returncode:
            cannot_measure(f"`{' '.join(argv)}` ended with {process.returncode}: {said.decode()}")
        return said


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def spread(figures: list[float], unit: str = "s") -> str:
    """The median with the smallest and the largest."""
    low, middle, high = min(figures), statistics.median(figures), max(figures)
    return f"{middle:.3g} {unit} ({low:.3g} to {high:.3g})"


def ratio(figures: list[float], of: list[float]) -> float:
    """The median of the ratios of the turns: what both halves of a turn suffer cancels out."""
    return statistics.median(ours / theirs for ours, theirs in zip(figures, of, strict=True))


def rss(pid: int) -> float:
    """Resident memory of a process and everything that it has started, in MiB."""
    return sum(_status(each, "VmRSS") for each in tree(pid)) / 1024


def peak_rss(pid: int) -> float:
    """The largest resident memory that a process has had so far, in MiB."""
    return _status(pid, "VmHWM") / 1024


def child_peak(pid: int) -> float:
    """The same of the data plane that a command has started, in MiB; 0 while there is none."""
    return max((peak_rss(each) for each in tree(pid)[1:] if "backupman.data_plane.child" in _command(each)), default=0)


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used so far, user and system."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def processor_share(pid: int, seconds: float) -> float:
    """The share of one core that a process takes during so many seconds."""
    used, started = processor_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return (processor_seconds(pid) - used) / (time.monotonic() - started)


def tree(pid: int) -> list[int]:
    """A process and its descendants that are alive now."""
    found = [pid]
    for each in found:
        for thread in Path(f"/proc/{each}/task").glob("*/children"):
            found += [int(child) for child in _read(thread).split()]
    return found


def version_of(*argv: str) -> str:
    """What a program says of its version, on one line."""
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip().split("\n")[0]


def cannot_measure(why: str) -> NoReturn:
    """End the program: the one case in which it answers with a failure."""
    sys.exit(f"cannot measure: {why}")


def _status(pid: int, field: str) -> int:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    return 0


def _command(pid: int) -> str:
    return _read(f"/proc/{pid}/cmdline")


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # a process that has just ended
        return ""
