"""Children of the data plane that are forked from a process which has imported what they need.

They are the same, half a second earlier. But they do not stand below the command that asked for them, and what the
system shows of their arguments and their environment is what it shows of the process that they come from. Whoever looks
at that uses the fixture `started_children`; daemons of end-to-end tests start theirs as ever.
"""

import gc
import importlib
import json
import math
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

import backupman.children

_LARGEST = 2**20
_SLICE = 0.05
"""Seconds for which one thread that waits may keep another from looking."""
_ROOT = Path(__file__).parents[1]
_IMPORTED = (
    "backupman.data_plane.child",
    "backupman.drives.local",
    "backupman.drives.s3",
    "backupman.sources.command",
    "backupman.sources.mariadb",
    "backupman.sources.postgres",
    "backupman.sources.sqlite",
)


@cache
def server() -> bytes:
    """The address of this process's server, which ends with the process."""
    from tests.servers._process import RUNNING  # with pytest, which no child needs

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind("")  # any, and no file: see unix(7)
        listener.listen(50)
        program = f"from {__name__} import serve; serve({listener.fileno()})"
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, pass_fds=[listener.fileno()], cwd=_ROOT
        )
        _running.append(process)
        RUNNING.add(process.pid)
        address: bytes = listener.getsockname()
    return address


_running: "list[subprocess.Popen[bytes]]" = []
"""The server's process, whose standard input closes with this one."""


def come_from(address: Callable[[], bytes]) -> None:
    """From now on the children of this process are made by that server, which is asked for with the first of them."""

    def start(_args: object, **wanted: Any) -> Forked:
        return Forked(address(), **wanted)

    backupman.children.Popen = start  # type: ignore[assignment,attr-defined]


class Forked:
    """What `backupman.children` asks of a `subprocess.Popen`."""

    def __init__(
        self, address: bytes, *, stdin: int, stderr: IO[str], env: Mapping[str, str] | None, **_rest: Any
    ) -> None:
        reading, writing = os.pipe()
        wanted = {"env": dict(os.environ if env is None else env), "folder": str(Path.cwd())}
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.connect(address)
        socket.send_fds(self._line, [json.dumps(wanted).encode()], [stdin, writing, stderr.fileno()])
        os.close(writing)
        self.stdout = os.fdopen(reading, encoding="utf-8")
        self.pid = int(self._line.recv(_LARGEST))
        self.returncode: int | None = None
        self._looking = threading.Lock()

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        while (code := self._ended(min(_SLICE, end - time.monotonic()))) is None:
            if time.monotonic() >= end:
                raise subprocess.TimeoutExpired("child", timeout or 0)
        return code

    def _ended(self, within: float) -> int | None:
        """The exit code, which one thread takes from the line, as with a Popen."""
        with self._looking:
            if self.returncode is None:
                with selectors.DefaultSelector() as selector:
                    selector.register(self._line, selectors.EVENT_READ)
                    if not selector.select(max(within, 0)):
                        return None
                self.returncode = int(self._line.recv(_LARGEST))
                self._line.close()
            return self.returncode

    def terminate(self) -> None:
        """Ask it to end."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


def serve(number: int) -> None:
    """Fork whoever is asked for, and say how each has ended, until standard input closes."""
    gc.disable()
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    listener = socket.socket(fileno=number)
    ended, noted = os.pipe()
    os.set_blocking(noted, False)
    signal.set_wakeup_fd(noted)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    under_way: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for each in (0, ended, number):
            selector.register(each, selectors.EVENT_READ)
        while 0 not in (ready := {key.fd for key, _ in selector.select()}):
            if number in ready:
                _fork(listener.accept()[0], under_way)
            if ended in ready:
                os.read(ended, _LARGEST)
            _tell(under_way)


def _tell(under_way: dict[int, socket.socket]) -> None:
    while under_way:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with under_way.pop(pid) as line:
            _say(line, os.waitstatus_to_exitcode(status))


def _say(line: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError):  # who asked for it has ended
        line.send(str(number).encode())


def _fork(line: socket.socket, under_way: dict[int, socket.socket]) -> None:
    said, descriptors, _, _ = socket.recv_fds(line, _LARGEST, 3)
    pid = os.fork()
    if not pid:
        _become_child(json.loads(said), descriptors)
    for each in descriptors:
        os.close(each)
    under_way[pid] = line
    _say(line, pid)


def _become_child(wanted: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        for fd, each in enumerate(descriptors):
            os.dup2(each, fd)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        sys.stdout = sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        os.chdir(wanted["folder"])
        os.environ.clear()
        os.environ.update(wanted["env"])
        from backupman.data_plane.child import main

        code = main()
        threading._shutdown()  # type: ignore[attr-defined]
        sys.stderr.flush()
    finally:
        os._exit(code)
