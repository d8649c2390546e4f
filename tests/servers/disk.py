"""A small disk of its own, which only root may mount, and in a container only with the right to."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import unavailable


@contextmanager
def mounted_disk(place: Path, size: str) -> Iterator[Path]:
    """A real disk of that size (`64k`, `40m`) for every account; where none may be mounted, as `unavailable` says."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", str(place)]
    done = subprocess.run(mount, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        unavailable("mount", done.stderr.partition("\n")[0])
    try:
        yield place
    finally:
        if place.is_mount():
            subprocess.run(["umount", "--lazy", place], check=True)
