"""Restores over HTTP: begun, listed, shown, cancelled. Only into servers that the config names."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query

from backupman.api.backups import begun
from backupman.api.bodies import body_of, document, parsed
from backupman.api.documents import BackupId, Cancelled, RestorePage, RestoreRequest, RestoreStarted
from backupman.api.errors import refusals
from backupman.api.keys import KEYED, Reader, Restorer, Served
from backupman.api.names import must_be_known
from backupman.engine.restoring import RestoreOrder, RestoreShown
from backupman.engine.targets import into_source, must_be_confirmed
from backupman.errors import BusyError, RestoreError
from backupman.records import Status
from backupman.text import here

router = APIRouter(prefix="/api", tags=["restores"])

RestoreId = Annotated[str, Path(description="The id of a restore, or a unique beginning of it.")]


@router.post(
    "/backups/{backup_id}/restore",
    status_code=202,
    openapi_extra=body_of(RestoreRequest, required=False),
    responses=KEYED | refusals(400, 404, 408, 409, 413, 422),
)
def start_restore(
    daemon: Served, caller: Restorer, backup_id: BackupId, body: Annotated[Any, Depends(document)]
) -> RestoreStarted:
    """Restore a backup into a new database, or over one whose name is given as confirmation."""
    asked = parsed(RestoreRequest, {} if body is None else body)
    app = daemon.app
    if asked.to_database and "/" in asked.to_database:  # it would be the path of any file
        raise HTTPException(422, "ToDatabase: a name has no slash")
    must_be_known("drive", [asked.drive], app.config.drive_labels)
    backup = app.backup(backup_id)
    at = here(datetime.now(UTC))
    try:
        destination = into_source(
            app.config,
            backup,
            at,
            label=asked.source,
            name=asked.to_database,
            clean=asked.clean,
            instead="in Source",
        )
    except RestoreError as error:  # a source that nothing can be restored into
        raise HTTPException(422, error.sentence) from error
    must_be_confirmed(destination, asked.confirm)
    order = RestoreOrder(
        backup=backup,
        destination=destination,
        from_drive=asked.drive,
        tables=asked.tables,
        jobs=asked.jobs,
        trigger="api",
        operator=caller.name,
    )
    app.restorer.check(order)
    begun(daemon.executor.start_restore(order))
    return RestoreStarted(message="Restore started", id=order.id)


@router.get("/restores", responses=KEYED | refusals(422))
def list_restores(
    daemon: Served,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 100,
) -> RestorePage:
    """The newest restores first."""
    return RestorePage(results=[RestoreShown.of(each) for each in daemon.app.store.restores.list(limit=limit)])


@router.get("/restores/{restore_id}", responses=KEYED | refusals(404))
def show_restore(daemon: Served, _: Reader, restore_id: RestoreId) -> RestoreShown:
    """One restore."""
    return RestoreShown.of(daemon.app.store.restores.get(restore_id))


@router.post("/restores/{restore_id}/cancel", responses=KEYED | refusals(404, 409))
def cancel_restore(daemon: Served, caller: Restorer, restore_id: RestoreId) -> Cancelled:
    """End a restore that is under way; a new database is dropped again."""
    restore = daemon.app.store.restores.get(restore_id)
    ended = restore.status != Status.PENDING
    if ended or not daemon.cancel(restore.id, f"{restore.label}: cancelled by {caller.name}"):
        raise BusyError(f"{restore.label}: the restore is not under way here")
    return Cancelled(message="Restore cancelled", id=restore.id)
