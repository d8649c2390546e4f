"""How the service itself is: ping, health, liveness, readiness and metrics."""

import logging
from datetime import timedelta
from typing import Any

import anyio
from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from backupman.api.documents import Alive, HealthShown, Ready
from backupman.api.errors import refusals
from backupman.api.keys import KEYED, Reader, Served, caller_of
from backupman.api.metrics import CONTENT_TYPE, Metrics
from backupman.config.http import Scope
from backupman.daemon import Daemon
from backupman.engine import reaching
from backupman.errors import StoreError
from backupman.records import now

log = logging.getLogger(__name__)

router = APIRouter(tags=["service"])

_CHECK_WITHIN = timedelta(seconds=10)
_NO_RECORDS = "the records cannot be used, and the log says why"
_NO_FILES = "the state folder was removed, moved or replaced, and the daemon ends; the log says what to do"
_WAITING = 4
"""Threads for those who wait for the very first checks; everybody else is answered at once."""


@router.get("/ping")
async def ping() -> dict[str, str]:
    """That somebody answers."""
    return {"message": "pong"}


@router.get(
    "/health",
    response_model=HealthShown,
    responses=refusals(429) | {503: {"model": HealthShown, "description": "Something is DOWN."}},
)
async def health(daemon: Served, request: Request) -> JSONResponse:
    """Whether store, drives and sources can be reached: 200 when UP, 503 when DOWN; details only with a key."""
    caller = caller_of(request)
    found = await to_thread.run_sync(daemon.health, _CHECK_WITHIN, limiter=request.app.state.health_threads)
    document: dict[str, Any] = found.document()
    if caller is None or not caller.may(Scope.READ):
        del document["Details"]
    else:
        document["Details"]["Messages"] = await to_thread.run_sync(_messages, daemon)
    return JSONResponse(document, 200 if found.status == "UP" else 503)


def _messages(daemon: Daemon) -> dict[str, Any] | None:
    try:
        return reaching.document(reaching.reached(daemon.app.config, daemon.app.store, now()))
    except StoreError:  # which the status says
        return None


def health_threads() -> anyio.CapacityLimiter:
    """Threads of health's own: whatever the checks hang on, other requests are answered."""
    return anyio.CapacityLimiter(_WAITING)


@router.get("/livez")
async def livez() -> Alive:
    """That the process lives; asks no drive, so that nobody restarts a running backup for one that is away."""
    return Alive(status="UP")


@router.get("/readyz", response_model=Ready, responses={503: {"model": Ready, "description": "It is not so."}})
def readyz(daemon: Served, response: Response) -> Ready:
    """That the store can be used, every deadline holds, no alarm drill failed, and no queue is unattended; else 503."""
    broken, reason = _not_so(daemon)
    response.status_code = 503 if reason else 200
    return Ready(status="DOWN" if reason else "UP", incidents=broken, reason=reason)


def _not_so(daemon: Daemon) -> tuple[int | None, str | None]:
    """How many incidents are open, and why it is not ready; nobody is told without a key where the records are."""
    if daemon.own_files.displaced():
        return None, _NO_FILES
    try:
        broken = len(daemon.app.store.jobs.open_incidents(daemon.app.config.instance))
    except StoreError as error:
        log.warning("not ready: %s", error.sentence)
        return None, _NO_RECORDS
    if daemon.scheduler.waits.reason:  # whoever waits has logged it
        return None, _NO_RECORDS
    return broken, f"incidents are open: {broken}; `backupman doctor` and the log name them" if broken else None


@router.get(
    "/metrics",
    response_class=Response,
    responses=KEYED | {200: {"description": "Prometheus' text format.", "content": {"text/plain": {}}}},
)
def metrics(_: Reader, request: Request) -> Response:
    """Prometheus' text format."""
    known: Metrics = request.app.state.metrics
    return Response(known.exposition(), media_type=CONTENT_TYPE)
