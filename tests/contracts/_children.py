"""The child processes of the test itself, as anybody on the machine could see them."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers._process import RUNNING

_FIXTURES = (b"multiprocessing.forkserver", b"multiprocessing.resource_tracker", b"playwright")
"""What the fixtures of this very process run, beside its servers, is not of interest."""


@dataclass(frozen=True)
class Child:
    """A process below ours: its arguments and its environment, each joined by NUL bytes."""

    pid: int
    name: str
    argv: bytes
    environ: bytes


def children() -> list[Child]:
    """Every process below ours that still runs, parents first; one that ends meanwhile is left out."""
    found: list[Child] = []
    parents = [os.getpid()]
    while parents:
        for pid in _direct(parents.pop(0)):
            with contextlib.suppress(OSError):
                child = _child(pid)
                if pid not in RUNNING and not any(word in child.argv for word in _FIXTURES):
                    parents.append(pid)
                    found += [child] if child.argv else []
    return found


@contextlib.contextmanager
def watched() -> Iterator[list[Child]]:
    """Every child that could be seen while the `with` lasted; look at the list after it."""
    seen: dict[Child, None] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            seen.update(dict.fromkeys(children()))

    watcher, found = threading.Thread(target=watch), list[Child]()
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()
        found += seen


def kill_child(name: str, argument: bytes = b"", seconds: float = 90) -> None:
    """Kill the first child of that name and with that text among its arguments, waiting until there is one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for child in children():
            if child.name == name and argument in child.argv:
                os.kill(child.pid, signal.SIGKILL)
                return
        time.sleep(0.001)
    raise AssertionError(f"no child of the name {name} was seen")


def _direct(parent: int) -> list[int]:
    pids: list[int] = []
    with contextlib.suppress(OSError):  # it may end while we look
        for task in Path(f"/proc/{parent}/task").iterdir():
            with contextlib.suppress(OSError):
                pids += map(int, (task / "children").read_text().split())
    return pids


def _child(pid: int) -> Child:
    """A process; one that has ended, but was not waited for, has no arguments any more."""
    place = Path(f"/proc/{pid}")
    name, argv = (place / "comm").read_text().strip(), (place / "cmdline").read_bytes()
    return Child(pid, name, argv, (place / "environ").read_bytes())
