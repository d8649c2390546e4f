"""How far a child and the tools that it starts stand back behind whatever else the machine does."""

import logging
import os
import subprocess
from dataclasses import dataclass

log = logging.getLogger(__name__)

_IONICE = {"best-effort": ("-c", "2", "-n", "7"), "idle": ("-c", "3")}
"""Arguments of ionice(1), by the names that it has for classes; 7 is the last in its class."""


@dataclass(frozen=True)
class Priority:
    """A nice value, and a class of access to disks; None leaves what the child was born with."""

    nice: int | None = None
    ionice: str | None = None

    def give(self, pid: int) -> None:
        """Let a process have it, which has no other threads yet: they and its children take it over from there.

        What stands back further already stays as it is. What the system does not allow is a warning: a backup that
        disturbs is better than none.
        """
        try:
            if self.nice is not None and self.nice > os.getpriority(os.PRIO_PROCESS, pid):
                os.setpriority(os.PRIO_PROCESS, pid, self.nice)
        except OSError as error:
            log.warning(
                "nice: %d cannot be set, so the backup competes with what runs beside it: %s; where systemd's "
                "SystemCallFilter= forbids it, set Nice= in the unit",
                self.nice,
                error.strerror,
            )
        if self.ionice is not None and (why := _refused_ionice(self.ionice, pid)):
            log.warning("ionice: %s cannot be set, so the backup competes for the disks: %s", self.ionice, why)


def _refused_ionice(name: str, pid: int) -> str | None:
    """Run ionice(1), as Python has no call of its own; why that did nothing."""
    argv = ["ionice", *_IONICE[name], "-p", str(pid)]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"the program ionice cannot be run ({error.strerror}): install util-linux"
    said = done.stderr.strip().removeprefix("ionice: ")
    return (said or f"ionice ended with {done.returncode}") if done.returncode else None
