"""Every backup there is, the newest first, narrowed down by what stands in the address, in pages of any depth."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from backupman.api.backups import list_backups
from backupman.api.keys import Served
from backupman.daemon import Daemon
from backupman.dashboard.doors import PageRoute, Reader
from backupman.dashboard.pages import address, render
from backupman.dashboard.series import KnownSeries
from backupman.errors import NotFoundError
from backupman.records import Kind, Status, now
from backupman.store.statistics import Series

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_PAGE = 50
_FITTING = 12
"""Series that a search names."""
_ID = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")
_SPANS = {"1": "a day", "7": "7 days", "30": "30 days", "365": "a year"}

Words = Annotated[str, Query(max_length=512)]


@router.get("/backups")
def history(
    daemon: Served,
    visit: Reader,
    request: Request,
    q: Words = "",
    status: Literal["", "pending", "finished", "failed"] = "",
    source: Words = "",
    database: Words = "",
    job: Words = "",
    device: Words = "",
    days: Literal["", "1", "7", "30", "365"] = "",
    kind: Literal["all", "own", "ingested"] = "all",
    cursor: Words = "",
) -> Response:
    """The list; `q` is the beginning of an id, or a part of the name of what is backed up."""
    fitting: list[Series] = []
    if q:
        if _ID.fullmatch(q.lower()) and (found := _by_id(daemon, q)):
            return RedirectResponse(address(request, f"/backups/{found}"), 303)
        fitting = _fitting(request.app.state.series, q)
        if len(fitting) == 1:
            source, database, kind = fitting[0].source, fitting[0].database, fitting[0].kind.value
    filters = {"status": status, "source": source, "database": database, "job": job, "device": device, "days": days}
    page = list_backups(
        daemon,
        visit.somebody,
        limit=_PAGE,
        cursor=cursor or None,
        status=Status(status) if status else None,
        job=job or None,
        source=source or None,
        database=database or None,
        device=device or None,
        since=_since(days),
        kind=kind,
    )
    return render(
        request,
        "history",
        visit,
        backups=page.results if not q or len(fitting) == 1 else [],
        cursor=page.cursor,
        first=not cursor,
        q=q,
        fitting=fitting if len(fitting) > 1 else [],
        more=len(fitting) > _FITTING,
        filters=filters | {"kind": kind},
        narrowed=any(filters.values()) or kind != "all" or bool(q),
        jobs=[plan.label for plan in daemon.app.plans],
        spans=_SPANS,
    )


def _since(days: str) -> datetime | None:
    return now() - timedelta(days=int(days)) if days else None


def _by_id(daemon: Daemon, words: str) -> str | None:
    try:
        return daemon.app.backup(words).id
    except NotFoundError:
        return None


def _fitting(known: KnownSeries, words: str) -> list[Series]:
    """The series whose name has these words in it."""
    low = words.strip().lower()
    found = {
        Series(each.source, each.database, each.sender if each.kind == Kind.INGESTED else None)
        for each in known.own() | known.ingested()
        if low in f"{each.source}/{each.database}".lower()
    }
    return sorted(found, key=lambda each: (each.source, each.database))[: _FITTING + 1]
