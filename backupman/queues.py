"""The names of queues, in which work waits for the workers of a fleet."""

import re
from typing import Annotated

from pydantic import AfterValidator

ANY = "any"
"""The queue that every worker may take from; no setting names it."""

_NAME = re.compile(r"[a-z0-9._-]{1,30}")


def check_queue(name: str) -> str:
    """The name as it stands. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError("should be a name of up to 30 of a-z, 0-9, dot, _ and -")
    if name == ANY:
        raise ValueError(f"should be another name: {ANY} is the queue of what names none")
    return name


Queue = Annotated[str, AfterValidator(check_queue)]
"""The name of a queue in the config."""


def queue_of_home(home: str) -> str:
    """The queue of the one worker that works from a state folder: for what goes on from its spool."""
    return f"@{home[:16]}"


def is_of_home(queue: str) -> bool:
    """Whether it is the queue of one worker alone."""
    return queue.startswith("@")
