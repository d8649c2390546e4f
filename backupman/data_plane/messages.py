"""What the data plane's child says to its parent, each a line of JSON on its standard output.

It waits for an acknowledgement of what must be recorded before it goes on (`SessionOpened`).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from backupman.drills import DrillReport
from backupman.errors import BackupmanError, CopyError, ObjectNotFound
from backupman.manifest import Manifest


class Phase(BaseModel):
    """What the child does now: `dumping`, `checking` or `uploading`; of a restore `verifying` or `restoring`."""

    type: Literal["phase"] = "phase"
    phase: str


class Progress(BaseModel):
    """Bytes so far: read from the tool, stored in the spool, sent to each drive."""

    type: Literal["progress"] = "progress"
    read: int
    stored: int
    sent: dict[str, int]


class SessionOpened(BaseModel):
    """An upload session was opened on a drive; the child waits until that is recorded."""

    type: Literal["session_opened"] = "session_opened"
    label: str
    session: str


class Dumped(BaseModel):
    """The gate has accepted the dump and the spool is committed."""

    type: Literal["dumped"] = "dumped"
    size: int
    stored_size: int
    sha256: str
    seconds: float
    warnings: list[str]
    facts: dict[str, str]
    manifest: Manifest | None = None


class Retrying(BaseModel):
    """An upload failed and is tried again."""

    type: Literal["retrying"] = "retrying"
    label: str
    error: str


class Uploaded(BaseModel):
    """A drive holds the object, and its sidecar unless `sidecar_error` says why not."""

    type: Literal["uploaded"] = "uploaded"
    label: str
    ref: str
    size: int
    checksums: dict[str, str]
    attempts: int = 0
    seconds: float = 0.0
    sidecar_ref: str | None = None
    sidecar_error: str | None = None


class UploadFailed(BaseModel):
    """A drive does not hold the object, and nothing of it."""

    type: Literal["upload_failed"] = "upload_failed"
    label: str
    error: str
    attempts: int
    seconds: float


class Restoring(BaseModel):
    """How far a restore from a drive is: bytes read from there, and bytes of the dump written."""

    type: Literal["restoring"] = "restoring"
    label: str
    read: int
    written: int


class CopyFailed(BaseModel):
    """A copy cannot be restored from; the next one is tried."""

    type: Literal["copy_failed"] = "copy_failed"
    label: str
    error: str


class Restored(BaseModel):
    """The target is filled from a drive's copy; `size` is the bytes of the dump."""

    type: Literal["restored"] = "restored"
    label: str
    size: int
    warnings: list[str]


class Databases(BaseModel):
    """The databases of a source."""

    type: Literal["databases"] = "databases"
    names: list[str]


class Held(BaseModel):
    """An object that a drive holds; of a sidecar that is not on record the text, or why it cannot be read.

    No name where only refs are known.
    """

    ref: str
    name: str = ""
    size: int | None = None
    checksums: dict[str, str] = {}
    sidecar: str | None = None
    unreadable: str | None = None


class Listed(BaseModel):
    """Some of what a drive holds."""

    type: Literal["listed"] = "listed"
    objects: list[Held]


class Unlisted(BaseModel):
    """The drive cannot be listed: what follows are only the objects on record that are there."""

    type: Literal["unlisted"] = "unlisted"
    error: str


class Deleted(BaseModel):
    """What came of removing one of a DeleteTask's `refs`, by its place there; `retained` is why the drive keeps it."""

    type: Literal["deleted"] = "deleted"
    index: int
    error: str | None = None
    retained: str | None = None


class Drilled(BaseModel):
    """A drill has restored a copy, asked what there was to ask, and removed it."""

    type: Literal["drilled"] = "drilled"
    report: DrillReport


class Remarks(BaseModel):
    """What is worth a word of something that was checked, although nothing is wrong."""

    type: Literal["remarks"] = "remarks"
    sentences: list[str]


class Logged(BaseModel):
    """A line for the parent's log, with its level there."""

    type: Literal["logged"] = "logged"
    level: int
    text: str


class Failed(BaseModel):
    """The task failed; nothing more is said after it."""

    type: Literal["failed"] = "failed"
    error: str
    permanent: bool = False
    kind: str | None = None
    """Whether it is that a drive holds no such object, or that a copy is not good."""
    output: str = ""
    """The end of what the tool printed that has failed."""


KINDS: dict[str | None, type[BackupmanError]] = {"missing": ObjectNotFound, "copy": CopyError}
"""Errors that the parent tells from others."""


class Done(BaseModel):
    """The task is done; nothing more is said after it."""

    type: Literal["done"] = "done"


Message = Annotated[
    Phase
    | Progress
    | SessionOpened
    | Dumped
    | Retrying
    | Uploaded
    | UploadFailed
    | Restoring
    | CopyFailed
    | Restored
    | Databases
    | Listed
    | Unlisted
    | Deleted
    | Drilled
    | Remarks
    | Logged
    | Failed
    | Done,
    Field(discriminator="type"),
]
MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
