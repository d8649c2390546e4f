"""Who is told of what, how that has gone, and a test of each."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backupman.api.documents import TestedPage
from backupman.api.keys import Served
from backupman.api.notifiers import test_notifiers
from backupman.daemon import Daemon
from backupman.dashboard.doors import Administrator, Form, PageRoute, Reader
from backupman.dashboard.pages import render
from backupman.dashboard.sessions import Visit
from backupman.records import DeliveryState

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/notifiers")
def notifiers(daemon: Served, visit: Reader, request: Request) -> Response:
    """Every endpoint of the config."""
    return _page(daemon, visit, request)


@router.post("/notifiers/test")
def test(daemon: Served, visit: Administrator, request: Request, fields: Form) -> Response:
    """Send a marked sample to one endpoint, and show what it said."""
    return _page(
        daemon, visit, request, test_notifiers(daemon, visit.somebody, {"Notifiers": [fields.get("name", "")]})
    )


def _page(daemon: Daemon, visit: Visit, request: Request, tested: TestedPage | None = None) -> Response:
    config, reached = daemon.app.config, daemon.app.store.reached
    jobs: dict[str, list[str]] = {}
    for plan in daemon.app.plans:
        for endpoint in plan.endpoints:
            jobs.setdefault(endpoint.name, []).append(plan.label)
    return render(
        request,
        "notifiers",
        visit,
        endpoints=[endpoint for block in config.all_notifiers() for endpoint in block.endpoints()],
        jobs=jobs,
        owed=reached.deliveries(config.instance, DeliveryState.OWED),
        failed=reached.deliveries(config.instance, DeliveryState.FAILED),
        tested=tested,
    )
