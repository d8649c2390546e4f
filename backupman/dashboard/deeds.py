"""What can be done with a backup from its page; each a form that goes back to the page."""

from datetime import timedelta

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from backupman.api.backups import cancel_backup, retry_backup, start_backup
from backupman.api.deletions import delete_backup
from backupman.api.downloads import generate_download_url
from backupman.api.keys import Served
from backupman.api.restores import cancel_restore, start_restore
from backupman.api.verifications import start_verification
from backupman.dashboard.backup import PINS, BackupId
from backupman.dashboard.doors import Administrator, Downloader, Form, Operator, PageRoute, Restorer
from backupman.dashboard.pages import address
from backupman.records import now
from backupman.retention import FOR_EVER

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.post("/backups")
def start(daemon: Served, visit: Operator, request: Request, fields: Form) -> Response:
    """Start a job, or one source of it."""
    asked = {key.title(): fields[key] for key in ("job", "source", "comment") if fields.get(key)}
    begun = start_backup(daemon, visit.somebody, asked).ids
    return _to(request, f"/backups/{begun[0]}", "started") if len(begun) == 1 else _to(request, "/", "started")


@router.post("/backups/{backup_id}/retry")
def retry(daemon: Served, visit: Operator, request: Request, backup_id: BackupId, _: Form) -> Response:
    """Go on with a failed backup."""
    begun = retry_backup(daemon, visit.somebody, backup_id).ids
    return _to(request, f"/backups/{begun[0]}", "retried")


@router.post("/backups/{backup_id}/cancel")
def cancel(daemon: Served, visit: Operator, request: Request, backup_id: BackupId, _: Form) -> Response:
    """End a backup that is under way."""
    return _to(request, f"/backups/{cancel_backup(daemon, visit.somebody, backup_id).id}", "cancelled")


@router.post("/backups/{backup_id}/download")
def download(daemon: Served, visit: Downloader, request: Request, backup_id: BackupId, _: Form) -> Response:
    """Go to a link to the object; the id is a backup's or a drive file's."""
    link = generate_download_url(daemon, visit.somebody, backup_id).url
    path, query = link.removeprefix(daemon.app.config.http.url().rstrip("/")).split("?", 1)
    return RedirectResponse(f"{address(request, path)}?{query}", 303)


@router.post("/backups/{backup_id}/verify")
def verify(daemon: Served, visit: Operator, request: Request, backup_id: BackupId, fields: Form) -> Response:
    """Have the copies of a backup verified, at the level that was chosen."""
    asked = {"Level": fields["level"]} if fields.get("level") else {}
    return _to(request, f"/backups/{start_verification(daemon, visit.somebody, backup_id, asked).id}", "verifying")


@router.post("/backups/{backup_id}/restore")
def restore(daemon: Served, visit: Restorer, request: Request, backup_id: BackupId, fields: Form) -> Response:
    """Restore into a new database; over one that is there only the API and the command line do, with its name."""
    name = fields.get("database", "").strip()
    begun = start_restore(daemon, visit.somebody, backup_id, {"ToDatabase": name} if name else {})
    backup = daemon.app.store.restores.get(begun.id).backup_id
    return _to(request, f"/backups/{backup}", "restoring")


@router.post("/restores/{restore_id}/cancel")
def stop_restore(daemon: Served, visit: Restorer, request: Request, restore_id: BackupId, _: Form) -> Response:
    """End a restore that is under way."""
    ended = cancel_restore(daemon, visit.somebody, restore_id)
    return _to(request, f"/backups/{daemon.app.store.restores.get(ended.id).backup_id}", "stopping")


@router.post("/backups/{backup_id}/pin")
def pin(daemon: Served, _visit: Administrator, request: Request, backup_id: BackupId, fields: Form) -> Response:
    """Keep the copies of a backup, whatever the retention says."""
    days = fields.get("days", "")
    until = now() + timedelta(days=int(days)) if days and days in PINS else FOR_EVER
    store = daemon.app.store
    return _to(request, f"/backups/{store.copies.pin(daemon.app.backup(backup_id).id, until).id}", "pinned")


@router.post("/backups/{backup_id}/unpin")
def unpin(daemon: Served, _visit: Administrator, request: Request, backup_id: BackupId, _: Form) -> Response:
    """Let the retention decide again."""
    store = daemon.app.store
    return _to(request, f"/backups/{store.copies.pin(daemon.app.backup(backup_id).id, None).id}", "unpinned")


@router.post("/backups/{backup_id}/delete")
def delete(daemon: Served, visit: Administrator, request: Request, backup_id: BackupId, fields: Form) -> Response:
    """Delete a backup whose id's first letters were typed; the last good one only the API and the command line do."""
    backup = daemon.app.backup(backup_id)
    if fields.get("confirm", "").strip() != backup.id[:8]:
        raise HTTPException(422, f"nothing was deleted: type {backup.id[:8]} if this backup is meant")
    found = delete_backup(daemon, visit.somebody, backup.id, {"Confirm": backup.id})
    return _to(request, f"/backups/{backup.id}", "retained") if found.retained else _to(request, "/backups", "deleted")


def _to(request: Request, path: str, done: str) -> Response:
    return RedirectResponse(address(request, path, done=done), 303)
