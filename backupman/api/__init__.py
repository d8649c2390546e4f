"""The HTTP API: the original program's routes with their bodies, and our own beside them."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from backupman import __version__
from backupman.api import backups, downloads, jobs, service
from backupman.api.keys import Guesses
from backupman.daemon import Daemon
from backupman.errors import BackupmanError, BusyError, NotFoundError, ObjectNotFound

_STATUS: tuple[tuple[type[BackupmanError], int], ...] = (
    (NotFoundError, 404),
    (ObjectNotFound, 404),
    (BusyError, 409),
    (BackupmanError, 500),
)


def create_api(daemon: Daemon) -> FastAPI:
    """The application that serves one daemon."""
    api = FastAPI(title="Backupman", version=__version__, redoc_url=None)
    api.state.daemon, api.state.guesses = daemon, Guesses()
    for module in (service, backups, downloads, jobs):
        api.include_router(module.router)
    api.add_exception_handler(BackupmanError, _failed)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _refused)
    api.add_exception_handler(Exception, _unexpected)
    api.middleware("http")(_no_sniffing)
    return api


def error(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """`{"Error": …}`; a 401 says it in lower case too, as the original's clients expect."""
    body = {"Error": sentence} | ({"error": sentence} if status == 401 else {})
    return JSONResponse(body, status, headers)


def _failed(_: Request, failure: Exception) -> JSONResponse:
    assert isinstance(failure, BackupmanError)  # noqa: S101 - registered for these only
    status = next(status for kind, status in _STATUS if isinstance(failure, kind))
    return error(status, failure.sentence)


def _invalid(_: Request, failure: Exception) -> JSONResponse:
    assert isinstance(failure, RequestValidationError)  # noqa: S101
    fields = [
        f"{'.'.join(str(part) for part in each['loc'][1:]) or 'body'}: {each['msg']}" for each in failure.errors()
    ]
    return error(422, "; ".join(fields))


def _refused(_: Request, failure: Exception) -> JSONResponse:
    assert isinstance(failure, HTTPException)  # noqa: S101
    return error(failure.status_code, str(failure.detail), dict(failure.headers or {}))


def _unexpected(_: Request, failure: Exception) -> JSONResponse:
    return error(500, f"unexpected {type(failure).__name__}; the daemon's log says more")


async def _no_sniffing(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    return response
