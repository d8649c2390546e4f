"""The workers of a fleet, and the queues that they take from."""

from fastapi import APIRouter, HTTPException

from backupman.api.errors import refusals
from backupman.api.keys import KEYED, Reader, Served
from backupman.engine.workers import NO_FLEET, WorkersShown, fleet, has_fleet

router = APIRouter(prefix="/api", tags=["workers"])


@router.get("/workers", responses=KEYED | refusals(404))
def list_workers(daemon: Served, _: Reader) -> WorkersShown:
    """Every worker with what it does, and every queue with what waits in it; 404 where no work is handed to workers."""
    app = daemon.app
    if not has_fleet(app.config):
        raise HTTPException(404, NO_FLEET)
    return fleet(app.store, app.config.instance).shown()
