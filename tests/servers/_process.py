"""Start a server of the tests as an account of its own, wait for it, and end it by its process id."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.servers import SEARCH_PATH, unavailable

ENVIRONMENT = {"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
START_SECONDS = 60.0
_PORTS = range(10_000, 32_000)

RUNNING: set[int] = set()
"""The process ids of the servers that this process has started."""


class Account:
    """The account that a server runs as: `name` when the tests run as root, else the one that runs the tests."""

    def __init__(self, name: str | None) -> None:
        """Skip or fail (the account is named like its service's package) when root has no such account."""
        self.prefix = ["setpriv", "--pdeathsig=KILL"]
        self.owner: str | None = None
        if name and os.geteuid() == 0:
            try:
                group = pwd.getpwnam(name).pw_gid
            except KeyError:
                service = {"mysql": "mariadb", "nobody": "sftp"}.get(name, name)
                unavailable(service, f"there is no account {name} to run it as")
            self.owner = name
            self.prefix += [f"--reuid={name}", f"--regid={group}", "--clear-groups"]

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A short-named folder of the account (sockets allow some 100 bytes), which every account may enter."""
        with tempfile.TemporaryDirectory(prefix="bm-", dir="/tmp") as name:
            folder = Path(name)
            folder.chmod(0o755)
            if self.owner:
                shutil.chown(folder, self.owner)
            yield folder

    def run(self, *argv: str | Path) -> None:
        """Run a program to its end; AssertionError with what it said if it failed."""
        run([*self.prefix, *map(str, argv)], ENVIRONMENT)

    @contextlib.contextmanager
    def server(
        self, argv: Callable[[int], list[str]], ready: Callable[[int], object], end: signal.Signals, log: Path
    ) -> Iterator[int]:
        """Run `argv(port)` until the block ends, and give the port once `ready(port)` no longer raises.

        AssertionError with the end of its log when it does not start. Another may take a free port before the server
        does, so a server that ended at once is tried again on another port.
        """
        for _ in range(3):
            port = free_port()
            with log.open("wb") as out:
                child = subprocess.Popen([*self.prefix, *argv(port)], env=ENVIRONMENT, stdout=out, stderr=out)
            RUNNING.add(child.pid)
            try:
                if _wait_until_ready(child, lambda port=port: ready(port)):  # type: ignore[misc]
                    yield port
                    return
            finally:
                _end(child, end)
                RUNNING.discard(child.pid)
        raise AssertionError(f"{argv(0)[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment.

    The system gives it to nobody meanwhile, for it stands below those that connections get (ip_local_port_range).
    """
    while True:
        port = secrets.choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def run(argv: list[str], env: dict[str, str], stdin: bytes = b"") -> str:
    """What a client program prints; AssertionError with its standard error when it fails."""
    done = subprocess.run(argv, env=env, input=stdin, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode()


def as_input(script: str | bytes | Path) -> bytes:
    """The SQL that a client is to read: text, bytes or the content of a file."""
    if isinstance(script, Path):
        return script.read_bytes()
    return script.encode() if isinstance(script, str) else script


def _wait_until_ready(child: subprocess.Popen[bytes], ready: Callable[[], object]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            ready()
            return child.poll() is None  # else another has the port, and answers
        time.sleep(0.1)
    return False


def _end(child: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    if child.poll() is None:
        child.send_signal(sign)
    try:
        child.wait(30)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
