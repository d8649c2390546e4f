"""Who watches a run: a live block for each backup on a terminal, else a line for each step, or nobody."""

import logging
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from backupman.cli.output import console, mark, one_line, size, span, unlabelled
from backupman.data_plane.messages import Dumped, Message, Phase, Progress, Retrying, Uploaded, UploadFailed
from backupman.logs import is_journal
from backupman.records import Backup, Status
from backupman.text import listed

log = logging.getLogger(__name__)

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PHASES = {"dumping": "dumping", "checking": "checking the dump", "uploading": "uploading"}
_RATE_OVER = 5.0
_ENDING = "Interrupted: ending what is under way and removing what is half done."


class Watcher:
    """Looks away, and is what the others build on: whatever goes wrong while watching never reaches the backup."""

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""

    def began(self, backup: Backup) -> None:
        """A backup was recorded and starts."""
        self._safely(self._began, backup)

    def heard(self, backup: Backup, message: Message) -> None:
        """The data plane said something."""
        self._safely(self._heard, backup, message)

    def ended(self, backup: Backup) -> None:
        """A backup is settled."""
        self._safely(self._ended, backup)

    def interrupted(self) -> None:
        """The user wants it to end."""
        self._safely(self._interrupted)

    def _began(self, backup: Backup) -> None: ...

    def _heard(self, backup: Backup, message: Message) -> None: ...

    def _ended(self, backup: Backup) -> None: ...

    def _interrupted(self) -> None: ...

    @staticmethod
    def _safely(step: Any, *arguments: Any) -> None:
        try:
            step(*arguments)
        except Exception:  # a terminal that is gone must not fail a backup
            log.debug("the progress could not be shown", exc_info=True)


def watcher(*, quiet: bool) -> Watcher:
    """The watcher that fits standard error."""
    if quiet:
        return Watcher()
    return Blocks() if console(stderr=True).is_interactive else Lines()


class Lines(Watcher):
    """One line for each step, with the time, which the journal has itself: for logs and mails of cron."""

    def __init__(self) -> None:
        self._started: set[str] = set()
        self._dumped: set[str] = set()

    def _began(self, backup: Backup) -> None:
        if backup.dump_status == Status.FINISHED:
            self._dumped.add(backup.id)

    def _heard(self, backup: Backup, message: Message) -> None:
        if backup.id not in self._started:  # it was recorded before its turn came
            self._started.add(backup.id)
            drives = listed([file.label for file in backup.drive_files if file.status == Status.PENDING])
            self._say(backup, f"backup {backup.id[:8]} starts, onto {drives}")
        match message:
            case Dumped():
                self._dumped.add(backup.id)
                figures = f"{size(message.size)} in {span(message.seconds)}, {size(message.stored_size)} to store"
                self._say(backup, f"dumped {figures}")
            case Uploaded():
                self._say(backup, f"stored on {message.label} after {span(message.seconds)}")
            case UploadFailed() if backup.id in self._dumped:  # else the dump has failed, and its error comes next
                self._say(backup, f"FAILED on {message.label}: {message.error}")

    def _ended(self, backup: Backup) -> None:
        if backup.status == Status.FINISHED:
            self._say(backup, f"finished in {span(backup.seconds)}")
        else:
            self._say(backup, f"FAILED after {span(backup.seconds)}: {backup.error}")

    def _interrupted(self) -> None:
        self._write(_ENDING)

    def _say(self, backup: Backup, what: str) -> None:
        self._write(f"{backup.label}: {what}")

    @staticmethod
    def _write(line: str) -> None:
        now = "" if is_journal(sys.stderr) else time.strftime("%Y-%m-%d %H:%M:%S %Z  ")
        sys.stderr.write(f"{now}{one_line(line, 10_000)}\n")
        sys.stderr.flush()


@dataclass
class _Block:
    """What is known of a backup under way; without a phase it waits for its turn."""

    label: str
    drives: list[str]
    began: float = field(default_factory=time.monotonic)
    phase: str | None = None
    read: int = 0
    stored: int = 0
    total: int | None = None
    sent: dict[str, int] = field(default_factory=dict)
    states: dict[str, Text] = field(default_factory=dict)
    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def moved(self, progress: Progress) -> None:
        """New figures."""
        self.read, self.stored = max(self.read, progress.read), max(self.stored, progress.stored)
        self.sent.update(progress.sent)
        if self.phase == "uploading":
            self.total = self.stored
        at = time.monotonic()
        self.samples.append((at, self.read if self.phase == "dumping" else sum(self.sent.values())))
        while at - self.samples[0][0] > _RATE_OVER:
            self.samples.popleft()

    def enter(self, phase: str) -> None:
        """Another phase begins; its rate is another one too, and the first one starts the clock."""
        if self.phase is None:
            self.began = time.monotonic()
        self.phase = phase
        self.samples.clear()

    @property
    def rate(self) -> str:
        """Bytes a second over the last seconds, or nothing where that is not known yet."""
        if len(self.samples) < 2:
            return ""
        (first, before), (last, after) = self.samples[0], self.samples[-1]
        return f"{size(round((after - before) / (last - first)))}/s" if last > first and after > before else ""


class Blocks(Watcher):
    """A live picture on the terminal: a block for each backup under way, and the last ones that ended."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._lock = Lock()
        self._blocks: dict[str, _Block] = {}
        self._done: list[Text] = []
        self._ending = False
        self._live = Live(
            console=self._console,
            get_renderable=self._picture,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,  # only what is logged to standard error goes above the picture
        )

    def __enter__(self) -> "Blocks":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _began(self, backup: Backup) -> None:
        drives = [file.label for file in backup.drive_files if file.status == Status.PENDING]
        with self._lock:
            self._blocks[backup.id] = _Block(one_line(backup.label, 200), drives)

    def _heard(self, backup: Backup, message: Message) -> None:
        with self._lock:
            block = self._blocks[backup.id]
            match message:
                case Phase():
                    block.enter(message.phase)
                case Progress():
                    block.moved(message)
                case Dumped():
                    block.read, block.total = message.size, message.stored_size
                case Retrying():
                    block.states[message.label] = mark("warning", text=f"trying again: {_short(message)}")
                case Uploaded():
                    block.states[message.label] = mark("finished", text=f"stored in {span(message.seconds)}")
                case UploadFailed():
                    block.states[message.label] = mark("failed", text=_short(message))

    def _ended(self, backup: Backup) -> None:
        good = backup.status == Status.FINISHED
        why = unlabelled(backup.error or "failed", backup.label)
        what = f"{size(backup.size)} in {span(backup.seconds)}" if good else one_line(why, 500)
        with self._lock:
            del self._blocks[backup.id]
            self._done.append(mark(backup.status, text=one_line(f"{backup.label}: {what}", 1000)))

    def _interrupted(self) -> None:
        self._ending = True  # no lock: a signal's handler must never wait

    def _picture(self) -> RenderableType:
        with self._lock:
            blocks = [part for block in self._blocks.values() if block.phase for part in _drawn(block)]
            if waiting := [block.label for block in self._blocks.values() if not block.phase]:
                blocks.append(_cut(Text(f"… {len(waiting)} waiting: {listed(waiting)}", style="dim")))
            room = max(self._console.height - len(blocks) - 2, 1)
            done: list[RenderableType] = [_cut(line) for line in self._done[-room:]]
        ending: list[RenderableType] = [Text(_ENDING, style="yellow")] if self._ending else []
        # Not to the last column: what the terminal echoes of Ctrl-C would go to the next line, and shift the picture.
        return Constrain(Group(*done, *blocks, *ending), max(self._console.width - 3, 1))


def _drawn(block: _Block) -> list[RenderableType]:
    """A line for the backup, and one for each of its drives."""
    now = time.monotonic()
    frame = _FRAMES[int(now * 8) % len(_FRAMES)]
    phase = block.phase or ""
    figures = [_PHASES.get(phase, phase), size(block.read) if block.read else "", block.rate]
    head = Table.grid(expand=True, padding=(0, 1, 0, 0))
    head.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    head.add_column(no_wrap=True, justify="right")
    clock = f"{int(now - block.began) // 60}:{int(now - block.began) % 60:02}"
    head.add_row(Text(f"{frame} {block.label}", style="bold"), "  ".join([part for part in figures if part] + [clock]))
    drives = Table.grid(expand=True, padding=(0, 1, 0, 0))
    drives.add_column(no_wrap=True, overflow="ellipsis", width=min(max(map(len, block.drives), default=0), 24) + 4)
    drives.add_column(ratio=1)
    for label in block.drives:
        drives.add_row(f"    {label}", _upload(block, label))
    return [head, drives]


def _upload(block: _Block, label: str) -> RenderableType:
    if state := block.states.get(label):
        return _cut(state)
    sent = block.sent.get(label, 0)
    if block.total is None:
        return Text(f"{size(sent)} of {size(block.stored)} so far" if sent else "waiting", style="dim")
    bar = Table.grid(padding=(0, 2, 0, 0))
    bar.add_row(ProgressBar(block.total or 1, sent, width=24), f"{size(sent)} of {size(block.total)}")
    return bar


def _short(message: Retrying | UploadFailed) -> str:
    return one_line(unlabelled(message.error, message.label), 500)


def _cut(line: Text) -> Text:
    line = line.copy()
    line.no_wrap, line.overflow = True, "ellipsis"
    return line
