"""The parent's side of the data plane: starts the child, hands it its task, takes its messages, can end it."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Lock, Timer
from typing import IO

from pydantic import BaseModel

from backupman.data_plane.alive import WORD
from backupman.data_plane.priority import Priority
from backupman.data_plane.protocol import MESSAGE, Done, Failed, Logged, Message, SessionOpened
from backupman.errors import BackupmanError, ObjectNotFound

log = logging.getLogger(__name__)

_CHILD = "import gc; gc.disable(); from backupman.data_plane.child import main; raise SystemExit(main())"
"""What the child runs: without looking for garbage while it imports, which makes none."""
_KILL_AFTER = 20.0
_STDERR_KEPT = 4000


class DataPlane:
    """One child process for one task. `cancel` may be called from any thread, also before `run`."""

    def __init__(self, priority: Priority | None = None) -> None:
        self._priority = priority or Priority()
        self._process: subprocess.Popen[str] | None = None
        self._reason: BackupmanError | None = None
        self._lock = Lock()
        self._killer: Timer | None = None
        self._saying = Lock()
        self._until: float | None = None
        self._told = False

    def live_until(self, until: float) -> None:
        """Let the child end itself then, by `since_boot`, unless it is told of a later time before."""
        with self._saying:
            self._until = until
            if self._told and self._process:
                self._say(self._process, f"{WORD}{until}\n")

    def run(
        self,
        task: BaseModel,
        handle: Callable[[Message], None] = lambda message: None,
        *,
        keep_fds: Sequence[int] = (),
        started: Callable[[], None] = lambda: None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Do the task in a child of its own session; `handle` is given every message, in this thread.

        `keep_fds` stay open in the child: the source's lock lasts as long as the child does. `started` is called once
        the child has them. `env` is all of its environment; None: what we have.

        Raises:
            ObjectNotFound: the task needs an object that is not on its drive.
            BackupmanError: the task failed, was cancelled (with the reason given then), or the child died.
        """
        with tempfile.TemporaryFile("w+") as stderr:
            with self._lock:
                self.check()
                self._process = _start(stderr, keep_fds, env)
            self._priority.give(self._process.pid)
            started()
            try:
                last = self._converse(self._process, task, handle)
            finally:
                self._end(self._process)
            self.check()
            if isinstance(last, Failed):
                kind = ObjectNotFound if last.missing else BackupmanError
                raise kind(last.error, permanent=last.permanent)
            if not isinstance(last, Done):
                raise BackupmanError(_how_it_died(self._process.returncode, stderr))

    def check(self) -> None:
        """Raise the reason of a cancellation, if there was one."""
        if self._reason:
            raise self._reason

    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._reason is not None

    @property
    def reason(self) -> BackupmanError | None:
        """What `cancel` was called with."""
        return self._reason

    def cancel(self, reason: BackupmanError) -> None:
        """End the child and its tools: it has 20 s to abort its uploads. `run` then raises the reason."""
        with self._lock:
            if self._reason:
                return
            self._reason = reason
            if self._process and self._process.poll() is None:
                self._process.terminate()
                self._killer = Timer(_KILL_AFTER, _kill_session, (self._process.pid,))
                self._killer.daemon = True
                self._killer.start()

    def _converse(
        self, process: "subprocess.Popen[str]", task: BaseModel, handle: Callable[[Message], None]
    ) -> Message | None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        with self._saying:
            self._say(process, task.model_dump_json() + "\n")
            if self._until is not None:
                self._say(process, f"{WORD}{self._until}\n")
            self._told = True
        message: Message | None = None
        for line in process.stdout:
            said = MESSAGE.validate_json(line)
            if isinstance(said, Logged):
                log.log(said.level, "%s", said.text)
                continue
            message = said
            handle(message)
            if isinstance(message, SessionOpened):
                with self._saying:
                    self._say(process, "recorded\n")
        return message

    def _say(self, process: "subprocess.Popen[str]", line: str) -> None:
        with suppress(BrokenPipeError, ValueError):  # it has ended, or the line is closed
            if process.stdin:
                process.stdin.write(line)
                process.stdin.flush()

    def _end(self, process: "subprocess.Popen[str]") -> None:
        """Close the line, wait, and leave nothing of the session behind."""
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                if pipe:
                    pipe.close()
        try:
            process.wait(_KILL_AFTER + 5)
        except subprocess.TimeoutExpired:
            _kill_session(process.pid)
            process.wait()
        with self._lock:
            if self._killer:
                self._killer.cancel()
        _kill_session(process.pid)  # tools that outlived a child that crashed


def _start(stderr: IO[str], keep_fds: Sequence[int], env: Mapping[str, str] | None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        encoding="utf-8",
        start_new_session=True,
        pass_fds=tuple(keep_fds),
        env=env,
    )


def _kill_session(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _how_it_died(code: int, stderr: IO[str]) -> str:
    stderr.seek(0)
    said = stderr.read()[-_STDERR_KEPT:].strip().split("\n")[-1]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    if code == -signal.SIGBUS:
        said = "a disk failed while a file on it was read, see the system's log"
    return f"the process that moves the data {how} before it was done{': ' + said if said else ''}"
