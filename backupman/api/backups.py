"""Backups over HTTP: listed, shown, started, retried, cancelled."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Query
from pydantic import Field

from backupman.api.keys import Operator, Reader, Served
from backupman.config.plans import JobPlan
from backupman.daemon import Daemon
from backupman.engine.runner import Order
from backupman.errors import BusyError, NotFoundError
from backupman.events import BackupExtended, View
from backupman.records import Kind, Status
from backupman.registry import nearest
from backupman.store.backups import BackupFilter

router = APIRouter(prefix="/api/backups", tags=["backups"])

_BEGIN_WITHIN = 30.0


class StartRequest(View):
    """What to back up; everything when it is empty."""

    job: str | None = None
    source: str | None = None
    comment: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)


@router.get("")
def list_backups(
    daemon: Served,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
    status: Status | None = None,
    label: str | None = None,
    job: str | None = None,
    source: str | None = None,
    database: str | None = None,
    since: datetime | None = None,
    kind: str = Kind.OWN,
) -> dict[str, Any]:
    """The newest backups first; `Cursor` asks for the page after. `kind` is `own`, `ingested` or `all`."""
    if since is not None and since.tzinfo is None:
        raise HTTPException(422, "since: write a UTC offset or Z")
    wanted = BackupFilter(
        status=status,
        label=label,
        job=job,
        source=source,
        database=database,
        since=since,
        after=cursor,
        kind=None if kind == "all" else kind,
    )
    found = daemon.app.store.backups.list(wanted, limit)
    more = {"Cursor": found[-1].id} if len(found) == limit else {}
    return {"Results": [BackupExtended.of(backup).document() for backup in found]} | more


@router.post("")
def start_backup(daemon: Served, caller: Operator, request: Annotated[StartRequest | None, Body()] = None) -> Any:
    """Start a backup of everything, of a job, or of a source; the ids of the records that were begun."""
    asked = request or StartRequest()
    plans, sources = _chosen(daemon, asked)
    order = Order(trigger="api", operator=caller.name, comment=asked.comment, tags=asked.tags)
    call = daemon.app.executor.start(plans, sources, order, wait=False)
    ids = call.ids(_BEGIN_WITHIN)
    if not ids and call.ended():
        result = call.result()
        if result.errors:
            raise result.errors[0]
        raise BusyError(f"already running: {', '.join(result.busy)}; wait for it to end")
    return {"Message": "Backup started", "Ids": ids}


@router.get("/{backup_id}")
def show_backup(daemon: Served, _: Reader, backup_id: str) -> dict[str, Any]:
    """One backup with everything that is known of it; `Live` while it is under way here."""
    backup = daemon.app.store.backups.get(backup_id)
    live = next((live for live in daemon.live.running() if live["Id"] == backup.id), None)
    return BackupExtended.of(backup).document() | ({"Live": live} if live else {})


@router.post("/{backup_id}/retry")
def retry_backup(daemon: Served, _: Operator, backup_id: str) -> dict[str, Any]:
    """Go on from the failed drives, or make a failed dump anew."""
    backup = daemon.app.store.backups.get(backup_id)
    if backup.status != Status.FAILED:
        raise BusyError(f"{backup.label}: the backup is {backup.status}; only a failed one is retried")
    call = daemon.app.executor.start_retry(daemon.app.plans, [backup], wait=False)
    return {"Message": "Retry started", "Ids": call.ids(_BEGIN_WITHIN) or [backup.id]}


@router.post("/{backup_id}/cancel")
def cancel_backup(daemon: Served, caller: Operator, backup_id: str) -> dict[str, Any]:
    """End a backup that is under way; its record becomes failed."""
    backup = daemon.app.store.backups.get(backup_id)
    if not daemon.app.executor.cancel(backup.id, f"{backup.label}: cancelled by {caller.name}"):
        raise BusyError(f"{backup.label}: the backup is not under way here")
    return {"Message": "Backup cancelled", "Id": backup.id}


def _chosen(daemon: Daemon, asked: StartRequest) -> tuple[list[JobPlan], list[str] | None]:
    """The plans and sources that were asked for; an unknown name is 404 with the nearest one."""
    plans = daemon.app.plans
    jobs = [plan.label for plan in plans]
    if asked.job is not None and asked.job not in jobs:
        raise NotFoundError(f"there is no job {asked.job!r}{nearest(asked.job, jobs)}")
    chosen = [plan for plan in plans if asked.job in (None, plan.label)]
    sources = [source.label for plan in chosen for source in plan.sources]
    if asked.source is not None and asked.source not in sources:
        raise NotFoundError(f"there is no source {asked.source!r}{nearest(asked.source, sources)}")
    return chosen, [asked.source] if asked.source else None
