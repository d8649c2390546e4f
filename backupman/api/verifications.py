"""Verifying over HTTP: what came of it, and asking for more."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_pascal

from backupman.api.bodies import body_of, document, parsed
from backupman.api.documents import BackupId
from backupman.api.errors import refusals
from backupman.api.keys import KEYED, Operator, Reader, Served
from backupman.api.names import must_be_known
from backupman.drills import DrillReport
from backupman.errors import BusyError
from backupman.events import Time, View
from backupman.levels import Level
from backupman.records import Kind, Status, Verification

router = APIRouter(prefix="/api/backups", tags=["verifications"])


class VerificationShown(View):
    """What came of looking at one copy."""

    id: str = Field(description="The verification's id.")
    drive: str = Field(description="The drive that holds the copy.")
    level: str = Field(description="`checksum`, `structure`, `restore` (a drill), or `key`.")
    good: bool = Field(description="Whether the copy is good as far as that.")
    error: str | None = Field(description="What is wrong with it.")
    at: Time = Field(description="When it ended.")
    seconds: float = Field(description="How long it took.")
    drill: DrillReport | None = Field(default=None, description="What a drill found.")

    @classmethod
    def about(cls, verification: Verification) -> "VerificationShown":
        """A verification on record."""
        drilled = verification.level == "restore" and verification.details
        drill = DrillReport.model_validate(verification.details) if drilled else None
        return cls.of(verification).model_copy(update={"drill": drill})


class VerificationPage(View):
    """Verifications, the newest first."""

    results: Sequence[VerificationShown] = Field(description="The verifications.")


class VerifyRequest(View):
    """How far to look, and at which copies; every byte of all of them when it is empty."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, frozen=True, extra="forbid")

    level: Level = Field(default="checksum", description="How far to look; `restore` is a drill.")
    drives: list[str] = Field(default=[], description="Only on these drives.")


class VerifyStarted(View):
    """A backup whose copies are verified in their turn."""

    message: str = Field(description="`Verification started`.")
    id: str = Field(description="The backup's id.")


@router.get("/{backup_id}/verifications", responses=KEYED | refusals(404))
def list_verifications(daemon: Served, _: Reader, backup_id: BackupId) -> VerificationPage:
    """What came of verifying a backup's copies, the newest first."""
    store = daemon.app.store
    found = store.proofs.verifications(daemon.app.backup(backup_id).id)
    return VerificationPage(results=[VerificationShown.about(each) for each in found])


@router.post(
    "/{backup_id}/verify",
    status_code=202,
    openapi_extra=body_of(VerifyRequest, required=False),
    responses=KEYED | refusals(400, 404, 408, 409, 413, 422),
)
def start_verification(
    daemon: Served, _: Operator, backup_id: BackupId, body: Annotated[Any, Depends(document)]
) -> VerifyStarted:
    """Verify a backup's copies, one after the other; 409 when that waits for its turn already."""
    asked = parsed(VerifyRequest, {} if body is None else body)
    app = daemon.app
    backup = app.backup(backup_id)
    must_be_known("drive", asked.drives, app.config.drive_labels)
    if backup.kind != Kind.OWN or backup.instance != app.config.instance:
        raise BusyError(f"{backup.label}: the backup was made elsewhere, and only there its copies can be read")
    if not any(file.status == Status.FINISHED for file in backup.drive_files):
        raise BusyError(f"{backup.label}: no drive holds the backup")
    daemon.verifying.ask(backup, asked.level, asked.drives or None)
    return VerifyStarted(message="Verification started", id=backup.id)
