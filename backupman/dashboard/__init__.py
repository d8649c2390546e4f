"""The dashboard: pages for people, served beside the API from the same daemon, by the same keys and scopes."""

from fastapi import FastAPI

from backupman.api.secret import Secret
from backupman.dashboard import (
    backup,
    deeds,
    history,
    live,
    notifications,
    notifiers,
    outbox,
    overview,
    pages,
    plans,
    settings,
    signing_in,
    storage,
    workers,
)
from backupman.dashboard.series import KnownSeries
from backupman.dashboard.sessions import Sessions
from backupman.dashboard.storage import Holdings


def add_dashboard(api: FastAPI) -> FastAPI:
    """Serve the dashboard beside the API; `http.dashboard: false` turns it off, also at a reload of the config."""
    api.state.sessions = Sessions(Secret(api.state.daemon.app.config.state_folder))
    api.state.series = KnownSeries(api.state.daemon)
    api.state.holdings = Holdings()
    api.include_router(pages.static)
    for page in (
        signing_in,
        overview,
        history,
        backup,
        deeds,
        live,
        plans,
        storage,
        workers,
        outbox,
        notifications,
        notifiers,
        settings,
    ):
        api.include_router(page.router)
    return api
