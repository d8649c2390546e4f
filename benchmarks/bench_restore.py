"""`backupman restore` beside the plain shell pipelines that bring the same object back, taken in turn.

Both fill a new database each time, which is dropped between the turns. The ratio of each turn is taken, then the median
of these. The pipelines check nothing; the restore compares all bytes with the recorded sha256. Its data plane is from
the start of the child to the end of the restore, as the record says; the whole adds the command's own start, and the
records. A drill restores the same copy into a throwaway server or file, counts and compares, and removes everything.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import _sample
from _daemon import write_config
from _measure import Timed, cannot_measure, ratio, spread, tell, title, told_ratio, version_of, workplace
from _servers import mariadb, postgres
from _ways import ZSTD

_LIMIT = 1.05
_JOBS = 2


def main() -> None:
    """Measure every source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="of the sample data")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", choices=["postgres", "mariadb", "sqlite"], help="one source instead of all")
    asked, _ = parser.parse_known_args()
    title(f"backupman restore from a local drive, zstd; {asked.megabytes} MB of rows, {asked.turns} turns")
    tools = [("psql", "--version"), ("mariadb", "--version"), ("sqlite3", "--version"), ("zstd", "--version")]
    print("  " + "\n  ".join(version_of(*tool) for tool in tools) + "\n")
    measures: dict[str, Callable[[Path, list[Path], int], None]] = {
        "postgres": into_postgres,
        "mariadb": into_mariadb,
        "sqlite": into_sqlite,
    }
    with workplace() as folder:
        folder.chmod(0o755)
        files = _sample.write(folder, asked.megabytes)
        for name, measure in measures.items():
            if asked.only in (None, name):
                measure(folder, files, asked.turns)


def into_postgres(folder: Path, files: list[Path], turns: int) -> None:
    """Plain SQL by psql, the custom format by pg_restore and by several jobs of it, the directory format by several."""
    with postgres() as socket:
        _sample.into_postgres(socket, files)
        login = f"-h {socket} -U postgres"
        source = {"provider": "postgres", "socket": str(socket), "user": "postgres", "db_name": "postgres"}
        quiet = "-q -X -o /dev/null -v ON_ERROR_STOP=1 --single-transaction"
        by_jobs, there = f"pg_restore --exit-on-error --jobs={_JOBS} {login} -d back", folder / "unpacked"
        ways = {
            ("plain", 1): f"zstd -dcq {{object}} | psql {quiet} {login} -d back",
            ("custom", 1): f"zstd -dcq {{object}} | pg_restore --exit-on-error --single-transaction {login} -d back",
            ("custom", _JOBS): f"zstd -dcqf {{object}} -o {there} && {by_jobs} {there} && rm {there}",
            ("directory", _JOBS): (
                f"mkdir {there} && zstd -dcq {{object}} | tar -x -C {there} --strip-components=1 && "
                f"{by_jobs} {there} && rm -r {there}"
            ),
        }
        for (form, jobs), pipeline in ways.items():
            beside(
                f"PostgreSQL, {form}" + (f", --jobs {jobs}" if jobs > 1 else ""),
                folder / f"{form}-{jobs}",
                source | {"format": form, "jobs": jobs if form == "directory" else 1},
                "back",
                f"createdb {login} --template=template0 back && {pipeline}",
                f"dropdb {login} --if-exists --force back",
                turns,
                ["--jobs", str(jobs)],
            )


def into_mariadb(folder: Path, files: list[Path], turns: int) -> None:
    """SQL by the client."""
    with mariadb() as socket:
        _sample.into_mariadb(socket, files)
        client = f"mariadb --no-defaults --socket={socket} --user=root"
        beside(
            "MariaDB",
            folder / "mariadb",
            {"provider": "mariadb", "socket": str(socket), "user": "root", "db_name": "shop"},
            "back",
            f"{client} -e 'CREATE DATABASE back' && zstd -dcq {{object}} | {client} back",
            f"{client} -e 'DROP DATABASE IF EXISTS back'",
            turns,
        )


def into_sqlite(folder: Path, files: list[Path], turns: int) -> None:
    """The file itself, brought to the disk, and looked through as the restore does too."""
    database, back = folder / "sample.db", folder / "back.db"
    _sample.into_sqlite(database, files)
    source = {"provider": "sqlite", "db_path": str(database)}
    write = f"zstd -dcq {{object}} | dd of={back} bs=1M conv=fsync status=none"
    check = f"sqlite3 {back} 'PRAGMA quick_check'"
    for what, pipeline in {"SQLite": write, "SQLite, quick_check": f"{write} && {check}"}.items():
        beside(what, folder / what.split(", ")[-1], source, str(back), pipeline, f"rm -f {back}", turns)


def beside(
    what: str,
    folder: Path,
    source: Mapping[str, Any],
    target: str,
    pipeline: str,
    drop: str,
    turns: int,
    options: Sequence[str] = (),
) -> None:
    """Make a backup, bring it back in both ways in turn, and tell the figures."""
    folder.mkdir()
    config = write_config(folder, data_sources=[{"label": "Sample", **source}], pipeline=dict(ZSTD))
    ours_argv = [sys.executable, "-m", "backupman"]
    said = subprocess.run([*ours_argv, "run", "-q", "--json", "-c", str(config)], capture_output=True, check=False)
    if said.returncode:
        cannot_measure(f"backupman run ended with {said.returncode}: {said.stderr.decode()}")
    (backup,) = json.loads(said.stdout)["Results"]
    stored = backup["DriveFiles"][0]["Path"]
    restore = [*ours_argv, "restore", backup["Id"], "-q", "--to-database", target, *options, "-c", str(config)]
    shell = ["bash", "-euo", "pipefail", "-c", pipeline.replace("{object}", stored)]
    drill = [*ours_argv, "verify", backup["Id"], "--level", "restore", "-q", "-c", str(config)]
    ours, theirs, drilled = Timed(), Timed(), Timed()
    planes: list[float] = []
    pair = [(theirs, shell), (ours, restore)]
    for turn in range(turns + 1):  # the first only fills the page cache
        pair.reverse()  # a server grows slower from one restore to the next
        for way, argv in pair:
            subprocess.run(["bash", "-euc", drop], check=True, stdout=subprocess.DEVNULL)
            (Timed() if turn == 0 else way).time(argv)
        if turn:
            listed = subprocess.run(
                [*ours_argv, "restores", "--json", "-c", str(config)], stdout=subprocess.PIPE, check=True
            )
            planes.append(json.loads(listed.stdout)["Results"][0]["Seconds"])
            drilled.time(drill)
    subprocess.run(["bash", "-euc", drop], check=True, stdout=subprocess.DEVNULL)
    tell(f"{what}: {backup['Size'] / 1e6:.0f} MB, stored in {backup['StoredSize'] / 1e6:.0f} MB", spread(ours.whole))
    tell("  the shell pipeline", spread(theirs.whole))
    tell("  the data plane alone", spread(planes))
    told_ratio(f"{what}: data plane / pipeline", ratio(planes, theirs.whole), _LIMIT)
    told_ratio(f"{what}: whole / pipeline", ratio(ours.whole, theirs.whole), _LIMIT)
    tell(f"{what}: processor time / pipeline", f"{ratio(ours.processor, theirs.processor):.2f}")
    tell(f"{what}: a drill / the whole restore", f"{ratio(drilled.whole, ours.whole):.2f}")


if __name__ == "__main__":
    main()
