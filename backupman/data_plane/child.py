"""The data plane's child: takes one task on standard input, does it, and reports on standard output.

It is the leader of a session of its own, knows no store, and ends itself with its tools when standard input closes,
so that a daemon that was killed alone leaves nothing running.
"""

import gc
import json
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from queue import SimpleQueue
from threading import Lock, Thread, Timer
from types import FrameType
from typing import Any, BinaryIO, NoReturn, TextIO

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from backupman.data_plane import (
    alive,
    dumping,
    filling,
    mending,
    removing,
    restoring,
    surveying,
    uploading,
    verifying,
)
from backupman.data_plane.messages import KINDS, Databases, Done, Failed, Logged, Remarks, SessionOpened
from backupman.data_plane.tasks import (
    TASK,
    AbortTask,
    BackupTask,
    CheckTask,
    DatabasesTask,
    DeleteTask,
    DownloadTask,
    DropTask,
    FillTask,
    ListTask,
    MendTask,
    RestoreTask,
    Task,
    UploadTask,
    VerifyTask,
)
from backupman.drives import Drive
from backupman.errors import BackupmanError, CopyError, Interrupted, Terminated
from backupman.pipeline._sink import CHUNK
from backupman.registry import provider_class
from backupman.sources import Source
from backupman.text import clean, few

END_GRACE = 20.0
"""Seconds to abort uploads in before the whole session is killed."""
SILENT_GRACE = 5.0
"""The same where the parent has been silent for too long: another host is about to take over."""


_MOST_DESCRIPTORS = 253
"""The kernel's own bound: SCM_MAX_FD in unix(7)."""
_LARGEST_PIECE = 2**23
"""glibc keeps the memory of blocks as large as one that it was given back: see M_MMAP_THRESHOLD in mallopt(3).

Without, the system maps and clears the memory of each piece of a stream anew, a fifth of what unpacking takes.
"""
_TURN = 0.0002
"""Seconds after which a thread lets another one in: while one encrypts, the one that reads would wait for 0.005."""

_CONTRACTS: dict[str, Any] = {"sources": Source, "drives": Drive}


class Channel:
    """The line to the parent, and the descriptors that were `handed` over by it."""

    def __init__(self, out: TextIO, controls: TextIO, handed: Sequence[int]) -> None:
        self.handed = handed
        self._out = out
        self._controls = controls
        self._writing = Lock()
        self._asking = Lock()
        self._acknowledged: SimpleQueue[str | None] = SimpleQueue()
        self._lifetime = alive.Lifetime(lambda: self._end(SILENT_GRACE))

    def watch(self) -> None:
        """Take acknowledgements until the parent is gone, or has been silent for too long; then end the session."""
        Thread(target=self._watch, name="controls", daemon=True).start()

    def _watch(self) -> None:
        for line in self._controls:
            if line.startswith(alive.WORD):
                self._lifetime.set(float(line.removeprefix(alive.WORD)))
            else:
                self._acknowledged.put(line)
        self._end()

    def _end(self, grace: float = END_GRACE) -> None:
        self._acknowledged.put(None)
        _end_session_soon(grace)
        os.kill(os.getpid(), signal.SIGTERM)

    def tell(self, message: BaseModel) -> None:
        """Send a message; a parent that is gone is noticed by the watcher."""
        with self._writing, suppress(BrokenPipeError):
            self._out.write(_line(message) + "\n")
            self._out.flush()

    def ask(self, message: BaseModel) -> None:
        """Send a message and wait until the parent has recorded it.

        Raises:
            Interrupted: the parent is gone.
        """
        with self._asking:
            self.tell(message)
            if self._acknowledged.get() is None:
                self._acknowledged.put(None)
                raise Interrupted("backupman ended before it could record the upload", permanent=True)


def _line(message: BaseModel) -> str:
    try:
        return message.model_dump_json()
    except PydanticSerializationError:  # something has a name that is no UTF-8
        return json.dumps(clean(message.model_dump()), default=str)


class _ToParent(logging.Handler):
    """Hands what we log to the parent, which knows what it is about."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        self._channel.tell(Logged(level=record.levelno, text=record.getMessage()))


def main() -> int:
    """Do the one task; 0 when it is done, 1 when it failed."""
    gc.freeze()  # what was imported stays until the end
    gc.enable()
    try:
        return _work()
    finally:
        gc.freeze()  # all of it goes with the process, and is not looked through once more


def _work() -> int:
    bytearray(_LARGEST_PIECE)
    sys.setswitchinterval(_TURN)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints by mistake does not spoil the messages
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's to handle
    channel = Channel(out, sys.stdin, _handed_over())
    logging.getLogger("backupman").addHandler(_ToParent(channel))
    if not (said := sys.stdin.readline()):
        return 1  # who started it early has ended, or had nothing to do
    channel.watch()
    try:
        _do(TASK.validate_json(said), channel)
    except (BackupmanError, Terminated) as end:
        error = end if isinstance(end, BackupmanError) else Interrupted("the backup was interrupted")
        kind = next((kind for kind, its_class in KINDS.items() if isinstance(error, its_class)), None)
        channel.tell(Failed(error=error.sentence, permanent=error.permanent, kind=kind, output=error.output))
        return 1
    except Exception as error:  # noqa: BLE001 - the last door: whatever happened is told, never swallowed
        traceback.print_exc()
        channel.tell(Failed(error=f"unexpected {type(error).__name__}: {error}; please report it (run with --debug)"))
        return 1
    channel.tell(Done())
    return 0


def _handed_over() -> Sequence[int]:
    """What comes before the task; the tools that are started do not get them."""
    with socket.socket(fileno=os.dup(0)) as line:
        return socket.recv_fds(line, 1, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)[1]


def _do(task: Task, channel: Channel) -> None:
    _DOERS[type(task)](task, channel)


def _check(task: CheckTask, channel: Channel) -> None:
    contract = _CONTRACTS[task.family]
    provider = provider_class(task.family, contract, task.settings["provider"]).model_validate(task.settings)
    if task.thorough and isinstance(provider, Source):
        remarks = provider.examine()
        if task.named is not None and (others := provider.others(task.named)):
            remarks.append(
                f"{provider.label}: its server has {few(others)} too, which no source names: back them up by a source "
                "of their own, or by `databases: all`"
            )
        channel.tell(Remarks(sentences=remarks))
    else:
        provider.check()


def _opener(channel: Channel) -> Callable[[str, str], None]:
    return lambda label, session: channel.ask(SessionOpened(label=label, session=session))


def _download(task: DownloadTask, to: int) -> None:
    left, digest = task.length, sha256()
    with (
        open(to, "wb", CHUNK) as pipe,
        uploading.drive_of(task.drive, task.retry).open(task.ref) as source,
    ):
        if task.start and source.seekable():
            source.seek(task.start)
        elif task.start:
            _discard(source, task.start)
        while chunk := source.read(CHUNK if left is None else min(CHUNK, left)):
            pipe.write(chunk)
            if task.sha256:
                digest.update(chunk)
            left = None if left is None else left - len(chunk)
    if task.sha256 not in (None, digest.hexdigest()):
        raise CopyError(
            f"{task.drive.label}: {task.path or task.ref} has other content than was stored: its SHA-256 differs; let "
            "`backupman verify` record that, so that the copy of another drive is given",
            permanent=True,
        )


def _discard(source: BinaryIO, count: int) -> None:
    while count and (chunk := source.read(min(CHUNK, count))):
        count -= len(chunk)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _end_session_soon(grace: float) -> None:
    timer = Timer(grace, lambda: os.killpg(0, signal.SIGKILL))
    timer.daemon = True
    timer.start()


def _list_databases(task: DatabasesTask, channel: Channel) -> None:
    channel.tell(Databases(names=dumping.source_of(task.source).list_databases()))


def _drop(task: DropTask) -> None:
    server = dumping.source_of(task.source)
    server.remove(server.target_of(task.database))


_DOERS: dict[type[BaseModel], Callable[[Any, Channel], None]] = {
    BackupTask: lambda task, channel: dumping.back_up(task, channel.tell, _opener(channel)),
    UploadTask: lambda task, channel: uploading.upload_kept(task, channel.tell, _opener(channel)),
    DatabasesTask: _list_databases,
    CheckTask: _check,
    DeleteTask: lambda task, channel: removing.remove(task, channel.tell),
    ListTask: lambda task, channel: surveying.survey(task, channel.tell),
    MendTask: lambda task, channel: mending.mend(task, channel.tell, _opener(channel)),
    AbortTask: lambda task, channel: uploading.abort(task),
    DownloadTask: lambda task, channel: _download(task, channel.handed[0]),
    RestoreTask: lambda task, channel: restoring.restore(task, channel.handed[0], channel.tell),
    FillTask: lambda task, channel: filling.fill(task, channel.tell),
    VerifyTask: lambda task, channel: verifying.verify(task, channel.tell),
    DropTask: lambda task, channel: _drop(task),
}
