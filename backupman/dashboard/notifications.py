"""What people should know, our own alarms and what other machines told, by type, severity and device."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response

from backupman.api.keys import Served
from backupman.dashboard.doors import PageRoute, Reader
from backupman.dashboard.pages import render

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_PAGE = 50
_SEVERITIES = ("info", "warning", "error", "critical")

Words = Annotated[str, Query(max_length=512)]


@router.get("/notifications")
def notifications(
    daemon: Served,
    visit: Reader,
    request: Request,
    kind: Annotated[Words, Query(alias="type")] = "",
    severity: Literal["", "info", "warning", "error", "critical"] = "",
    device: Words = "",
    before: Words = "",
) -> Response:
    """The newest first."""
    filters = {"type": kind, "severity": severity, "device": device}
    wanted = {name: value or None for name, value in filters.items()}
    found = daemon.app.store.listings.notifications(wanted, _place(before) if before else None, _PAGE + 1)
    last = found[_PAGE - 1] if len(found) > _PAGE else None
    return render(
        request,
        "notifications",
        visit,
        notifications=found[:_PAGE],
        before=f"{last.time.isoformat()} {last.id}" if last else None,
        first=not before,
        filters=filters,
        severities=_SEVERITIES,
    )


def _place(before: str) -> tuple[datetime, str]:
    """Where a page begins. Raises HTTPException: 422 for what is no place of ours."""
    time, _, name = before.partition(" ")
    try:
        return datetime.fromisoformat(time).astimezone(UTC), name
    except (ValueError, OverflowError) as error:
        raise HTTPException(422, "before: follow the link of the page before") from error
