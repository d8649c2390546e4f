"""What the parent gives the data plane's child to do: one task, a line of JSON, secrets included."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from backupman.drills import Assertion
from backupman.levels import Level
from backupman.manifest import Manifest
from backupman.retry import RetryPolicy
from backupman.sources import Origin, Target


class DriveTask(BaseModel):
    """A drive as its settings, what an earlier, dead upload left there, and the file that keeps its pace."""

    label: str
    settings: dict[str, Any]
    pace: Path | None = None
    leftover_session: str | None = None


class UploadTask(BaseModel):
    """Put a spooled dump of an earlier run onto drives."""

    kind: Literal["upload"] = "upload"
    spool: Path
    object_name: str
    sidecar: dict[str, Any]
    sha256: str
    drives: list[DriveTask]
    parallel: int | None
    restore_txt: str | None = None
    retry: RetryPolicy


class BackupTask(BaseModel):
    """Dump one database into the spool and onto drives; `pace` is the file that keeps the source's pace."""

    kind: Literal["backup"] = "backup"
    source: dict[str, Any]
    pace: Path
    database: str
    pipeline: dict[str, Any]
    spool: Path
    keep_free: int
    max_size: int | None
    object_name: str
    sidecar: dict[str, Any]
    drives: list[DriveTask]
    parallel: int | None
    restore_txt: str | None = None
    retry: RetryPolicy


class DatabasesTask(BaseModel):
    """List the databases of a source."""

    kind: Literal["databases"] = "databases"
    source: dict[str, Any]


class CheckTask(BaseModel):
    """Check one source or drive; a source `thorough`ly, as far as that can be without a dump.

    With the databases `named` by all sources of its server, those that nobody names are told too.
    """

    kind: Literal["check"] = "check"
    family: Literal["sources", "drives"]
    settings: dict[str, Any]
    thorough: bool = False
    named: list[str] | None = None


class Floor(BaseModel):
    """Copies that are to `stay`, by ref and size: one has to be there, or those `above` (by their place) stay too.

    `of` says whose they are.
    """

    of: str
    stay: list[tuple[str, int | None]]
    above: list[int]


class DeleteTask(BaseModel):
    """Remove objects from one drive, with their sidecars: `refs` are lists of what belongs together.

    Where the drive holds not one of the `witnesses`, nothing is done: another disk may be mounted there.
    """

    kind: Literal["delete"] = "delete"
    drive: DriveTask
    refs: list[list[str]]
    witnesses: list[str] = []
    floors: list[Floor] = []
    retry: RetryPolicy


class AbortTask(BaseModel):
    """Remove what a dead child left of exactly these uploads."""

    kind: Literal["abort"] = "abort"
    object_name: str
    drives: list[DriveTask]
    retry: RetryPolicy


class DownloadTask(BaseModel):
    """Write `length` bytes of an object from `start` (all of the rest when None) to the descriptor handed over.

    With the `sha256` of what is to come, anything else fails, after it was written; `path` is for people.
    """

    kind: Literal["download"] = "download"
    drive: DriveTask
    ref: str
    start: int
    length: int | None
    path: str | None = None
    sha256: str | None = None
    retry: RetryPolicy


class Copy(BaseModel):
    """An object on a drive."""

    drive: DriveTask
    ref: str


class ListTask(BaseModel):
    """List what a drive holds: `objects` and `sidecars` are the refs on record, other sidecars of ours are read."""

    kind: Literal["list"] = "list"
    drive: DriveTask
    objects: list[str]
    sidecars: list[str]
    retry: RetryPolicy


class MendTask(BaseModel):
    """Let a drive hold exactly this object, and its sidecar; what stands there and is not right goes first.

    `ref` is where the object was; `copies` hold it on other drives. Without `read` an object of the right size counts.
    Without `sha256` it is only read, to know its size and checksum. What is `foreign` was stored there by another
    program, under a name of its own, and has no sidecar.
    """

    kind: Literal["mend"] = "mend"
    drive: DriveTask
    object_name: str
    ref: str | None
    size: int | None
    sha256: str
    sidecar: dict[str, Any]
    copies: list[Copy]
    read: bool
    foreign: bool = False
    retry: RetryPolicy


class Packed(BaseModel):
    """How a dump is packed in its copies.

    `ending` is what the pipeline has added to the object's name; `identities` are age secret keys.
    """

    sha256: str
    ending: str
    identities: list[str]
    retry: RetryPolicy


class RestoreTask(Packed):
    """Write the dump in an object to the descriptor handed over, from the first copy that is good."""

    kind: Literal["restore"] = "restore"
    label: str
    copies: list[Copy]


class FillTask(Packed):
    """Bring the dump in an object back into a database, from the first copy that is good.

    `folder` is made for the source's own use, and removed.
    """

    kind: Literal["fill"] = "fill"
    label: str
    copies: list[Copy]
    source: dict[str, Any]
    origin: Origin
    target: Target
    folder: Path


class VerifyTask(Packed):
    """Read one copy back: its bytes, its structure, or by a drill; `key` decrypts as little as shows that the key fits,
    or the `whole` copy.

    `source` leads to no server but a drill's own: its settings have nothing of where the dump came from. `folder` is
    made and removed; a drill's database is called `database`.
    """

    kind: Literal["verify"] = "verify"
    level: Level | Literal["key"]
    whole: bool = False
    held: Copy
    path: str | None
    size: int | None
    source: dict[str, Any] = {}
    origin: Origin
    folder: Path
    keep_free: int = 0
    scratch: dict[str, Any] | None = None
    database: str = ""
    manifest: Manifest | None = None
    assertions: list[Assertion] = []
    freshness: str | None = None
    query_timeout: float = 60.0


class DropTask(BaseModel):
    """Drop a database that a drill, which died, has left on a scratch server."""

    kind: Literal["drop"] = "drop"
    source: dict[str, Any]
    database: str


Task = Annotated[
    BackupTask
    | UploadTask
    | DatabasesTask
    | CheckTask
    | DeleteTask
    | ListTask
    | MendTask
    | AbortTask
    | DownloadTask
    | RestoreTask
    | FillTask
    | VerifyTask
    | DropTask,
    Field(discriminator="kind"),
]
TASK: TypeAdapter[Task] = TypeAdapter(Task)
