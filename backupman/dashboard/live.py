"""What is under way, as it goes: the API's stream for whoever is signed in."""

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from backupman.api.jobs import changes
from backupman.api.keys import Served
from backupman.config.http import Scope
from backupman.dashboard.doors import PageRoute, Reader, visit_of
from backupman.errors import StoreError

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/live")
async def live(daemon: Served, _: Reader, request: Request) -> StreamingResponse:
    """Server-sent events: `began`, `progress` and `ended` of every backup."""
    headers = {"X-Accel-Buffering": "no"}  # a proxy that gathers answers would turn live into late
    told = changes(daemon, request, lambda: _is_let_in(request))
    return StreamingResponse(told, media_type="text/event-stream", headers=headers)


def _is_let_in(request: Request) -> bool:
    """Whether the visit goes on: nobody has signed out, nor taken its key out of the config."""
    try:
        visit = visit_of(request)
    except StoreError:
        return False
    return visit is not None and visit.may(Scope.READ)
