"""The HTTP API: the original program's routes with their bodies, and our own beside them."""

from fastapi import FastAPI

from backupman import __version__
from backupman.api import (
    backups,
    deletions,
    downloads,
    errors,
    ingest,
    jobs,
    notifiers,
    reference,
    restores,
    service,
    verifications,
    workers,
)
from backupman.api.below import Below
from backupman.api.heads import Heads
from backupman.api.limits import Guesses, Rate
from backupman.api.metrics import Metrics
from backupman.daemon import Daemon

_ABOUT = (
    "Keys of `http.api_keys` go into `X-Api-Key`, or into `Authorization: Bearer`. "
    'Whatever is not good is answered by `{"Error": "a sentence"}`.'
)


def create_api(daemon: Daemon) -> FastAPI:
    """The application that serves one daemon."""
    api = FastAPI(
        title="Backupman",
        description=_ABOUT,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={
            "4XX": {"model": errors.Problem, "description": "It was refused, and why."},
            "5XX": {"model": errors.Problem, "description": "It failed, or cannot be done now, and why."},
        },
        generate_unique_id_function=lambda route: route.name,
    )
    api.state.daemon = daemon
    api.state.guesses = Guesses()
    api.state.ingest_rate = Rate()
    api.state.downloads = downloads.Downloads()
    api.state.health_threads = service.health_threads()
    api.state.metrics = Metrics(daemon)
    for module in (
        service,
        backups,
        deletions,
        restores,
        verifications,
        downloads,
        jobs,
        workers,
        notifiers,
        ingest,
        reference,
    ):
        api.include_router(module.router)
    errors.register(api)
    api.add_middleware(Heads)
    api.add_middleware(Below, path=daemon.app.config.http.path())
    return api
