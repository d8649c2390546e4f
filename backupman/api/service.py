"""How the service itself is: ping, health, liveness, readiness and metrics."""

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from backupman.api.keys import Reader, Served, caller_of
from backupman.api.metrics import exposition
from backupman.config.http import Scope

router = APIRouter(tags=["service"])

_CHECK_WITHIN = timedelta(seconds=10)


@router.get("/ping")
def ping() -> dict[str, str]:
    """That somebody answers."""
    return {"message": "pong"}


@router.get("/health")
def health(daemon: Served, request: Request) -> JSONResponse:
    """Whether store, drives and sources can be reached: 200 when UP, 503 when DOWN; details only with a key."""
    found = daemon.health(_CHECK_WITHIN)
    document = found.document()
    caller = caller_of(request)
    if caller is None or not caller.may(Scope.READ):
        document = {key: value for key, value in document.items() if key != "Details"}
    return JSONResponse(document, 200 if found.status == "UP" else 503)


@router.get("/livez")
def livez() -> dict[str, str]:
    """That the process lives; says nothing of drives, so that no one restarts a running backup for them."""
    return {"Status": "UP"}


@router.get("/readyz")
def readyz(daemon: Served) -> JSONResponse:
    """That the store can be used and no deadline is broken; 503 otherwise."""
    daemon.app.store.check()
    broken = daemon.app.store.jobs.open_incidents()
    body: dict[str, Any] = {"Status": "DOWN" if broken else "UP", "Incidents": len(broken)}
    return JSONResponse(body, 503 if broken else 200)


@router.get("/metrics")
def metrics(daemon: Served, _: Reader) -> Response:
    """Prometheus' text format."""
    body, content_type = exposition(daemon)
    return Response(body, media_type=content_type)
