"""Who works on other hosts and on what, and which queues have work that nobody takes."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response

from backupman.api.keys import Served
from backupman.dashboard.doors import PageRoute, Reader
from backupman.dashboard.headline import Sentence
from backupman.dashboard.pages import render
from backupman.engine.workers import NO_FLEET, Fleet, WorkerState, fleet, has_fleet, state_of
from backupman.text import listed

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_SHOWN = 40
"""Workers of a page, and queues: those that somebody should look at stand first where there are more."""
_NAMED = 5


@router.get("/workers")
def workers(
    daemon: Served, visit: Reader, request: Request, page: Annotated[int, Query(ge=1, le=10_000)] = 1
) -> Response:
    """The workers on record, and the queues in which something waits."""
    app = daemon.app
    if not has_fleet(app.config):
        raise HTTPException(404, NO_FLEET)
    found = fleet(app.store, app.config.instance)
    known = found.shown().workers
    ordered = sorted(known, key=lambda each: each.state != WorkerState.LOST) if len(known) > _SHOWN else known
    waiting = sorted((queue for queue in found.queues if queue.waiting), key=lambda each: bool(each.workers))
    return render(
        request,
        "workers",
        visit,
        sentence=sentence(found),
        workers=ordered[(page - 1) * _SHOWN : page * _SHOWN],
        queues=waiting[:_SHOWN],
        more=len(waiting[_SHOWN:]),
        page=page,
        pages=-(-len(known) // _SHOWN),
    )


def sentence(found: Fleet) -> Sentence:
    """How the fleet stands, in a sentence that is true."""
    if waits := waiting_for_nobody(found):
        return waits
    states = [state_of(known) for known in found.workers]
    living, lost = states.count(WorkerState.LIVING), states.count(WorkerState.LOST)
    under_way = sum(len(known.doing) for known in found.workers)
    waiting = sum(queue.waiting for queue in found.queues)
    if not states:
        return Sentence("none", "No worker was ever started")
    if not living:
        return Sentence("warn", "No worker lives", "nothing waits for one")
    more = f"{under_way:,} under way, {waiting:,} waiting"
    if lost:
        names = [known.worker.host for known in found.workers if state_of(known) == WorkerState.LOST]
        more = f"nothing is heard of {_few(names)} any more; {more}"
        return Sentence("warn", f"{living} of {living + lost} workers live{'s' if living == 1 else ''}", more)
    return Sentence("ok", f"All {living} workers live" if living > 1 else "The worker lives", more)


def waiting_for_nobody(found: Fleet) -> Sentence | None:
    """That work waits which no worker takes, if there is such work."""
    names = [queue.label for queue in found.unattended]
    if not names:
        return None
    where = f"the queue {names[0]}" if len(names) == 1 else f"{len(names)} queues"
    return Sentence("bad", f"Work waits in {where}, and no worker takes it", _few(names) if len(names) > 1 else "")


def _few(names: list[str]) -> str:
    more = len(names) - _NAMED
    return listed([*names[:_NAMED], f"{more} more"] if more > 0 else names)
