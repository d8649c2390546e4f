"""The child processes of the test itself, as anybody on the machine could see them."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Child:
    """A process below ours: its arguments and its environment, each joined by NUL bytes."""

    pid: int
    name: str
    argv: bytes
    environ: bytes


def children() -> list[Child]:
    """Every process below ours that still runs; one that ends meanwhile is left out."""
    found: list[Child] = []
    parents = [os.getpid()]
    while parents:
        for pid in _direct(parents.pop()):
            parents.append(pid)
            with contextlib.suppress(OSError):
                place = Path(f"/proc/{pid}")
                if (argv := (place / "cmdline").read_bytes()) and "Z" not in _state(place):
                    environ = (place / "environ").read_bytes()
                    found.append(Child(pid, (place / "comm").read_text().strip(), argv, environ))
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


def kill_child(name: str, seconds: float = 10) -> None:
    """Kill the first child of that name, waiting until there is one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for child in children():
            if child.name == name:
                os.kill(child.pid, signal.SIGKILL)
                return
        time.sleep(0.001)
    raise AssertionError(f"no child of the name {name} was seen")


def _direct(parent: int) -> list[int]:
    pids: list[int] = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            pids += map(int, task.read_text().split())
    return pids


def _state(place: Path) -> str:
    return (place / "stat").read_text().rpartition(")")[2].split()[0]
