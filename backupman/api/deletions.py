"""Deleting a backup over HTTP, when its id is written once more."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_pascal

from backupman.api.bodies import body_of, document, parsed
from backupman.api.documents import BackupId
from backupman.api.errors import refusals
from backupman.api.keys import KEYED, Administrator, Served
from backupman.errors import ConfigError, DriveError
from backupman.events import View

router = APIRouter(prefix="/api/backups", tags=["backups"])


class DeleteRequest(View):
    """The confirmation that this backup is meant."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, frozen=True, extra="forbid")

    confirm: str = Field(description="The first 8 letters of the backup's id, or all of it.")
    force: bool = Field(
        default=False,
        description="Also the last good backup, the last proved one, or one that a drive seems to have lost.",
    )


class Deleted(View):
    """A backup whose copies were removed."""

    message: str = Field(description="`Backup deleted`, or `Backup kept in part` when a drive keeps its copy.")
    id: str = Field(description="The backup's id.")
    removed: list[str] = Field(description="The drives that hold it no more.")
    retained: list[str] = Field(description="Why a drive keeps its copy; the record stays as long as that.")


@router.delete(
    "/{backup_id}",
    openapi_extra=body_of(DeleteRequest),
    responses=KEYED | refusals(400, 404, 408, 409, 413, 422, 502),
)
def delete_backup(
    daemon: Served, caller: Administrator, backup_id: BackupId, body: Annotated[Any, Depends(document)]
) -> Deleted:
    """Remove every copy of a backup, then its record; 409 if it is pinned, under way, or the last good one."""
    asked = parsed(DeleteRequest, {} if body is None else body)
    app = daemon.app
    backup = app.backup(backup_id)
    if asked.confirm not in (backup.id, backup.id[:8]):
        raise HTTPException(422, f"Confirm: write {backup.id[:8]}, which is how the id of the backup begins")
    try:
        found = app.deleter.delete(backup, caller.name, force=asked.force, insist='send "Force": true')
    except ConfigError as error:  # the request is right, but the backup is to be kept
        raise HTTPException(409, error.sentence) from error
    if found.errors:
        raise DriveError("; ".join(error.sentence for error in found.errors))
    return Deleted(
        message="Backup deleted" if found.is_complete else "Backup kept in part",
        id=backup.id,
        removed=[step.file.label for step in found.removed],
        retained=list(found.retained),
    )
