"""The first page: one true sentence, what is under way, and a line for everything that is backed up."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backupman.api.keys import Served
from backupman.daemon import Daemon
from backupman.dashboard.doors import PageRoute, Reader
from backupman.dashboard.figures import strip, trend
from backupman.dashboard.headline import Sentence, sentence
from backupman.dashboard.pages import render
from backupman.dashboard.standing import Row, groups, rows
from backupman.dashboard.workers import waiting_for_nobody
from backupman.engine.workers import fleet, has_fleet
from backupman.records import now

router = APIRouter(route_class=PageRoute, include_in_schema=False)

SHOWN = 20
"""Lines of a page, so that it stays small: the alarming ones stand first where there are more."""


@router.get("/")
def overview(
    daemon: Served, visit: Reader, request: Request, page: Annotated[int, Query(ge=1, le=10_000)] = 1
) -> Response:
    """How everything stands."""
    found = rows(daemon, request.app.state.series)
    ordered = sorted(found, key=lambda row: not row.alarming) if len(found) > SHOWN else found
    shown = ordered[(page - 1) * SHOWN : page * SHOWN]
    return render(
        request,
        "overview",
        visit,
        sentence=_sentence(daemon, found),
        groups=groups(shown, daemon.app.config.instance),
        running=_running(daemon),  # behind the lines: what has just ended is on neither rather than on both
        strip=strip,
        trend=trend,
        page=page,
        pages=-(-len(found) // SHOWN),
        sources=len(daemon.app.config.data_sources),
    )


def _sentence(daemon: Daemon, found: Sequence[Row]) -> Sentence:
    """How everything stands, work that waits for nobody too."""
    app, said = daemon.app, sentence(found, now())
    waits = waiting_for_nobody(fleet(app.store, app.config.instance)) if has_fleet(app.config) else None
    if not waits:
        return said
    return replace(said, also=waits.text) if said.tone == waits.tone else replace(waits, also=said.text)


def _running(daemon: Daemon) -> list[dict[str, Any]]:
    """What is under way, without what is settled on record a moment before its end is told."""
    running = daemon.live.running()
    pending = {backup.id for backup in daemon.app.store.backups.pending(daemon.app.config.instance)} if running else ()
    return [now for now in running if now["Id"] in pending]
