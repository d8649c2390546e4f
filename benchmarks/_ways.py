"""Ways to make the same backup: by `backupman run`, and by a pipeline of the shell; and what their runs have taken."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from _daemon import write_config
from _measure import Timed, child_peak

ZSTD = {"compression": {"method": "zstd", "level": 3}}
GZIP = {"compression": {"method": "gzip"}}
HASHED = "zstd -3 -T2 -q | tee {out} | sha256sum"


@dataclass
class Ours:
    """A config whose one source is backed up onto a local drive, or as `settings` say, and what its runs have taken."""

    folder: Path
    source: Mapping[str, Any]
    pipeline: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    watch: Callable[[], None] = lambda: None
    """Called ten times a second meanwhile."""
    taken: Timed = field(default_factory=Timed)
    plane: list[float] = field(default_factory=list)
    """Seconds from the tool's start to the commit of the dump; of several databases together."""
    uploads: list[float] = field(default_factory=list)
    """Seconds until the last drive has all of it."""
    peak: float = 0.0
    """The largest resident memory of the child, in MiB."""
    stored: int = 0
    size: int = 0

    def run(self) -> None:
        """Make a backup, and remove it."""
        self.folder.mkdir(exist_ok=True)
        source = {"label": "Sample", **self.source}
        config = write_config(self.folder, data_sources=[source], pipeline=dict(self.pipeline), **self.settings)
        argv = [sys.executable, "-m", "backupman", "run", "-q", "--json", "-c", str(config)]
        backups = json.loads(self.taken.time(argv, self._watch))["Results"]
        self.plane.append(sum(backup["DumpSeconds"] for backup in backups))
        self.uploads.append(max(file["Seconds"] for backup in backups for file in backup["DriveFiles"]))
        self.stored = sum(backup["StoredSize"] for backup in backups)
        self.size = sum(backup["Size"] for backup in backups)
        shutil.rmtree(self.folder / "drive", ignore_errors=True)

    def forget(self) -> None:
        """Begin to count anew."""
        self.taken, self.plane, self.uploads = Timed(), [], []

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        while process.poll() is None:
            self.peak = max(self.peak, child_peak(process.pid))
            self.watch()
            time.sleep(0.1)


@dataclass
class Shell:
    """A pipeline of the shell, and what its runs have taken; `{out}` in it is a file that is removed after each."""

    pipeline: str
    out: Path
    taken: Timed = field(default_factory=Timed)
    stored: int = 0

    def run(self) -> None:
        """Run it once."""
        self.taken.time(["bash", "-o", "pipefail", "-c", self.pipeline.replace("{out}", str(self.out))])
        for file in self.out.parent.glob(f"{self.out.name}*"):
            self.stored = file.stat().st_size
            file.unlink()

    def forget(self) -> None:
        """Begin to count anew."""
        self.taken = Timed()


class Way(Protocol):
    """A way to do some work, that remembers what its runs have taken."""

    def run(self) -> None:
        """Do it once."""

    def forget(self) -> None:
        """Begin to count anew."""


def in_turn(turns: int, *ways: Way) -> None:
    """Run all, again and again, after a turn that only fills the page cache and makes what is made once."""
    for turn in range(turns + 1):
        for way in ways:
            way.run()
            if turn == 0:
                way.forget()
