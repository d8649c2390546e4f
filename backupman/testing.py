"""Fakes that obey the real contracts, for the tests of this package and of programs around it."""

import asyncio
import io
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import BinaryIO

from pydantic import Field, PrivateAttr

from backupman.drives import Drive, Opened, Stat, Stored, valid_name
from backupman.errors import DriveError, ObjectNotFound
from backupman.events import EventKind
from backupman.notifiers import Endpoint, Message, Notifier

_PLACES: dict[str, dict[str, bytes]] = defaultdict(dict)
_GUARD = Lock()


class MemoryDrive(Drive):
    """A drive in the memory of this process; drives of the same `place` see the same objects. A ref is the name."""

    place: str = Field(default="", description="What tells it from other drives; default its label.")

    def upload(self, reader: BinaryIO, name: str, metadata: Mapping[str, str], opened: Opened | None = None) -> Stored:
        valid_name(self.label, name)
        data = b"".join(iter(lambda: reader.read(2**20), b""))
        with _GUARD:
            if name in self._objects:
                raise DriveError(f"{self.label}: {name} is already there, and nothing was overwritten", permanent=True)
            self._objects[name] = data
        return Stored(ref=name, size=len(data), checksums={"sha256": sha256(data).hexdigest()})

    def open(self, ref: str) -> BinaryIO:
        return io.BytesIO(self._object(ref))

    def delete(self, ref: str) -> None:
        with _GUARD:
            self._objects.pop(ref, None)

    def stat(self, ref: str) -> Stat:
        data = self._object(ref)
        return Stat(size=len(data), checksums={"sha256": sha256(data).hexdigest()})

    def list(self, prefix: str = "") -> Iterator[str]:
        return iter(sorted(name for name in self._objects if name.startswith(prefix)))

    def find(self, name: str) -> str | None:
        return name if name in self._objects else None

    def check(self) -> None:
        """Memory is always there."""

    @property
    def _objects(self) -> dict[str, bytes]:
        return _PLACES[self.place or self.label]

    def _object(self, ref: str) -> bytes:
        with _GUARD:
            if ref not in self._objects:
                raise ObjectNotFound(f"{self.label}: there is no {ref}", permanent=True)
            return self._objects[ref]


class RecordingNotifier(Notifier):
    """A notifier that keeps what it is sent in `sent`, and answers each attempt with what stands next in `answers`."""

    name: str = Field(default="recording", description="Its name in records.")
    wanted: list[EventKind] = Field(default=[EventKind.BACKUP_REPORT], description="The kinds of events to send.")
    shows_a_state: bool = Field(default=False, description="Whether what comes late would be taken for what is now.")

    _sent: list[Message] = PrivateAttr(default_factory=list)
    _answers: deque[str | Exception | float] = PrivateAttr(default_factory=deque)

    @property
    def sent(self) -> list[Message]:
        """Every attempt, in order."""
        return self._sent

    @property
    def answers(self) -> deque[str | Exception | float]:
        """Texts to answer, errors to raise, seconds to wait first; without any, everything is delivered at once."""
        return self._answers

    def endpoints(self) -> Sequence[Endpoint]:
        return [_RecordingEndpoint(self)] if self.enabled else []


@dataclass(frozen=True)
class _RecordingEndpoint:
    notifier: RecordingNotifier

    @property
    def name(self) -> str:
        return self.notifier.name

    @property
    def events(self) -> Sequence[str]:
        return self.notifier.wanted

    @property
    def only_now(self) -> bool:
        return self.notifier.shows_a_state

    @property
    def resolves(self) -> bool:
        return self.notifier.shows_a_state

    async def send(self, message: Message) -> str:
        self.notifier.sent.append(message)
        answer: str | Exception | float = self.notifier.answers.popleft() if self.notifier.answers else "200 OK"
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return "200 OK"
        if isinstance(answer, Exception):
            raise answer
        return answer

    def preview(self, message: Message) -> str:
        return f"{message.event} {message.payload}"
