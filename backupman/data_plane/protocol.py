"""What the parent and the data plane's child say to each other: one task, then messages, each a line of JSON.

The task goes to the child's standard input, secrets included; messages come from its standard output. The child asks
for an acknowledgement of what must be recorded before it goes on (`SessionOpened`).
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from backupman.retry import RetryPolicy


class DriveTask(BaseModel):
    """A drive as its settings, and what an earlier, dead upload left there."""

    label: str
    settings: dict[str, Any]
    leftover_session: str | None = None


class UploadTask(BaseModel):
    """Put a spooled dump of an earlier run onto drives."""

    kind: Literal["upload"] = "upload"
    spool: Path
    object_name: str
    sidecar: dict[str, Any]
    sha256: str
    drives: list[DriveTask]
    retry: RetryPolicy


class BackupTask(BaseModel):
    """Dump one database into the spool and onto drives."""

    kind: Literal["backup"] = "backup"
    source: dict[str, Any]
    database: str
    pipeline: dict[str, Any]
    spool: Path
    keep_free: int
    max_size: int | None
    object_name: str
    sidecar: dict[str, Any]
    drives: list[DriveTask]
    retry: RetryPolicy


class DatabasesTask(BaseModel):
    """List the databases of a source."""

    kind: Literal["databases"] = "databases"
    source: dict[str, Any]


class CheckTask(BaseModel):
    """Check one source or drive."""

    kind: Literal["check"] = "check"
    family: Literal["sources", "drives"]
    settings: dict[str, Any]


class DeleteTask(BaseModel):
    """Remove objects from one drive, with their sidecars: `refs` are lists of what belongs together."""

    kind: Literal["delete"] = "delete"
    drive: DriveTask
    refs: list[list[str]]
    retry: RetryPolicy


class AbortTask(BaseModel):
    """Remove what a dead child left of exactly these uploads."""

    kind: Literal["abort"] = "abort"
    object_name: str
    drives: list[DriveTask]
    retry: RetryPolicy


class DownloadTask(BaseModel):
    """Write `length` bytes of an object from `start` (all of the rest when None) to the inherited descriptor `fd`."""

    kind: Literal["download"] = "download"
    drive: DriveTask
    ref: str
    fd: int
    start: int
    length: int | None
    retry: RetryPolicy


class Copy(BaseModel):
    """An object on a drive."""

    drive: DriveTask
    ref: str


class Packed(BaseModel):
    """How a dump is packed in its copies.

    `ending` is what the pipeline has added to the object's name; `identities` are age secret keys.
    """

    sha256: str
    ending: str
    identities: list[str]
    retry: RetryPolicy


class RestoreTask(Packed):
    """Write the dump in an object to the inherited descriptor `fd`, from the first copy that is good."""

    kind: Literal["restore"] = "restore"
    label: str
    copies: list[Copy]
    fd: int


Task = Annotated[
    BackupTask | UploadTask | DatabasesTask | CheckTask | DeleteTask | AbortTask | DownloadTask | RestoreTask,
    Field(discriminator="kind"),
]
TASK: TypeAdapter[Task] = TypeAdapter(Task)


class Phase(BaseModel):
    """What the child does now: `dumping`, `checking` or `uploading`."""

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


class Databases(BaseModel):
    """The databases of a source."""

    type: Literal["databases"] = "databases"
    names: list[str]


class Deleted(BaseModel):
    """What came of removing one of a DeleteTask's `refs`, by its place there; `retained` is why the drive keeps it."""

    type: Literal["deleted"] = "deleted"
    index: int
    error: str | None = None
    retained: str | None = None


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
    missing: bool = False
    """Whether it is that a drive holds no such object."""


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
    | Databases
    | Deleted
    | Logged
    | Failed
    | Done,
    Field(discriminator="type"),
]
MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
