"""The jobs of the config: when they run next, what came of their last runs, and a button to run them now."""

from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backupman.api.keys import Served
from backupman.dashboard.doors import PageRoute, Reader
from backupman.dashboard.pages import render

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_NEXT = 10
_LAST = 10


@router.get("/jobs")
def jobs(daemon: Served, visit: Reader, request: Request) -> Response:
    """Every job."""
    instance, store = daemon.app.config.instance, daemon.app.store.jobs
    upcoming: dict[str, list[datetime]] = {plan.label: daemon.upcoming(plan, _NEXT) for plan in daemon.app.plans}
    runs = {plan.label: store.runs(instance, plan.label, _LAST) for plan in daemon.app.plans}
    retention = {
        plan.label: {drive.label: plan.retention_on(drive) for drive in plan.drives} for plan in daemon.app.plans
    }
    return render(request, "jobs", visit, plans=daemon.app.plans, upcoming=upcoming, runs=runs, retention=retention)
