"""The same databases backed up by Backupman and by its peers: time, processor time, memory and bytes stored.

Every program starts with an empty place and makes one backup, in turn with the others; at the end each makes a second
one of the same data, which is where programs that share equal pieces between backups gain. What is not installed is
named and left out. Private servers are asked, and no file of a program's own configuration is touched.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import _sample
from _daemon import write_config
from _measure import cannot_measure, children_seconds, ratio, rss, tell, title, version_of, workplace
from _servers import mariadb, postgres
from _ways import GZIP, HASHED, ZSTD

_BUILD = Path(__file__).parent.parent / "build"
_BORGMATIC = _BUILD / "borgmatic/bin/borgmatic"


@dataclass
class Program:
    """A way to make a backup in a place of its own, and what its runs have taken."""

    argv: Sequence[str]
    place: Path
    env: Mapping[str, str] = field(default_factory=dict)
    prepare: Sequence[str] = ()
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    stored: int = 0
    second: int = 0

    def first(self) -> None:
        """Make a first backup in an empty place."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(mode=0o700)
        if self.prepare:
            self._run(self.prepare)
        used, started = children_seconds(), time.perf_counter()
        peak = self._run(self.argv)
        self.wall.append(time.perf_counter() - started)
        self.processor.append(children_seconds() - used)
        self.peak.append(peak)
        self.stored = _bytes(self.place)

    def again(self) -> None:
        """Make a backup of the same data beside the one that is there."""
        before = _bytes(self.place)
        self._run(self.argv)
        self.second = max(0, _bytes(self.place) - before)  # one of the same day may take the place of the first

    def _run(self, argv: Sequence[str]) -> float:
        """The largest resident memory of all of its processes together, looked at ten times a second, in MiB."""
        env = {**os.environ, **self.env}
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
        seen = [0.0]

        def watch() -> None:
            while process.poll() is None:
                seen.append(rss(process.pid))
                time.sleep(0.1)

        watching = threading.Thread(target=watch)
        watching.start()
        _, said = process.communicate()
        watching.join()
        if process.returncode:
            cannot_measure(f"`{' '.join(argv)}` ended with {process.returncode}: {said.decode()[-1500:]}")
        return max(seen)


def main() -> None:
    """Measure both servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300, help="of the sample data")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=["postgres", "mariadb"], help="one server instead of both")
    asked, _ = parser.parse_known_args()
    title(
        f"One backup of {asked.megabytes} MB of rows onto a local disk, by each program; medians of {asked.turns} turns"
    )
    for line in versions():
        print(f"  {line}")
    with workplace() as folder:
        folder.chmod(0o755)
        files = _sample.write(folder, asked.megabytes)
        if asked.only != "mariadb":
            with postgres() as socket:
                _sample.into_postgres(socket, files)
                told("PostgreSQL", of_postgres(folder, socket), asked.turns)
        if asked.only != "postgres":
            with mariadb() as socket:
                _sample.into_mariadb(socket, files)
                told("MariaDB", of_mariadb(folder, socket), asked.turns)


def told(server: str, programs: Mapping[str, Program], turns: int) -> None:
    """Run all in turn, and tell what each took, beside Backupman by zstd."""
    for _ in range(turns):
        for program in programs.values():
            program.first()
    ours = next(iter(programs.values()))
    print()
    for name, program in programs.items():
        program.again()
        wall, processor = ratio(program.wall, ours.wall), ratio(program.processor, ours.processor)
        what = f"{server}, {name}"
        tell(f"{what}: wall", f"{statistics.median(program.wall):.1f} s, {wall:.2f} of ours")
        tell(f"{what}: processor time", f"{statistics.median(program.processor):.1f} s, {processor:.2f} of ours")
        tell(f"{what}: memory of all processes", f"{statistics.median(program.peak):.0f} MiB")
        tell(f"{what}: stored, and a second time", f"{program.stored / 1e6:.1f} + {program.second / 1e6:.1f} MB")


def of_postgres(folder: Path, socket: Path) -> dict[str, Program]:
    """Every program that backs up PostgreSQL."""
    dump = f"pg_dump --no-password -h {socket} -U postgres postgres"
    source = {"provider": "postgres", "socket": str(socket), "user": "postgres", "db_name": "postgres"}
    found = ours(folder / "postgres", source) | {"pg_dump | zstd -3 -T2 | tee | sha256sum": shell(folder, dump)}
    if there("restic"):
        found["restic --stdin"] = restic(folder, dump)
    if there("borg") and (borgmatic := _borgmatic()):
        # By libpq's variable: as a hostname, it takes the socket's folder for a part of its own paths.
        databases = "postgresql_databases: [{name: postgres, username: postgres}]"
        found["borgmatic with borg, zstd"] = of_borgmatic(folder, borgmatic, databases, {"PGHOST": str(socket)})
    if script := there("autopostgresqlbackup"):
        settings = f'SU_USERNAME=""\nUSERNAME=postgres\nDBHOST="{socket}"\nDBNAMES=postgres\nMDBNAMES=""\n'
        found["autopostgresqlbackup, gzip"] = of_script(folder, script, settings)
    return found


def of_mariadb(folder: Path, socket: Path) -> dict[str, Program]:
    """Every program that backs up MariaDB."""
    options = "--single-transaction --quick --routines --events --triggers --hex-blob"
    dump = f"mariadb-dump --no-defaults --socket={socket} --user=root {options} shop"
    source = {"provider": "mariadb", "socket": str(socket), "user": "root", "db_name": "shop"}
    found = ours(folder / "mariadb", source) | {"mariadb-dump | zstd -3 -T2 | tee | sha256sum": shell(folder, dump)}
    if there("restic"):
        found["restic --stdin"] = restic(folder, dump)
    if there("borg") and (borgmatic := _borgmatic()):
        databases = f"mariadb_databases: [{{name: shop, socket_path: {socket}, username: root}}]"
        found["borgmatic with borg, zstd"] = of_borgmatic(folder, borgmatic, databases, {})
    if script := there("automysqlbackup"):
        login_file = folder / "client.cnf"
        login_file.write_text(f"[client]\nuser=root\nsocket={socket}\n")
        settings = 'DBHOST=localhost\nDBNAMES=shop\nMDBNAMES=""\nROUTINES=yes\nCOMMCOMP=no\nSOCKET=\n'
        found["automysqlbackup, gzip"] = of_script(folder, script, settings, {"/etc/mysql/debian.cnf": str(login_file)})
    return found


def ours(folder: Path, source: Mapping[str, object]) -> dict[str, Program]:
    """`backupman run` by zstd, and as it comes."""
    found = {}
    for name, pipeline in {"backupman run, zstd": ZSTD, "backupman run, gzip": GZIP}.items():
        place = folder / pipeline["compression"]["method"]  # type: ignore[index]  # both are nested
        place.mkdir(parents=True)
        drive = {"provider": "local", "label": "Disk", "folder": str(place / "drive")}
        config = write_config(place, data_sources=[{"label": "Sample", **source}], pipeline=pipeline, drives=[drive])
        argv = [sys.executable, "-m", "backupman", "run", "-q", "-c", str(config)]
        found[name] = Program(argv, place / "drive")
    return found


def shell(folder: Path, dump: str) -> Program:
    """The pipeline that people write by hand; each backup has a name of its own."""
    place = folder / "shell"
    command = f"{dump} | {HASHED.format(out=f'{place}/$(date +%s%N).zst')}"
    return Program(["bash", "-o", "pipefail", "-c", command], place)


def restic(folder: Path, dump: str) -> Program:
    """restic compresses and encrypts by itself, always."""
    place = folder / "restic"
    env = {"RESTIC_PASSWORD": "benchmark", "RESTIC_REPOSITORY": str(place), "RESTIC_CACHE_DIR": str(folder / "cache")}
    command = f"{dump} | restic backup -q --stdin --stdin-filename dump.sql"
    return Program(["bash", "-o", "pipefail", "-c", command], place, env, ["restic", "init", "-q"])


def of_borgmatic(folder: Path, borgmatic: str, databases: str, env: Mapping[str, str]) -> Program:
    """borgmatic dumps into a named pipe that borg reads."""
    home, place = folder / "borg-home", folder / "borg"
    home.mkdir(exist_ok=True)
    config = home / f"{databases.partition('_')[0]}.yaml"
    config.write_text(f"repositories: [{{path: {place}}}]\ncompression: zstd,3\n{databases}\n")
    paths = dict.fromkeys(("BORG_BASE_DIR", "HOME", "XDG_RUNTIME_DIR"), str(home))
    env = {**env, **paths, "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    argv = [borgmatic, "--config", str(config), "--verbosity", "-1", "create"]
    return Program(argv, place, env, ["borg", "init", "--encryption", "none", str(place)])


def of_script(folder: Path, script: str, settings: str, paths: Mapping[str, str] | None = None) -> Program:
    """A copy of the script that reads settings of ours, not the machine's; it replaces the backup of the weekday."""
    name = Path(script).name
    place, config, copy = folder / name, folder / f"{name}.conf", folder / f"{name}.sh"
    config.write_text(
        f'{settings}BACKUPDIR="{place}"\nMAILCONTENT=stdout\nCREATE_DATABASE=yes\nSEPDIR=yes\nCOMP=gzip\n'
    )
    text = Path(script).read_text()
    for ours_instead in ({f"/etc/default/{name}": str(config)}, paths or {}):
        for old, new in ours_instead.items():
            text = text.replace(old, new)
    copy.write_text(text)
    return Program(["bash", str(copy)], place)


def there(program: str) -> str | None:
    """Where a program is; what is not there is told, with how to install it."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{_BUILD / 'peers/usr/sbin'}")
    if not found:
        brings = "scripts/test-servers" if program == "borgmatic" else "scripts/bench-peers"
        print(f"  {program} is missing, and left out: {brings} brings it")
    return found


def _borgmatic() -> str | None:
    return str(_BORGMATIC) if _BORGMATIC.exists() else there("borgmatic")


def versions() -> list[str]:
    """What the programs that are there say of themselves."""
    found = []
    for argv in (["pg_dump", "--version"], ["mariadb-dump", "--version"], ["borg", "--version"], ["restic", "version"]):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            found.append(version_of(*argv))
    if borgmatic := _borgmatic():
        found.append(f"borgmatic {version_of(borgmatic, '--version')}")
    return found


def _bytes(place: Path) -> int:
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
