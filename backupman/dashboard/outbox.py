"""What has happened, who is told of it, and what they answered; told again on demand."""

import json
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from backupman.api.keys import Served
from backupman.app import endpoints
from backupman.config import wanting
from backupman.dashboard.doors import Administrator, Form, PageRoute, Reader
from backupman.dashboard.pages import address, render, within
from backupman.events import EventKind

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_PAGE = 40
_DELIVERIES = 100
_HIGHEST = 2**63 - 1

Words = Annotated[str, Query(max_length=512)]
Before = Annotated[int | None, Query(ge=0, le=_HIGHEST)]
EventId = Annotated[str, Path(max_length=64)]


@router.get("/deliveries")
def deliveries(
    daemon: Served,
    visit: Reader,
    request: Request,
    state: Literal["", "owed", "delivered", "failed", "dropped"] = "",
    endpoint: Words = "",
    before: Before = None,
) -> Response:
    """The newest deliveries first."""
    found = daemon.app.store.listings.deliveries(state or None, endpoint or None, before, _PAGE + 1)
    return render(
        request,
        "deliveries",
        visit,
        deliveries=found[:_PAGE],
        before=found[_PAGE - 1].id if len(found) > _PAGE else None,
        first=before is None,
        filters={"state": state, "endpoint": endpoint},
        endpoints=list(endpoints(daemon.app.config)),
    )


@router.post("/deliveries/{delivery_id}/retry")
def send_again(
    daemon: Served,
    _visit: Administrator,
    request: Request,
    delivery_id: Annotated[int, Path(ge=0, le=_HIGHEST)],
    fields: Form,
) -> Response:
    """Owe a delivery again, at once."""
    if not daemon.app.store.outbox.owe_again([delivery_id]):
        raise HTTPException(409, f"the delivery {delivery_id} has arrived already, or is not there any more")
    return RedirectResponse(address(request, within(fields.get("back", "")), done="sent"), 303)


@router.get("/events")
def events(
    daemon: Served, visit: Reader, request: Request, kind: EventKind | Literal[""] = "", before: Before = None
) -> Response:
    """The newest events first."""
    found = daemon.app.store.listings.events(kind or None, before, _PAGE + 1)
    return render(
        request,
        "events",
        visit,
        events=found[:_PAGE],
        before=found[_PAGE - 1].seq if len(found) > _PAGE else None,
        first=before is None,
        kind=kind,
        kinds=list(EventKind),
    )


@router.get("/events/{event_id}")
def event_page(daemon: Served, visit: Reader, request: Request, event_id: EventId) -> Response:
    """One event with its payload and its deliveries."""
    event = daemon.app.store.outbox.event(event_id)
    return render(
        request,
        "event",
        visit,
        event=event,
        payload=json.dumps(event.payload, indent=2, ensure_ascii=False),
        deliveries=daemon.app.store.listings.of_event(event.seq or 0, _DELIVERIES),
        wanting=wanting(daemon.app.config, daemon.app.plan(event.job), event.kind),
    )


@router.post("/events/{event_id}/replay")
def replay(daemon: Served, _visit: Administrator, request: Request, event_id: EventId, _: Form) -> Response:
    """Owe an event again to everybody who wants such events."""
    event = daemon.app.store.outbox.event(event_id)
    told = wanting(daemon.app.config, daemon.app.plan(event.job), event.kind)
    if not told:
        raise HTTPException(409, f"nobody in the config wants {event.kind}")
    daemon.app.store.outbox.replay(event.id, told, daemon.app.config.instance)
    return RedirectResponse(address(request, f"/events/{event.id}", done="replayed"), 303)
