"""Backups over HTTP: listed, shown, started, retried, cancelled."""

import base64
import binascii
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query

from backupman.api.bodies import body_of, document, parsed
from backupman.api.documents import (
    BackupId,
    BackupPage,
    BackupShown,
    Cancelled,
    LiveShown,
    LogShown,
    Started,
    StartRequest,
)
from backupman.api.errors import refusals
from backupman.api.keys import KEYED, Operator, Reader, Served
from backupman.api.names import must_be_known
from backupman.api.timestamps import MomentInAddress
from backupman.config.plans import JobPlan
from backupman.daemon import Daemon
from backupman.engine.calls import Call
from backupman.engine.runner import Order
from backupman.errors import BusyError, NotFoundError
from backupman.events import BackupExtended
from backupman.records import Backup, Kind, Status
from backupman.registry import nearest
from backupman.store.backups import BackupFilter

if TYPE_CHECKING:
    from backupman.fleet.handing import Handed

router = APIRouter(prefix="/api/backups", tags=["backups"])

_BEGIN_WITHIN = 30.0


@router.get("", responses=KEYED | refusals(422))
def list_backups(
    daemon: Served,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 100,
    cursor: Annotated[str | None, Query(description="The `Cursor` of the page before.")] = None,
    status: Annotated[Status | None, Query(description="Only backups of this status.")] = None,
    label: Annotated[str | None, Query(description="Only of this label.")] = None,
    job: Annotated[str | None, Query(description="Only of this job.")] = None,
    source: Annotated[str | None, Query(description="Only of this source.")] = None,
    database: Annotated[str | None, Query(description="Only of this database.")] = None,
    device: Annotated[str | None, Query(description="Only ingested ones of this device.")] = None,
    sender: Annotated[str | None, Query(description="Only ingested ones of this sender.")] = None,
    since: Annotated[MomentInAddress | None, Query(description="Only of this time or later, with its offset.")] = None,
    kind: Annotated[
        Literal["own", "ingested", "all"], Query(description="Our own, those told by scripts elsewhere, or both.")
    ] = "own",
) -> BackupPage:
    """The newest backups first."""
    wanted = BackupFilter(
        status=status,
        label=label,
        job=job,
        source=source,
        database=database,
        device=device,
        sender=sender,
        since=since,
        after=_position(cursor) if cursor else None,
        kind=None if kind == "all" else kind,
    )
    found = daemon.app.store.backups.list(wanted, limit + 1)
    page = found[:limit]
    return BackupPage(
        results=[BackupExtended.of(backup) for backup in page],
        cursor=_cursor(page[-1]) if len(found) > limit else None,
    )


@router.post(
    "",
    openapi_extra=body_of(StartRequest, required=False),
    responses=KEYED | refusals(400, 404, 408, 409, 413, 422),
)
def start_backup(daemon: Served, caller: Operator, body: Annotated[Any, Depends(document)]) -> Started:
    """Start a backup of everything, of a job, or of a source; 409 when all of that is running already."""
    asked = parsed(StartRequest, {} if body is None else body)
    plans, sources = _chosen(daemon, asked)
    order = Order(trigger="api", operator=caller.name, comment=asked.comment, tags=asked.tags)
    call = daemon.executor.start(plans, sources, order, wait=False)
    return Started(message="Backup started", ids=begun(call))


@router.get("/{backup_id}", responses=KEYED | refusals(404))
def show_backup(daemon: Served, _: Reader, backup_id: BackupId) -> BackupShown:
    """One backup, by its id, a unique beginning of it, or `latest`; `Live` while it is under way here."""
    store = daemon.app.store
    backup = daemon.app.backup(backup_id)
    live = daemon.live.of(backup)
    shown = {"live": LiveShown(**live) if live else None, "manifest": store.proofs.shown(backup)}
    return BackupShown.of(backup).model_copy(update=shown)


@router.get("/{backup_id}/log", responses=KEYED | refusals(404))
def show_log(daemon: Served, _: Reader, backup_id: BackupId) -> LogShown:
    """The lines that were logged about a backup, the oldest first, as far as `monitoring_verbosity` keeps them."""
    backup = daemon.app.backup(backup_id)
    return LogShown(id=backup.id, lines=daemon.app.store.run_logs.of(backup.id))


@router.post("/{backup_id}/retry", responses=KEYED | refusals(404, 409))
def retry_backup(daemon: Served, _: Operator, backup_id: BackupId) -> Started:
    """Go on with a failed backup: from the failed drives alone, or with a new dump where that had failed.

    So with a finished one of which a copy has failed that was not required, as long as its dump is spooled.
    """
    app = daemon.app
    backup = app.backup(backup_id)
    if backup.kind != Kind.OWN or backup.instance != app.config.instance:
        made = backup.device if backup.kind != Kind.OWN else backup.instance
        raise BusyError(f"{backup.label}: the backup was made on {made}, and only there it can be made again")
    if not backup.retryable:
        raise BusyError(f"{backup.label}: the backup is {backup.status}; only a failed one is retried")
    call = daemon.executor.start_retry(app.plans, [backup], wait=False)
    return Started(message="Retry started", ids=begun(call) or [backup.id])


@router.post("/{backup_id}/cancel", responses=KEYED | refusals(404, 409))
def cancel_backup(daemon: Served, caller: Operator, backup_id: BackupId) -> Cancelled:
    """End a backup that is under way; its record becomes failed."""
    backup = daemon.app.backup(backup_id)
    # What has ended may be worked on a moment longer, with its hooks for example.
    if backup.status != Status.PENDING or not daemon.cancel(backup.id, f"{backup.label}: cancelled by {caller.name}"):
        raise BusyError(f"{backup.label}: the backup is not under way here")
    return Cancelled(message="Backup cancelled", id=backup.id)


def _chosen(daemon: Daemon, asked: StartRequest) -> tuple[list[JobPlan], list[str] | None]:
    """The plans and sources that were asked for; an unknown name is 404 with the nearest one."""
    plans = daemon.app.plans
    jobs = [plan.label for plan in plans]
    must_be_known("job", [asked.job], jobs)
    chosen = [plan for plan in plans if asked.job in (None, plan.label)]
    sources = [source.label for plan in chosen for source in plan.sources]
    if asked.source is not None and asked.source not in sources:
        where = f"the job {asked.job!r} has no source" if asked.job else "there is no source"
        raise NotFoundError(f"{where} {asked.source!r}{nearest(asked.source, sources)}")
    return chosen, [asked.source] if asked.source else None


def begun(call: "Call | Handed") -> list[str]:
    """The ids of what has begun; an error when everything has ended without a record."""
    ids = call.ids(_BEGIN_WITHIN)
    if ids or not call.ended():
        return ids
    result = call.result()
    if result.errors and result.errors[0].permanent:  # it is not as it would have to be
        raise HTTPException(409, result.errors[0].sentence)
    if result.errors:
        raise result.errors[0]
    if result.busy:
        raise BusyError(f"already running: {', '.join(result.busy)}; wait for it to end")
    raise HTTPException(503, "the daemon is about to end and starts nothing more")


def _cursor(backup: Backup) -> str:
    return base64.urlsafe_b64encode(f"{backup.created_at.isoformat()} {backup.id}".encode()).decode()


def _position(cursor: str) -> tuple[datetime, str]:
    """Where a page begins. Raises HTTPException: 422 for what is no cursor of ours."""
    try:
        time, _, backup_id = base64.urlsafe_b64decode(cursor).decode().partition(" ")
        return datetime.fromisoformat(time).astimezone(UTC), backup_id
    except (binascii.Error, ValueError, OverflowError) as error:
        raise HTTPException(422, "cursor: write the `Cursor` of the page before") from error
