"""What is under way, as it goes: the API's stream for whoever is signed in."""

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from backupman.api.jobs import changes
from backupman.api.keys import Served
from backupman.dashboard.doors import PageRoute, Reader

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/live")
async def live(daemon: Served, _: Reader, request: Request) -> StreamingResponse:
    """Server-sent events: `began`, `progress` and `ended` of every backup."""
    headers = {"X-Accel-Buffering": "no"}  # a proxy that gathers answers would turn live into late
    return StreamingResponse(changes(daemon, request), media_type="text/event-stream", headers=headers)
