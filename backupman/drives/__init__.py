"""The rule book of drives: what every place that keeps finished dumps promises.

- `upload` makes an object visible only when it is whole; whatever fails, nothing partial stays behind.
- `upload` reads `reader` to its end before it completes: a spool's reader knows its end only after the gate.
  Where it is `Linkable`, a drive on the same disk may take the file itself instead.
- A ref is opaque, is all that later calls need, and is valid in a fresh process.
- `delete` is idempotent, and `check` leaves no litter.
- The SDK's own retries are off. A temporary failure of one part is tried again by `self.retry` inside the drive; a
  whole upload is retried around it by the engine.
- Only DriveError leaves a drive; its sentence names the label and what to do, and holds no secret.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol, runtime_checkable

from pydantic import Field, PrivateAttr

from backupman.errors import DriveError, ObjectNotFound
from backupman.registry import Provider, Size
from backupman.retention import Retention
from backupman.retry import NO_RETRY, RetryPolicy


@dataclass(frozen=True)
class Stat:
    """What a drive knows of an object: size in bytes, and checksums by name (`sha256` in hex, …) where it has any."""

    size: int
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stored:
    """A finished upload: `ref` for later calls, `size` in bytes, and what the drive verified it against."""

    ref: str
    size: int
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """An object in a listing: its ref, and the name that it was stored under."""

    ref: str
    name: str


@dataclass(frozen=True)
class Capabilities:
    """What a drive can do, as data.

    `follows`: an upload may start while the spool still grows. `parts`: large objects go in parts. `lists`, `deletes`:
    the drive can list and delete. `resumes`: an upload session outlives the process, and `resume` goes on with it.
    """

    follows: bool = True
    parts: bool = False
    lists: bool = True
    deletes: bool = True
    resumes: bool = False


PART = ".part"
"""The ending of what is not whole yet; no object's name has it."""

_FOLDER_BYTES, _NAME_BYTES = 240, 900
"""File systems take 255 bytes a folder, S3 1,024 a key: room is left for a prefix and for PART."""


def valid_name(label: str, name: str) -> str:
    """The name itself, if it is an object's name that every drive can keep inside its own place.

    Raises:
        DriveError: it is empty, absolute or too long, leaves its folder, or holds what no file name may hold.
    """
    folders = name.split("/")
    encoded = name.encode(errors="replace")
    faults = {
        "it is empty": not name,
        "it is absolute": name.startswith("/"),
        "one of its folders is empty, `.` or `..`": not {"", ".", ".."}.isdisjoint(folders),
        "it holds control characters": any(ord(character) < 32 or ord(character) == 127 for character in name),
        "it is not Unicode": encoded != name.encode(errors="surrogatepass"),
        f"it ends in {PART}": name.endswith(PART),
        "it is too long": len(encoded) > _NAME_BYTES or max(map(len, encoded.split(b"/"))) > _FOLDER_BYTES,
    }
    if why := next((why for why, found in faults.items() if found), None):
        raise DriveError(f"{label}: {name[:100]!r} cannot be the name of an object: {why}", permanent=True)
    return name


@runtime_checkable
class Linkable(Protocol):
    """A reader of one file of this machine, which may still grow."""

    def link(self, name: Path) -> bool:
        """Give the file this name too; False where that cannot or should not be, and it has to be read instead."""

    def whole(self) -> tuple[int, str]:
        """Wait until all of the file is on the disk: its size and sha256. Raises what reading would."""


Opened = Callable[[str], None]
"""Told the id of an upload session before its first byte is sent, so that a crash leaves nothing unknown."""


class Drive(Provider, ABC):
    """A place where finished dumps are kept."""

    provider: str = Field(description="The kind of drive; the name of its page.")
    label: str = Field(min_length=1, max_length=200, description="The drive's name in records and reports.")
    required: bool = Field(default=True, description="Whether a failure on this drive fails the backup.")
    retention: Retention | None = Field(default=None, description="Instead of the job's `retention`.")
    bandwidth: Size | None = Field(
        default=None, ge=1024, description="Bytes a second that all uploads onto the drive may take together."
    )

    capabilities: ClassVar[Capabilities] = Capabilities()
    _retry: RetryPolicy = PrivateAttr(default=NO_RETRY)

    @property
    def retry(self) -> RetryPolicy:
        """The policy for one part or one small call, handed in by the engine."""
        return self._retry

    def with_retry(self, policy: RetryPolicy) -> "Drive":
        """This drive with the engine's policy for its parts."""
        self._retry = policy
        return self

    def path(self, name: str) -> str:
        """Where an object of that name stands, for people: the key or the full path."""
        return name

    @abstractmethod
    def upload(self, reader: BinaryIO, name: str, metadata: Mapping[str, str], opened: Opened | None = None) -> Stored:
        """Store everything that `reader` gives under `name` (with `/` between folders).

        Raises:
            DriveError: the drive failed; nothing is left under `name`.
            BackupmanError: whatever `reader` raised, after the upload was aborted.
        """

    def resume(
        self, reader: BinaryIO, name: str, metadata: Mapping[str, str], session: str, opened: Opened | None = None
    ) -> Stored:
        """Go on with the session that a dead process's upload of these very bytes told; called where `resumes` is set.

        The reader begins at the start all the same. What promises `upload` makes hold here too: whatever fails, nothing
        is left; a session that is gone is no failure, the upload begins anew. Raises as `upload` does.
        """
        self.abort(name, session)
        return self.upload(reader, name, metadata, opened)

    @abstractmethod
    def open(self, ref: str) -> BinaryIO:
        """The object's bytes from the start. Raises ObjectNotFound, DriveError."""

    @abstractmethod
    def delete(self, ref: str) -> None:
        """Remove the object; one that is not there is fine. Raises Retained, DriveError."""

    @abstractmethod
    def stat(self, ref: str) -> Stat:
        """What the drive knows of the object. Raises ObjectNotFound, DriveError."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """The refs of all objects whose name starts with `prefix`. Raises DriveError."""

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """The same with their names; as it stands where a ref is the name, or the path. Raises DriveError."""
        before = self.path("x").removesuffix("x")
        return (Entry(ref, ref.removeprefix(before)) for ref in self.list(prefix))

    def find(self, name: str) -> str | None:
        """The ref of exactly that object, or None; as it stands where a ref is the path. Raises DriveError."""
        ref = self.path(name)
        try:
            self.stat(ref)
        except ObjectNotFound:
            return None
        return ref

    @abstractmethod
    def check(self) -> None:
        """Whether objects can be stored now; leaves nothing behind. Raises DriveError."""

    def abort(self, name: str, session: str | None) -> None:
        """Remove what a dead process left of exactly this upload: its `.part`, or its session. Raises DriveError."""
