"""The dashboard: pages for people, served beside the API from the same daemon, by the same keys and scopes."""

from fastapi import FastAPI

from backupman.api.secret import Secret
from backupman.dashboard import overview, pages, signing_in
from backupman.dashboard.sessions import Sessions


def add_dashboard(api: FastAPI) -> FastAPI:
    """Serve the dashboard beside the API; `http.dashboard: false` turns it off, also at a reload of the config."""
    api.state.sessions = Sessions(Secret(api.state.daemon.app.config.state_folder))
    for router in (pages.static, signing_in.router, overview.router):
        api.include_router(router)
    return api
