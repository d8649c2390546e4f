"""What the kernel says of the disk below a folder."""

import os
import re
from pathlib import Path

_DEAF = ("none", "kyber")
"""Schedulers that serve all classes of ionice(1) alike; mq-deadline (Linux 5.14 and later) and bfq tell them apart."""


def deaf_scheduler(folder: Path, sys: Path = Path("/sys")) -> tuple[str, str] | None:
    """The name of the folder's disk and its I/O scheduler, where that one knows no ionice; None: it does, or who knows.

    https://docs.kernel.org/block/switching-sched.html
    """
    device = folder.stat().st_dev
    block = (sys / "dev/block" / f"{os.major(device)}:{os.minor(device)}").resolve()
    disk = block.parent if (block / "partition").exists() else block
    try:
        if any((disk / "slaves").iterdir()):
            return None  # made of other disks, whose schedulers count
        chosen = re.search(r"\[([\w-]+)\]", (disk / "queue/scheduler").read_text())
    except OSError:
        return None
    return (disk.name, chosen[1]) if chosen and chosen[1] in _DEAF else None
