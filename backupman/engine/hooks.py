"""Commands around a backup. A string goes to the shell, a list of words is run as it is; both with placeholders.

Source of the placeholders: borgmatic's `on_error` (seed 002) and our own. In a string a placeholder becomes a variable
of the shell, never text of the command: whatever stands in an error, and whatever quotes the user has put around it,
that shell does not execute it. One that the command starts may: docs/hooks.md says so.
"""

import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from threading import Thread
from typing import IO

from backupman.config import JobPlan
from backupman.errors import BackupmanError, HookError

PLACEHOLDERS = (
    "label",
    "database",
    "path",
    "error",
    "output",
    "status",
    "backup_id",
    "configuration_filename",
    "repository",
)
_PATTERN = re.compile(r"(?<!\$)\{(" + "|".join(PLACEHOLDERS) + r")\}")
_LONGEST_VALUE = 30_000  # Linux allows 128 KiB for one word or variable
_KEPT_OUTPUT = 4000
_POLL = 0.1
_GRACE = 5.0
_LAST_WORDS = 1.0

OnError = Callable[[JobPlan, str, BackupmanError, str], None]
"""Hears what has failed beside a backup: a job's, of the source of that label, and on which drive."""

log = logging.getLogger(__name__)


def unheard(_plan: JobPlan, _label: str, _error: BackupmanError, _drive: str) -> None:
    """Nobody hears of it."""


def run_hooks(
    commands: Sequence[str | Sequence[str]],
    values: Mapping[str, str],
    timeout: timedelta,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Run the commands in turn; each finds the values of the placeholders as `BACKUPMAN_ERROR` and so on, too.

    Raises:
        HookError: one cannot be started, fails, or is ended because it takes longer than `timeout` or `stopped` says
            so; those after it are not run.
    """
    for command in commands:
        _run(command, {name: _word(values.get(name, "")) for name in PLACEHOLDERS}, timeout.total_seconds(), stopped)


def fill(text: str, values: Mapping[str, str], *, quote: bool) -> str:
    """The text with its placeholders filled in; with `quote`, by references to the shell's variables of their names.

    `${label}` and other braces stay as they are.
    """
    if quote:
        return _PATTERN.sub(lambda match: f'"${{{_variable(match[1])}}}"', text)
    return _PATTERN.sub(lambda match: values.get(match[1], ""), text)


def _run(command: str | Sequence[str], values: Mapping[str, str], timeout: float, stopped: Callable[[], bool]) -> None:
    if isinstance(command, str):
        argv = ["/bin/sh", "-c", fill(command, values, quote=True)]
    else:
        argv = [fill(word, values, quote=False) for word in command]
    hook = f"the hook {_program(command)!r}"
    environment = os.environ | {_variable(name): value for name, value in values.items()}
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds a character that no command can hold"
        raise HookError(f"{hook} cannot be started: {reason}") from error
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    output = bytearray()
    reader = Thread(target=_read, args=(process.stdout, output), name="hook output", daemon=True)
    reader.start()
    reason = _wait(process, timeout, stopped)
    reader.join(_LAST_WORDS)  # what the hook left running in the background may hold its output open
    said = output[-_KEPT_OUTPUT:].decode(errors="replace").strip()
    log.info("%s %s", hook, "runs on" if process.returncode is None else f"ended with exit code {process.returncode}")
    if reason or process.returncode != 0:
        reason = reason or f"failed with exit code {process.returncode}"
        raise HookError(f"{hook} {reason}{': ' + said if said else ''}", output=said)


def _wait(process: subprocess.Popen[bytes], timeout: float, stopped: Callable[[], bool]) -> str | None:
    """Wait for the end, or bring it about; why it was ended."""
    deadline = time.monotonic() + timeout
    while process.poll() is None:
        if stopped():
            return "was interrupted" + _end(process)
        if time.monotonic() > deadline:
            return f"took longer than {timeout:g} s" + (_end(process) or " and was ended")
        with suppress(subprocess.TimeoutExpired):
            process.wait(min(_POLL, timeout))
    return None


def _end(process: subprocess.Popen[bytes]) -> str:
    """End the command and everything that it has started in its session's process group; what is to be said if not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):  # it may be another account's by now, as sudo is
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    return f" and could not be ended: process {process.pid} runs on" if process.returncode is None else ""


def _read(stream: IO[bytes], output: bytearray) -> None:
    """Keep the end of what is said, until nobody can say any more."""
    with stream:
        while chunk := os.read(stream.fileno(), 65536):
            output += chunk
            del output[:-_KEPT_OUTPUT]


def _word(value: str) -> str:
    """A value as one word or variable of a command can hold it."""
    return value[:_LONGEST_VALUE].replace("\0", "").encode(errors="replace").decode()


def _variable(name: str) -> str:
    return f"BACKUPMAN_{name.upper()}"


def _program(command: str | Sequence[str]) -> str:
    """The program's name alone: what stands behind it may be a secret."""
    words = command.split() if isinstance(command, str) else command
    return next((word for word in words if "=" not in word), "sh")[:80]
