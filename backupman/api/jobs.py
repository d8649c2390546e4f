"""Jobs, events and the live stream."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from queue import Empty
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from backupman.api.documents import EventPage, EventShown, JobPage, JobShown
from backupman.api.errors import refusals
from backupman.api.keys import KEYED, Reader, Served, still_may
from backupman.config.http import Scope
from backupman.daemon import Daemon

router = APIRouter(prefix="/api", tags=["jobs"])

_NEXT_RUNS = 10
_POLL = 0.25
_HEARTBEAT = 15.0
ASK_EVERY = 5.0
"""Seconds after which it is looked whether the reader of a stream may still read."""
_HIGHEST = 2**63 - 1


@router.get("/jobs", responses=KEYED)
def list_jobs(daemon: Served, _: Reader) -> JobPage:
    """Every job with its sources, drives and next runs."""
    return JobPage(
        results=[
            JobShown(
                label=plan.label,
                schedule=plan.schedule_text or None,
                data_sources=[source.label for source in plan.sources],
                drives=[drive.label for drive in plan.drives],
                next_runs=daemon.upcoming(plan, _NEXT_RUNS),
            )
            for plan in daemon.app.plans
        ]
    )


@router.get("/events", responses=KEYED | refusals(422))
def list_events(
    daemon: Served,
    _: Reader,
    after: Annotated[int, Query(ge=0, le=_HIGHEST, description="The `Cursor` of the answer before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 100,
) -> EventPage:
    """Events after a cursor, the oldest first, so that a reader that was away catches up and misses none."""
    events = daemon.app.store.outbox.events_after(after, limit)
    shown = [
        EventShown(
            cursor=event.seq or 0,
            id=event.id,
            event=event.kind,
            time=event.time,
            job=event.job,
            backup_id=event.backup_id,
            payload=event.payload,
        )
        for event in events
    ]
    return EventPage(results=shown, cursor=shown[-1].cursor if shown else after)


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses=KEYED | {200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}}},
)
async def stream(daemon: Served, _: Reader, request: Request) -> StreamingResponse:
    """Server-sent events: `began`, `progress` and `ended` of every backup, and first what is under way now."""
    # A proxy that gathers answers before it passes them on would turn live into late.
    told = changes(daemon, request, lambda: still_may(request, Scope.READ))
    return StreamingResponse(told, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def changes(daemon: Daemon, request: Request, allowed: Callable[[], bool]) -> AsyncIterator[str]:
    """The stream, until the reader goes or is not allowed to read any more, or the daemon ends."""
    queue, leave = daemon.live.subscribe()
    try:
        yield ": welcome\n\n"
        for running in daemon.live.running():
            yield _sent({"Type": "progress"} | running)
        quiet, asked_at = 0.0, time.monotonic()
        while not daemon.stopping and not await request.is_disconnected():
            if time.monotonic() - asked_at >= ASK_EVERY:
                if not await to_thread.run_sync(allowed):
                    return
                asked_at = time.monotonic()
            try:
                yield _sent(queue.get_nowait())
                quiet = 0.0
            except Empty:
                await asyncio.sleep(_POLL)
                quiet += _POLL
                if quiet >= _HEARTBEAT:
                    yield ": still here\n\n"
                    quiet = 0.0
    finally:
        leave()


def _sent(document: dict[str, Any]) -> str:
    return f"event: {document['Type']}\ndata: {json.dumps(document, ensure_ascii=False)}\n\n"
