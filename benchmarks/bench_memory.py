"""The memory of the data plane: a dump of a gigabyte, and one of twenty.

The dump is the output of a program: rows of numbers, words and JSON, the same gigabyte again and again, which no
compressor here looks back on. What is measured is the largest resident memory of the process that moves it, onto a
local drive alone, or onto it and into S3 at once. With `--random` nothing of the dump can be compressed, so that all of
it reaches every drive, and the parts of the upload grow; that takes twice the dump's size on the disk.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import _sample
from _measure import cannot_measure, tell, title, workplace
from _sink import sink
from _ways import GZIP, ZSTD, Ours

GROWTH = 10
WAYS: dict[str, tuple[dict[str, Any], bool, int]] = {
    "gzip": (GZIP, False, 60),
    "zstd": (ZSTD, False, 100),
    "zstd-s3": (ZSTD, True, 160),
    "zstd-s3-age": ({**ZSTD, "encryption": {"recipients": []}}, True, 160),
}
"""The pipeline, whether S3 is a second drive, and the limit in MiB."""

HEAVY = ("sqlmodel", "sqlalchemy", "alembic", "typer", "fastapi")


def main() -> None:
    """Measure each way with both sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=1000, help="megabytes of the smaller dump")
    parser.add_argument("--large", type=int, default=20_000, help="megabytes of the larger dump")
    parser.add_argument("--random", action="store_true", help="dump what cannot be compressed")
    parser.add_argument("--only", choices=list(WAYS), help="one way instead of all")
    asked, _ = parser.parse_known_args()
    what = "random bytes" if asked.random else "rows"
    title(f"peak memory of the data plane, dumps of {asked.small} and {asked.large} MB of {what}")
    found = imported()
    tell("heavy modules that the data plane's child imports", ", ".join(found) or "none", "none", met=not found)
    with workplace() as folder:
        _must_fit(folder, asked.large * (9 if asked.random else 4) // 4)
        rows = "" if asked.random else " ".join(map(str, _sample.write(folder, min(asked.small, 1000))))
        for name, (pipeline, s3, limit) in WAYS.items():
            if asked.only not in (None, name):
                continue
            small, large = (
                measured(folder, name, pipeline, dump(rows, size), s3=s3) for size in (asked.small, asked.large)
            )
            most = max(small, large)
            tell(f"{name}: {asked.small} MB", f"{small:.0f} MiB")
            tell(f"{name}: {asked.large} MB", f"{large:.0f} MiB")
            tell(f"{name}: peak", f"{most:.0f} MiB", f"<= {limit} MiB", met=most <= limit)
            tell(f"{name}: growth", f"{max(0, large - small):.0f} MiB", f"<= {GROWTH} MiB", met=large - small <= GROWTH)


def dump(rows: str, megabytes: int) -> str:
    """A command of the shell that writes so much; its own last program is not told when nobody reads on."""
    if not rows:
        return f"head -c {megabytes}000000 /dev/urandom"
    return f"while cat {rows} 2>/dev/null; do :; done | head -c {megabytes}000000"


def measured(folder: Path, name: str, pipeline: dict[str, Any], command: str, *, s3: bool) -> float:
    """The peak of one backup, in MiB."""
    if "encryption" in pipeline:
        pipeline = pipeline | {"encryption": {"recipients": [_recipient()]}}
    place = folder / name
    drives = [{"provider": "local", "label": "Disk", "folder": str(place / "drive")}]
    with sink() as server:
        drives += [server.drive()] if s3 else []
        ours = Ours(place, {"provider": "command", "argv": ["sh", "-c", command]}, pipeline, {"drives": drives})
        ours.run()
    shutil.rmtree(place)
    return ours.peak


def imported() -> list[str]:
    """Which of the heavy modules a child has imported before its task."""
    code = f"import sys, backupman.data_plane.child; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def _recipient() -> str:
    import pyrage

    return str(pyrage.x25519.Identity.generate().to_public())


def _must_fit(folder: Path, megabytes: int) -> None:
    if shutil.disk_usage(folder).free < megabytes * 1_000_000:
        cannot_measure(f"{megabytes / 1000:.0f} GB are needed in {folder}: set TMPDIR, or --large")


if __name__ == "__main__":
    main()
