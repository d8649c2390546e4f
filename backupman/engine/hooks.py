"""Commands around a backup. A string goes to the shell with its placeholders quoted; a list of words is run as it is.

Source of the placeholders: borgmatic's `on_error` (seed 002) and our own.
"""

import logging
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta

from backupman.errors import HookError

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
_KEPT = 4000
_PATTERN = re.compile("{(" + "|".join(PLACEHOLDERS) + ")}")

log = logging.getLogger(__name__)


def run_hooks(commands: Sequence[str | Sequence[str]], values: Mapping[str, str], timeout: timedelta) -> None:
    """Run the commands in turn.

    Raises:
        HookError: one cannot be started, fails or takes longer than `timeout`; those after it are not run.
    """
    for command in commands:
        _run(command, values, timeout.total_seconds())


def _run(command: str | Sequence[str], values: Mapping[str, str], timeout: float) -> None:
    if isinstance(command, str):
        argv, name = ["/bin/sh", "-c", fill(command, values, quote=True)], command
    else:
        argv, name = [fill(word, values, quote=False) for word in command], shlex.join(command)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise HookError(f"the hook {name!r} cannot be started: {error}") from error
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise HookError(f"the hook {name!r} took longer than {timeout:g} s and was ended") from error
    text = output.decode(errors="replace").strip()[-_KEPT:]
    log.info("hook %r ended with exit code %d", name, process.returncode)
    if process.returncode != 0:
        said = f": {text}" if text else ""
        raise HookError(f"the hook {name!r} failed with exit code {process.returncode}{said}", output=text)


def fill(text: str, values: Mapping[str, str], *, quote: bool) -> str:
    """The text with its placeholders filled in, each one shell word when `quote`d; other braces stay as they are."""

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1], "").replace("\0", "")
        return shlex.quote(found) if quote else found

    return _PATTERN.sub(value, text)
