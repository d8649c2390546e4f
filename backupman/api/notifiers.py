"""Notifiers over HTTP: a test of them."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from backupman.api.bodies import body_of, document, parsed
from backupman.api.documents import TestedPage, TestRequest, TrialShown
from backupman.api.errors import refusals
from backupman.api.keys import KEYED, Administrator, Served
from backupman.api.names import must_be_known
from backupman.engine.samples import names, recipients, tell

router = APIRouter(prefix="/api/notifiers", tags=["notifiers"])

_LONGEST = 60.0
"""Seconds that one endpoint may take."""


@router.post(
    "/test", openapi_extra=body_of(TestRequest, required=False), responses=KEYED | refusals(400, 404, 408, 413, 422)
)
def test_notifiers(daemon: Served, _: Administrator, body: Annotated[Any, Depends(document)]) -> TestedPage:
    """Send a marked sample to endpoints, once, and answer what each said; 200 also when some did not take it."""
    asked = parsed(TestRequest, {} if body is None else body)
    config = daemon.app.config
    must_be_known("notifier", asked.notifiers, names(config))
    chosen = recipients(config, asked.notifiers)
    if asked.event and not asked.notifiers:
        chosen = [each for each in chosen if asked.event in each.endpoint.events]
    trials = asyncio.run(tell(chosen, asked.event, _LONGEST))
    return TestedPage(
        delivered=all(trial.delivered for trial in trials), results=[TrialShown.of(trial) for trial in trials]
    )
