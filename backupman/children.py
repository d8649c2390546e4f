"""The processes of the data plane: each takes one task, and is started with it, or a little earlier."""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from queue import Empty, SimpleQueue
from subprocess import PIPE, Popen, TimeoutExpired

KILL_AFTER = 20.0
"""Seconds that a child has to end in, once it was asked to."""
_PROGRAM = "import gc; gc.disable(); from backupman.data_plane.child import main; raise SystemExit(main())"
"""What a child runs: without looking for garbage while it imports, which makes none."""
_STDERR_KEPT = 4000


class Child:
    """A process that leads a session of its own, and takes what it has to do from its standard input, a socket.

    First come the descriptors that are handed over, with a single byte, then lines: a task, and what is said of it.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        """Start it. `env` is all of its environment; None: what we have."""
        self._line, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - until `end`
        self._said = ""
        try:
            self._process = Popen(
                [sys.executable, "-c", _PROGRAM],
                stdin=theirs.fileno(),
                stdout=PIPE,
                stderr=self._stderr,
                text=True,
                encoding="utf-8",
                start_new_session=True,
                env=env,
            )
        except BaseException:
            self._line.close()
            self._stderr.close()
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid

    def hand_over(self, descriptors: Sequence[int]) -> None:
        """Give it its own duplicates of these; the ones here may be closed then."""
        with suppress(OSError):  # it has ended, as its last words will tell
            socket.send_fds(self._line, [b"\n"], descriptors)

    def say(self, line: str) -> None:
        """Send a line; a child that has ended is noticed by whoever reads its messages."""
        with suppress(OSError):
            self._line.sendall(f"{line}\n".encode())

    def messages(self) -> Iterator[str]:
        """The whole lines of its standard output, until it closes that, or dies in the middle of one."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        yield from takewhile(lambda line: line.endswith("\n"), self._process.stdout)

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it and all that it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Close the line, wait, and leave nothing of the session behind."""
        self._line.close()
        if self._process.stdout:
            self._process.stdout.close()
        try:
            self._process.wait(KILL_AFTER + 5)
        except TimeoutExpired:
            self.kill()
            self._process.wait()
        self.kill()  # tools that outlived a child that crashed
        self._stderr.seek(0)
        self._said = self._stderr.read()[-_STDERR_KEPT:]
        self._stderr.close()

    def how_it_died(self) -> str:
        """For people, after `end`."""
        code, said = self._process.returncode, self._said.strip().split("\n")[-1]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if code == -signal.SIGBUS:
            said = "a disk failed while a file on it was read, or the file was cut short; see the system's log"
        return f"the process that moves the data {how} before it was done{': ' + said if said else ''}"


_early: SimpleQueue[Child] = SimpleQueue()


@contextmanager
def one_child_early() -> Iterator[None]:
    """Start the child of the first task now, so that it imports what it needs while the command still does so itself.

    If no task comes, it ends with the `with`. One that cannot be started is started, and told of, with its task.
    """
    with suppress(OSError):
        _early.put(Child())
    try:
        yield
    finally:
        with suppress(Empty):
            unused = _early.get_nowait()
            unused.kill()
            unused.end()


def next_child(env: Mapping[str, str] | None) -> Child:
    """A child for a task: one that was started early, unless the task wants an environment of its own."""
    if env is None:
        with suppress(Empty):
            return _early.get_nowait()
    return Child(env)
