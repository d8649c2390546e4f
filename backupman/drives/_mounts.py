"""Where disks are mounted, by the lists of the system alone: a disk that hangs would hang whoever touches it."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LISTS = (Path("/proc/self/mounts"), Path("/etc/fstab"))
"""What is mounted, and what is to be (fstab(5)): the second field of a line is the place."""

_ALWAYS_THERE = frozenset(
    map(Path, ("/", "/dev/shm", "/home", "/opt", "/root", "/run", "/tmp", "/usr", "/var", "/var/lib", "/var/tmp"))  # noqa: S108 - places, and nothing is written there
)
"""Without these no system comes up, or nobody misses them."""


def disk_of(folder: Path) -> Path | None:
    """The mount point that an absolute folder lies on, where its disk can be away while the system is up."""
    places = set(_places())
    found = next((place for place in (folder, *folder.parents) if place in places), None)
    return None if found in _ALWAYS_THERE else found


def _places() -> Iterator[Path]:
    for file in LISTS:
        with suppress(OSError):
            for line in file.read_text(errors="surrogateescape").splitlines():
                fields = line.split()
                if len(fields) > 1 and not line.startswith("#") and fields[1].startswith("/"):
                    yield Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1]))
