"""The memory of the data plane: a dump of a few hundred megabytes, and one of several gigabytes.

The dump is the output of a program and cannot be compressed, so that the spool and every drive get all of it. It goes
onto a local drive and into S3 at once; what is measured is the largest resident memory of the process that moves it.
"""

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _daemon import write_config
from _measure import cannot_measure, peak_rss, tell, title, tree, workplace
from _sink import Sink, sink

PIPELINES: dict[str, dict[str, Any]] = {
    "gzip": {"compression": {"method": "gzip"}},
    "zstd": {"compression": {"method": "zstd"}},
    "zstd, encrypted": {"compression": {"method": "zstd"}, "encryption": {"recipients": []}},
}
LIMITS = {"gzip": 160, "zstd": 160, "zstd, encrypted": 160}
GROWTH = 10


def main() -> None:
    """Measure each pipeline with both sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=256, help="megabytes of the smaller dump")
    parser.add_argument("--large", type=int, default=5120, help="megabytes of the larger dump")
    parser.add_argument("--only", choices=list(PIPELINES), help="one pipeline instead of all")
    asked, _ = parser.parse_known_args()
    title(f"peak memory of the data plane onto a local drive and S3, {asked.small} and {asked.large} MiB")
    with workplace() as folder, sink() as server:
        _must_fit(folder, asked.large)
        for name, pipeline in PIPELINES.items():
            if asked.only not in (None, name):
                continue
            small, large = (measured(folder, server, pipeline, size) for size in (asked.small, asked.large))
            tell(f"{name}: {asked.small} MiB", f"{small:.0f} MiB", f"<= {LIMITS[name]} MiB", met=small <= LIMITS[name])
            tell(f"{name}: {asked.large} MiB", f"{large:.0f} MiB")
            tell(f"{name}: growth", f"{large - small:.0f} MiB", f"<= {GROWTH} MiB", met=large - small <= GROWTH)


def measured(folder: Path, server: Sink, pipeline: dict[str, Any], megabytes: int) -> float:
    """The peak of one backup, in MiB."""
    if "encryption" in pipeline:
        pipeline = pipeline | {"encryption": {"recipients": [_recipient()]}}
    place = folder / "run"
    place.mkdir()
    argv = ["sh", "-c", f"head -c {megabytes}M /dev/urandom"]
    config = write_config(
        place,
        data_sources=[{"provider": "command", "label": "Random", "argv": argv}],
        drives=[
            {"provider": "local", "label": "Disk", "folder": str(place / "drive")},
            server.drive(),
        ],
        pipeline=pipeline,
    )
    command = [sys.executable, "-m", "backupman", "run", "-q", "--json", "-c", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0.0
    while process.poll() is None:
        for pid in tree(process.pid)[1:]:
            with contextlib.suppress(OSError):
                if b"backupman.data_plane.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    peak = max(peak, peak_rss(pid))
        time.sleep(0.1)
    said = process.communicate()[0]
    if process.returncode:
        cannot_measure(f"backupman run ended with {process.returncode}: {said}")
    (backup,) = json.loads(said)["Results"]
    if any(file["Status"] != "finished" for file in backup["DriveFiles"]) or backup["Size"] != megabytes * 2**20:
        cannot_measure(f"not all of the dump was stored: {said}")
    shutil.rmtree(place)
    return peak


def _recipient() -> str:
    import pyrage

    return str(pyrage.x25519.Identity.generate().to_public())


def _must_fit(folder: Path, megabytes: int) -> None:
    need = megabytes * 2**20 * 5 // 2
    if shutil.disk_usage(folder).free < need:
        cannot_measure(f"{need / 1e9:.0f} GB are needed in {folder}: set TMPDIR, or --large")


if __name__ == "__main__":
    main()
