"""Somebody's command, run as if we were not there: its input, output, signals and exit code pass through unchanged."""

import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, Thread
from types import FrameType
from typing import IO, Any

_CHUNK = 64 * 1024
_TAIL_BYTES = 16 * 1024
_TAIL_LINES = 50
_LAST_WORDS = 1.0
"""Seconds that output may still come after the end, before the result is looked at."""
_LONGEST_DEAF = 0.2
_NOT_FOUND, _NOT_EXECUTABLE, _SIGNALLED = 127, 126, 128
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, *_FROM_TERMINAL)


@dataclass(frozen=True)
class Ended:
    """How a command ended: `code` as a shell says it, `reason` in words unless it is 0, the end of what it printed."""

    code: int
    reason: str
    output: str = ""
    seconds: float = 0.0
    started: bool = True


class Tail:
    """The last lines of everything that was printed. Thread-safe."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._cut = False
        self._lock = Lock()

    def add(self, chunk: bytes) -> None:
        """Keep it, and forget what is further back than the end."""
        with self._lock:
            self._chunks.append(chunk)
            self._size += len(chunk)
            while self._size - len(self._chunks[0]) >= _TAIL_BYTES:
                self._size -= len(self._chunks.popleft())
                self._cut = True

    def text(self) -> str:
        """Up to 50 whole lines and 16 KiB, and of a longer line its end; of one that was overwritten what is seen."""
        with self._lock:
            kept = b"".join(self._chunks)
            cut = self._cut or len(kept) > _TAIL_BYTES
        lines = [_seen(line) for line in kept[-_TAIL_BYTES:].decode("utf-8", "replace").rstrip("\n").split("\n")]
        if cut and len(lines) > 1:
            del lines[0]  # the rest of a line whose start is gone
        return "\n".join(lines[-_TAIL_LINES:]).strip("\n")


def _seen(line: str) -> str:
    """What a terminal shows of a line in the end: progress is written over what was there."""
    return line.rstrip("\r").rsplit("\r", 1)[-1]


def run(command: Sequence[str], ended: Callable[[Ended], None]) -> int:
    """Run a command to its end, and tell `ended` of it; its exit code, 128 and the signal's number when one ended it.

    What it left in the background may print on after its end: that still passes through, after `ended` was told.
    """
    # Two streams that go to one place, as with cron and on a terminal, stay one: so their lines keep their order.
    error = subprocess.STDOUT if os.path.sameopenfile(1, 2) else subprocess.PIPE
    began, tail = time.monotonic(), Tail()
    with _Forwarding() as forwarding:
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=error, bufsize=0)
        except OSError as refused:
            code = _NOT_FOUND if isinstance(refused, FileNotFoundError) else _NOT_EXECUTABLE
            ended(Ended(code, f"{command[0]} cannot be run: {refused.strerror}", started=False))
            return code
        forwarding.to(process)
        streams = (process.stdout, 1), (process.stderr, 2)
        readers = [_passing(stream, target, tail) for stream, target in streams if stream]
        returned = _waited(process)
        until = time.monotonic() + _LAST_WORDS
        for reader in readers:
            reader.join(max(0.0, until - time.monotonic()))
        code, reason = _told(returned)
        ended(Ended(code, reason, tail.text(), time.monotonic() - began))
    for reader in readers:
        reader.join()
    return code


def _waited(process: "subprocess.Popen[bytes]") -> int:
    """What it returned. A signal that comes just before a wait without an end is not seen until that is over."""
    waiting = Thread(target=process.wait, daemon=True)
    waiting.start()
    while waiting.is_alive():
        waiting.join(_LONGEST_DEAF)
    return process.wait()


def _told(returned: int) -> tuple[int, str]:
    if returned < 0:
        name = signal.Signals(-returned).name if -returned in set(signal.Signals) else f"signal {-returned}"
        return _SIGNALLED - returned, f"ended by {name}"
    return returned, f"exit code {returned}" if returned else ""


def _passing(source: IO[bytes], target: int, tail: Tail) -> Thread:
    reader = Thread(target=_pass_on, args=(source, target, tail), daemon=True)
    reader.start()
    return reader


def _pass_on(source: IO[bytes], target: int, tail: Tail) -> None:
    heard = True
    with source:
        while chunk := source.read(_CHUNK):
            tail.add(chunk)
            try:
                while heard and chunk:
                    chunk = _pass(chunk, target)
            except OSError:  # nobody reads it any more; the command shall not suffer from that
                heard = False


def _pass(chunk: bytes, target: int) -> bytes:
    """Write some of it; what is left. A descriptor that somebody made non-blocking is waited for."""
    try:
        return chunk[os.write(target, chunk) :]
    except BlockingIOError:
        select.select([], [target], [])
        return chunk


class _Forwarding:
    """Signals are the command's to handle, while the `with` lasts. What a terminal sends reaches it without us."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_Forwarding":
        for number in _FORWARDED:
            self._before[number] = signal.getsignal(number)
            if self._before[number] is not signal.SIG_IGN:  # as `nohup` wants it
                signal.signal(number, self._forward)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def to(self, process: "subprocess.Popen[bytes]") -> None:
        """Forward to this process from now on, and what came before it was there."""
        self._process = process
        for number in self._early:
            process.send_signal(number)

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
        elif number not in _FROM_TERMINAL or not _in_foreground():
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


def _in_foreground() -> bool:
    """Whether a terminal sends its Ctrl-C to our group of processes, and so to the command as well."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
