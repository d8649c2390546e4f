"""Looks at many things at once, each bounded in time: what has not answered by then is given up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from queue import SimpleQueue
from threading import BoundedSemaphore, Thread, Timer
from typing import Any, Literal

from backupman.data_plane import DataPlane
from backupman.data_plane.messages import Message, Remarks
from backupman.data_plane.tasks import CheckTask
from backupman.errors import BackupmanError
from backupman.registry import Provider

_SIDE_BY_SIDE = 6


@dataclass(frozen=True)
class Seen:
    """What a look found: what is wrong, and what is worth a word although nothing is."""

    error: str | None = None
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Look:
    """One thing to look at: `look` gives the remarks, and raises BackupmanError where something is wrong."""

    label: str
    look: Callable[[], Sequence[str]]
    cancel: Callable[[BackupmanError], None] = lambda reason: None

    def seen(self) -> Seen:
        """What there is to see."""
        try:
            return Seen(remarks=self.look())
        except BackupmanError as error:
            return Seen(error.sentence)
        except Exception as error:  # noqa: BLE001 - a look that breaks has seen something wrong, and hides no other
            return Seen(f"{self.label}: unexpected {type(error).__name__}: {error}")


def look_at(family: Literal["sources", "drives"], label: str, provider: Provider, **how: Any) -> Look:
    """A look at a source or a drive, in a child of its own; `how` is of CheckTask."""
    data_plane = DataPlane()
    task = CheckTask(family=family, settings=provider.revealed(), **how)

    def look() -> list[str]:
        said: list[str] = []

        def hear(message: Message) -> None:
            if isinstance(message, Remarks):
                said.extend(message.sentences)

        data_plane.run(task, hear)
        return said

    return Look(label, look, data_plane.cancel)


def look_at_all(looks: Sequence[Look], timeout: timedelta) -> list[Seen]:
    """What each look has seen, in their order."""
    found: SimpleQueue[tuple[int, Seen]] = SimpleQueue()
    slots = BoundedSemaphore(_SIDE_BY_SIDE)
    for index, look in enumerate(looks):
        # Daemon threads: one that hangs in a connect without an end must not keep the process.
        Thread(target=_run, args=(index, look, timeout, slots, found), name=f"look-{look.label}", daemon=True).start()
    seen: dict[int, Seen] = {}
    while len(seen) < len(looks):
        index, one = found.get()
        seen.setdefault(index, one)  # what comes after the time was up does not count
    return [seen[index] for index in range(len(looks))]


def _run(
    index: int, look: Look, timeout: timedelta, slots: BoundedSemaphore, found: "SimpleQueue[tuple[int, Seen]]"
) -> None:
    late = BackupmanError(f"{look.label}: no answer within {timeout.total_seconds():g} s")

    def give_up() -> None:
        found.put((index, Seen(late.sentence)))
        look.cancel(late)

    with slots:
        timer = Timer(timeout.total_seconds(), give_up)
        timer.daemon = True
        timer.start()
        found.put((index, look.seen()))
        timer.cancel()
