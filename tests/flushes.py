"""What is brought to the disk, and whether it stood under its name by then: a name must never be first."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch


@contextmanager
def flushes(final: Path) -> Iterator[list[tuple[Path, bool]]]:
    """Each file or folder that `fsync` is called for meanwhile, and whether `final` was there."""
    found: list[tuple[Path, bool]] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        found.append((Path(f"/proc/self/fd/{fd}").readlink(), final.exists()))
        real(fd)

    with patch.object(os, "fsync", fsync):
        yield found
