"""Jobs, events and the live stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from queue import Empty
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from backupman.api.keys import Reader, Served
from backupman.events import iso

router = APIRouter(prefix="/api", tags=["jobs"])

_NEXT_RUNS = 10
_POLL = 0.25
_HEARTBEAT = 15.0


@router.get("/jobs")
def list_jobs(daemon: Served, _: Reader) -> dict[str, Any]:
    """Every job with its sources, drives and next runs (UTC)."""
    return {
        "Results": [
            {
                "Label": plan.label,
                "Schedule": plan.schedule_text or None,
                "DataSources": [source.label for source in plan.sources],
                "Drives": [drive.label for drive in plan.drives],
                "NextRuns": [iso(due) for due in daemon.upcoming(plan, _NEXT_RUNS)],
            }
            for plan in daemon.app.plans
        ]
    }


@router.get("/events")
def list_events(
    daemon: Served, _: Reader, after: int = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> dict[str, Any]:
    """Events after a cursor, the oldest first, so that a reader that was away catches up; `Cursor` is the next one."""
    events = daemon.app.store.outbox.events_after(after, limit)
    return {
        "Results": [
            {
                "Cursor": event.seq,
                "Id": event.id,
                "Event": event.kind,
                "Time": iso(event.time),
                "Job": event.job,
                "Payload": event.payload,
            }
            for event in events
        ],
        "Cursor": events[-1].seq if events else after,
    }


@router.get("/stream")
async def stream(daemon: Served, _: Reader, request: Request) -> StreamingResponse:
    """Server-sent events: `began`, `progress` and `ended` of every backup, and first what is under way now."""
    return StreamingResponse(_live(daemon, request), media_type="text/event-stream")


async def _live(daemon: Served, request: Request) -> AsyncIterator[str]:
    queue, leave = daemon.live.subscribe()
    try:
        for running in daemon.live.running():
            yield _sent({"Type": "progress"} | running)
        quiet = 0.0
        while not await request.is_disconnected() and not daemon.stopping:
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
