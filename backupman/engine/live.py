"""What is under way now, for whoever looks: the API's stream, the dashboard, the metrics."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Full, Queue
from threading import Lock
from typing import Any

from backupman.data_plane.messages import Dumped, Message, Phase, Progress, Retrying, Uploaded, UploadFailed
from backupman.records import Backup, Status

_QUEUED = 1000
_SILENT = 30.0
"""Seconds without a word of its worker after which a backup on another host is not shown any more."""


@dataclass
class LiveBackup:
    """A backup under way: bytes read from the tool, stored in the spool, sent to each drive; times are monotonic."""

    id: str
    label: str
    job: str
    phase: str = "queued"
    read: int = 0
    stored: int = 0
    sent: dict[str, int] = field(default_factory=dict)
    drives: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    host: str | None = None
    heard: float = field(default_factory=time.monotonic)
    """Where it is under way, if not here, and when that was last told."""

    def document(self) -> dict[str, Any]:
        """JSON values, PascalCase."""
        return {
            "Id": self.id,
            "Label": self.label,
            "Job": self.job,
            "Phase": self.phase,
            "Read": self.read,
            "Stored": self.stored,
            "Sent": dict(self.sent),
            "Drives": dict(self.drives),
            "Seconds": round(time.monotonic() - self.started, 3),
            "Host": self.host,
        }


class Live:
    """An observer of all runs that keeps their present state and tells subscribers of each change. Thread-safe.

    Args:
        settled: called after each backup that was settled.
    """

    def __init__(self, settled: Callable[[], None] = lambda: None) -> None:
        self._settled = settled
        self._lock = Lock()
        self._running: dict[str, LiveBackup] = {}
        self._subscribers: set[Queue[dict[str, Any]]] = set()

    def running(self) -> list[dict[str, Any]]:
        """The backups under way, the oldest first."""
        with self._lock:
            silent = time.monotonic() - _SILENT
            for backup in [each for each in self._running.values() if each.host and each.heard < silent]:
                del self._running[backup.id]
            return [backup.document() for backup in self._running.values()]

    def of(self, backup: Backup) -> dict[str, Any] | None:
        """Where a backup is; None once its record is settled, also in the moment before its end is told here."""
        if backup.status != Status.PENDING:
            return None
        return next((live for live in self.running() if live["Id"] == backup.id), None)

    def subscribe(self) -> tuple[Queue[dict[str, Any]], Callable[[], None]]:
        """A queue of changes, `{"Type": began | progress | ended, …}`, and how to leave; a slow reader loses some."""
        queue: Queue[dict[str, Any]] = Queue(_QUEUED)
        with self._lock:
            self._subscribers.add(queue)

        def leave() -> None:
            with self._lock:
                self._subscribers.discard(queue)

        return queue, leave

    def began(self, backup: Backup) -> None:
        """A backup was recorded and waits for its turn."""
        live = LiveBackup(backup.id, backup.label, backup.job, drives={f.label: f.status for f in backup.drive_files})
        with self._lock:
            self._running[backup.id] = live
        self._tell("began", live.document())

    def heard(self, backup: Backup, message: Message) -> None:
        """The data plane said something of a backup."""
        with self._lock:
            live = self._running.get(backup.id)
            if live is None:
                return
            _enter(live, message)
            document = live.document()
        self._tell("progress", document)

    def relay(self, change: dict[str, Any]) -> None:
        """A worker on another host has told a change, in the words that subscribers hear."""
        backup_id, ended = change["Id"], change["Type"] == "ended"
        with self._lock:
            known = self._running.get(backup_id)
            if known and known.host is None:  # it is under way here
                return
            if ended:
                self._running.pop(backup_id, None)
            else:
                self._running[backup_id] = _as_told(change)
        self._tell(change["Type"], {key: value for key, value in change.items() if key != "Type"})
        if ended:
            self._settled()

    def ended(self, backup: Backup) -> None:
        """A backup is settled."""
        with self._lock:
            live = self._running.pop(backup.id, None)
        if live:
            self._tell("ended", live.document() | {"Phase": None, "Status": backup.status, "Error": backup.error})
        self._settled()

    def _tell(self, kind: str, document: dict[str, Any]) -> None:
        with self._lock:
            subscribers = list(self._subscribers)
        for queue in subscribers:
            with suppress(Full):
                queue.put_nowait({"Type": kind} | document)


def _as_told(change: dict[str, Any]) -> LiveBackup:
    return LiveBackup(
        id=change["Id"],
        label=change["Label"],
        job=change["Job"],
        phase=change["Phase"],
        read=change["Read"],
        stored=change["Stored"],
        sent=change["Sent"],
        drives=change["Drives"],
        started=time.monotonic() - change["Seconds"],
        host=change["Host"],
    )


def _enter(live: LiveBackup, message: Message) -> None:
    match message:
        case Phase():
            live.phase = message.phase
        case Progress():
            live.read, live.stored = message.read, message.stored
            live.sent.update(message.sent)
        case Dumped():
            live.read, live.stored = message.size, message.stored_size
        case Retrying():
            live.drives[message.label] = "retrying"
        case Uploaded():
            live.drives[message.label] = "finished"
        case UploadFailed():
            live.drives[message.label] = "failed"
        case _:
            pass
