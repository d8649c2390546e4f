"""What dumping and restoring several things of one PostgreSQL server at once gains against one after the other.

`dump`: all of a database in one stream, and by `format: directory` with several jobs, beside the shell that does the
same; how much room the latter takes while it runs. `databases`: four databases of one source with `max_parallel` of 1
and of 2. `restore`: one copy brought back with `--jobs` of 1 and of more. All taken in turn, the ratio is the median of
those of the turns. Where the server is on the same machine, its processes want the same cores as the compressor.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import _sample
from _daemon import backupman, write_config
from _measure import Timed, ratio, spread, tell, title, told_ratio, version_of, workplace
from _servers import postgres
from _ways import ZSTD, Ours, Shell, in_turn

_ROOM = 1.05


def main() -> None:
    """Measure all three."""
    measures: dict[str, Callable[[Path, Path, list[Path], argparse.Namespace], None]] = {
        "dump": tables,
        "databases": databases,
        "restore": restores,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="of the sample data")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2, help="how many tables at once")
    parser.add_argument("--only", choices=list(measures), help="one subject instead of all")
    asked, _ = parser.parse_known_args()
    title(f"PostgreSQL, several at once; {asked.megabytes} MB of rows, zstd, medians of {asked.turns} turns")
    print(f"  {version_of('pg_dump', '--version')}\n")
    with workplace() as folder:
        folder.chmod(0o755)
        files = _sample.write(folder, asked.megabytes)
        for name, measure in measures.items():
            if asked.only in (None, name):
                with postgres() as socket:
                    measure(folder, socket, files, asked)


def source(socket: Path, **more: object) -> dict[str, object]:
    """The server's own database, or what `more` says."""
    reached = {"provider": "postgres", "socket": str(socket), "user": "postgres"}
    return {**reached, **(more if "databases" in more else {"db_name": "postgres", **more})}


def tables(folder: Path, socket: Path, files: list[Path], asked: argparse.Namespace) -> None:
    """Several tables at once, beside the single stream."""
    _sample.into_postgres(socket, files)
    out, jobs = folder / "out", asked.jobs
    one = Ours(folder / "plain", source(socket), ZSTD)
    room = Room(folder / "directory/state/spool")
    many = Ours(folder / "directory", source(socket, format="directory", jobs=jobs), ZSTD, watch=room.look)
    dump = f"pg_dump --no-password -h {socket} -U postgres -Fd -j {jobs} -Z 0 --no-sync -f {out}.d postgres"
    shell = Shell(f"{dump} && tar -C {out}.d -c . | zstd -3 -T2 -q > {out}; rm -r {out}.d", out)
    in_turn(asked.turns, one, many, shell)
    tell(f"single stream: whole process, {one.size / 1e6:.0f} MB", spread(one.taken.whole))
    tell(f"format: directory, jobs: {jobs}: whole process", spread(many.taken.whole))
    tell("  shell: pg_dump -Fd -j, then tar | zstd", spread(shell.taken.whole))
    tell("jobs / single stream, whole process", f"{ratio(many.taken.whole, one.taken.whole):.2f}")
    tell("jobs / single stream, data plane", f"{ratio(many.plane, one.plane):.2f}")
    tell("jobs / shell, whole process", f"{ratio(many.taken.whole, shell.taken.whole):.2f}")
    told_ratio(
        "most room on the spool's disk / the dump and what is stored", room.most / (many.size + many.stored), _ROOM
    )


def databases(folder: Path, socket: Path, files: list[Path], asked: argparse.Namespace) -> None:
    """Four databases of one source, two of them at once."""
    for file in files:
        subprocess.run(["createdb", "-h", str(socket), "-U", "postgres", file.stem], check=True)
        _sample.into_postgres(socket, [file], file.stem)
    several = source(socket, databases=[file.stem for file in files])
    one = Ours(folder / "one", several, ZSTD, {"max_parallel": 1})
    two = Ours(folder / "two", several, ZSTD, {"max_parallel": 2})
    in_turn(asked.turns, one, two)
    tell(f"{len(files)} databases, max_parallel: 1: whole process, {one.size / 1e6:.0f} MB", spread(one.taken.whole))
    tell(f"{len(files)} databases, max_parallel: 2: whole process", spread(two.taken.whole))
    tell("two at once / one after the other", f"{ratio(two.taken.whole, one.taken.whole):.2f}")


def restores(folder: Path, socket: Path, files: list[Path], asked: argparse.Namespace) -> None:
    """One copy back into a new database, by one and by several."""
    _sample.into_postgres(socket, files)
    for form in ("custom", "directory"):
        place = folder / f"back-{form}"
        place.mkdir()
        config = write_config(place, data_sources=[source(socket, label="Sample", format=form)], pipeline=ZSTD)
        (backup,) = json.loads(backupman(config, "run", "-q", "--json"))["Results"]
        taken: dict[int, Timed] = {1: Timed(), asked.jobs: Timed()}
        for turn in range(asked.turns + 1):  # the first only fills the page cache
            for jobs, timed in taken.items():
                drop(socket)
                argv = [sys.executable, "-m", "backupman", "restore", backup["Id"], "--to-database", "back", "-q"]
                (timed if turn else Timed()).time([*argv, "--jobs", str(jobs), "-c", str(config)])
        drop(socket)
        shutil.rmtree(place)
        for jobs, timed in taken.items():
            tell(f"restore, {form}, {backup['Size'] / 1e6:.0f} MB, --jobs {jobs}", spread(timed.whole))
        tell(f"restore, {form}: several / one job", f"{ratio(taken[asked.jobs].whole, taken[1].whole):.2f}")


def drop(socket: Path) -> None:
    """Remove what was restored."""
    subprocess.run(
        ["dropdb", "-h", str(socket), "-U", "postgres", "--if-exists", "--force", "back"],
        check=True,
        capture_output=True,
    )


class Room:
    """The most bytes that a folder and all below it have had."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.most = 0

    def look(self) -> None:
        """Count once."""
        found = 0
        for file in self._folder.rglob("*"):
            try:
                found += file.stat().st_size if file.is_file() else 0
            except FileNotFoundError:
                continue  # packed and removed by now
        self.most = max(self.most, found)


if __name__ == "__main__":
    main()
