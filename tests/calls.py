"""Asks the command line whether it takes a call, without running anything."""

from collections.abc import Sequence
from typing import Any

import typer

from backupman.cli import program

# What `backupman` and its groups take without a command behind them.
_OF_THE_PROGRAM = {"--help", "-h", "--install-completion", "--show-completion"}


def must_be_a_call(words: Sequence[str], *, whole: bool = True) -> None:
    """The name of the command, its options and the number of its arguments: whoever parses calls parses this one.

    One that is not `whole` may be the bare name of a command.

    Raises:
        AssertionError: there is no such command.
        Exception: of the command line's own, when it would refuse the call.
    """
    found: Any = typer.main.get_command(program())
    left = list(words)
    while hasattr(found, "commands"):
        name = next((word for word in left if word in found.commands), None)
        if name is None:
            assert set(left) <= _OF_THE_PROGRAM, f"there is no such command: backupman {' '.join(words)}"
            return
        left.remove(name)  # the options before it are those that stand behind it too
        found = found.commands[name]
    if (left or whole) and not {"--help", "-h"} & set(left):
        found.make_context(found.name, left)
