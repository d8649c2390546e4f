"""Runs the command line and kills it at a named point: `alone|group WHEN:WHERE[:MESSAGE] WORDS…`.

WHEN is `before` or `after`, WHERE the dotted name of a function, MESSAGE the type of the data plane's message that it
is given. `alone` kills this process by SIGKILL, `group` the data plane's child with its tools as well. The point is
passed once; with the file named in CRASHED there, never again.
"""

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil


def main() -> int:
    """Wrap the function and run."""
    how, point, *words = sys.argv[1:]
    when, where, *message = point.split(":")
    holder, name = _found(where)
    original = getattr(holder, name)

    def matches(arguments: tuple[Any, ...]) -> bool:
        return not message or any(getattr(argument, "type", None) == message[0] for argument in arguments)

    @functools.wraps(original)
    def crashing(*arguments: Any, **options: Any) -> Any:
        if when == "before" and matches(arguments):
            _crash(how)
        result = original(*arguments, **options)
        if when == "after" and matches(arguments):
            _crash(how)
        return result

    @functools.wraps(original)
    async def crashing_async(*arguments: Any, **options: Any) -> Any:
        if when == "before":
            _crash(how)
        result = await original(*arguments, **options)
        if when == "after":
            _crash(how)
        return result

    wrapped: Callable[..., Any] = crashing_async if where.endswith(".send") else crashing
    setattr(holder, name, wrapped)
    from backupman.cli import main as run

    sys.argv = ["backupman", *words]
    return run()


def _found(where: str) -> tuple[Any, str]:
    """The class or module that holds the function, and its name there."""
    parts = where.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            holder: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:-1]:
            holder = getattr(holder, part)
        return holder, parts[-1]
    raise SystemExit(f"no such point: {where}")


def _crash(how: str) -> None:
    mark = Path(os.environ["CRASHED"])
    if mark.exists():
        return
    mark.touch()
    victims = psutil.Process().children(recursive=True) if how == "group" else []
    for victim in victims:
        victim.kill()
    os.kill(os.getpid(), signal.SIGKILL)
