"""`backupman run` beside the shell pipelines that do the same work, on the same data, taken in turn.

The ratio of each turn is taken, then the median of these: what a busy machine does to one half it does to the other.
Where others want the processor too, the ratio of the processor time says more than that of the wall: a pipeline of five
programs then gets a larger share of it than one of three.
The data plane is from the tool's start to the commit of the dump, as the record of the backup says.
"""

import argparse
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import _sample
from _measure import ratio, spread, tell, title, told_ratio, version_of, workplace
from _servers import mariadb, postgres
from _ways import GZIP, HASHED, ZSTD, Ours, Shell, in_turn


def main() -> None:
    """Measure every source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="of the sample data")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", choices=["postgres", "mariadb", "sqlite"], help="one source instead of all")
    asked, _ = parser.parse_known_args()
    title(f"backupman run onto a local drive; {asked.megabytes} MB of rows, medians of {asked.turns} turns")
    tools = [("pg_dump", "--version"), ("mariadb-dump", "--version"), ("sqlite3", "--version"), ("zstd", "--version")]
    print("  " + "\n  ".join(version_of(*tool) for tool in tools) + "\n")
    measures: dict[str, Callable[[Path, list[Path], int], None]] = {
        "postgres": from_postgres,
        "mariadb": from_mariadb,
        "sqlite": from_sqlite,
    }
    with workplace() as folder:
        folder.chmod(0o755)
        files = _sample.write(folder, asked.megabytes)
        for name, measure in measures.items():
            if asked.only in (None, name):
                measure(folder, files, asked.turns)


def from_postgres(folder: Path, files: list[Path], turns: int) -> None:
    """zstd, gzip, encryption; beside zstd, a bare pg_dump, gzip and pigz."""
    with postgres() as socket:
        _sample.into_postgres(socket, files)
        source = {"provider": "postgres", "socket": str(socket), "user": "postgres", "db_name": "postgres"}
        dump, out = f"pg_dump --no-password -h {socket} -U postgres postgres", folder / "out"
        recipient = {"encryption": {"recipients": [_age_recipient()]}}
        ours, packed = Ours(folder / "zstd", source, ZSTD), Ours(folder / "gzip", source, GZIP)
        sealed = Ours(folder / "age", source, {**ZSTD, **recipient})
        shell, bare = Shell(f"{dump} | {HASHED}", out), Shell(f"{dump} > /dev/null", out)
        by_hand = [Shell(f"{dump} | gzip > {{out}}", out)]
        if shutil.which("pigz"):
            by_hand.append(Shell(f"{dump} | pigz > {{out}}", out))
        else:
            print("  pigz is missing, and left out: scripts/bench-peers brings it")
        in_turn(turns, shell, ours, sealed)
        in_turn(turns, bare, packed, *by_hand)
        beside("PostgreSQL, zstd", ours, "pg_dump | zstd -3 -T2 | tee | sha256sum", shell, plane=1.0, whole=1.1)
        beside("PostgreSQL, gzip", packed, "a bare pg_dump", bare, plane=1.3, whole=1.4)
        told_ratio("PostgreSQL, zstd: data plane encrypted / not encrypted", ratio(sealed.plane, ours.plane), 1.1)
        told_peak("gzip", packed, 60)
        told_peak("zstd", ours, 100)
        for other, which, limit in zip(by_hand, ("gzip", "pigz"), (0.2, 0.5), strict=False):
            tell(f"  pg_dump | {which}", spread(other.taken.whole))
            told_ratio(
                f"PostgreSQL, gzip: whole / pg_dump | {which}", ratio(packed.taken.whole, other.taken.whole), limit
            )
        told_ratio("PostgreSQL, gzip: bytes stored / gzip -6", packed.stored / by_hand[0].stored, 1.15)


def from_mariadb(folder: Path, files: list[Path], turns: int) -> None:
    """zstd beside the same pipeline."""
    with mariadb() as socket:
        _sample.into_mariadb(socket, files)
        source = {"provider": "mariadb", "socket": str(socket), "user": "root", "db_name": "shop"}
        options = "--single-transaction --quick --routines --events --triggers --hex-blob"
        dump = f"mariadb-dump --no-defaults --socket={socket} --user=root {options} shop"
        ours, shell = Ours(folder / "mariadb", source, ZSTD), Shell(f"{dump} | {HASHED}", folder / "out")
        in_turn(turns, shell, ours)
        beside("MariaDB, zstd", ours, "mariadb-dump | zstd -3 -T2 | tee | sha256sum", shell, plane=1.0, whole=1.1)


def from_sqlite(folder: Path, files: list[Path], turns: int) -> None:
    """zstd, with our quick_check, beside .backup and then zstd."""
    database, out = folder / "sample.db", folder / "out"
    _sample.into_sqlite(database, files)
    ours = Ours(folder / "sqlite", {"provider": "sqlite", "db_path": str(database)}, ZSTD)
    shell = Shell(f"sqlite3 {database} '.backup {{out}}' && zstd -3 -T2 -q --rm {{out}}", out)
    in_turn(turns, shell, ours)
    beside("SQLite, zstd", ours, "sqlite3 .backup, then zstd -3 -T2", shell, plane=None, whole=1.15)


def beside(what: str, ours: Ours, which: str, shell: Shell, *, plane: float | None, whole: float) -> None:
    """The figures of both, and the ratios."""
    tell(
        f"{what}: whole process, {ours.size / 1e6:.0f} MB dumped, {ours.stored / 1e6:.0f} MB stored",
        spread(ours.taken.whole),
    )
    tell(f"{what}: data plane", spread(ours.plane))
    tell(f"  {which}", spread(shell.taken.whole))
    if plane is not None:
        told_ratio(f"{what}: data plane / {which}", ratio(ours.plane, shell.taken.whole), plane)
    told_ratio(f"{what}: whole / {which}", ratio(ours.taken.whole, shell.taken.whole), whole)
    tell(f"{what}: processor time / {which}", f"{ratio(ours.taken.processor, shell.taken.processor):.2f}")


def told_peak(what: str, ours: Ours, limit: float) -> None:
    """The memory of the child."""
    tell(
        f"PostgreSQL, {what}: peak memory of the data plane",
        f"{ours.peak:.0f} MiB",
        f"<= {limit:g} MiB",
        met=ours.peak <= limit,
    )


def _age_recipient() -> str:
    keys = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True, env=dict(os.environ))
    return keys.stdout.split("public key: ")[1].split()[0]


if __name__ == "__main__":
    main()
