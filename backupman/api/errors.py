"""What the API answers when something is wrong: `{"Error": "a sentence"}` with the right status, and never a trace."""

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException as RoutingException
from starlette.routing import Match

from backupman.api.heads import method_of
from backupman.errors import (
    BackupmanError,
    BusyError,
    ConfigError,
    DriveError,
    NotFoundError,
    ObjectNotFound,
    StoreError,
)
from backupman.events import View

_STATUS: tuple[tuple[type[BackupmanError], int], ...] = (
    (NotFoundError, 404),
    (ObjectNotFound, 404),
    (BusyError, 409),
    (ConfigError, 422),
    (DriveError, 502),
    (StoreError, 503),
    (BackupmanError, 500),
)
_MEANINGS = {
    "missing": "is required",
    "string_type": "should be text",
    "extra_forbidden": "is not known",
    "string_too_short": "should not be empty",
    "string_too_long": "is longer than {max_length} characters",
    "model_attributes_type": "should be an object",
    "model_type": "should be an object",
}
_ROUTING = {
    404: "there is nothing at this address; /docs lists what there is",
    405: "this address does not take the method {method}; /docs lists what there is",
}
_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")

_REFUSALS = {
    400: "The body is no JSON, or nested too deep.",
    401: "There is no key, or a wrong one.",
    403: "The key lacks the scope.",
    404: "There is no such thing.",
    408: "The body did not come within 30 seconds.",
    409: "It is running already, or is not as it would have to be.",
    412: "The object is not one that `If-Match` names.",
    413: "The body is larger than 64 KiB.",
    416: "Nothing of the object lies in the range.",
    422: "A field or a parameter is wrong; each of them is named.",
    429: "Too often; `Retry-After` says after how many seconds to try again.",
    502: "The drive cannot be used.",
}


class Problem(View):
    """The body of every answer that is not good; a 401 has `error` as well, as clients of the original expect."""

    error: str = Field(description="What is wrong and what to do, in one sentence.")


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI says of the ways in which a route refuses."""
    return {status: {"model": Problem, "description": _REFUSALS[status]} for status in statuses}


def status_of(failure: BackupmanError) -> int:
    """The status that an error is answered with."""
    return next(status for kind, status in _STATUS if isinstance(failure, kind))


def error(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer with that sentence."""
    body = {"Error": sentence} | ({"error": sentence} if status == 401 else {})
    return JSONResponse(body, status, headers)


def invalid(failure: ValidationError | RequestValidationError, *, skip: int = 0) -> HTTPException:
    """What to raise for wrong fields: 422, with each of them named; `skip` leaves out the start of their places."""
    return HTTPException(422, "; ".join(_told(each, skip) for each in failure.errors()))


def register(api: FastAPI) -> None:
    """Let an application answer in this way, whatever happens in it."""
    api.add_exception_handler(BackupmanError, _failed)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(RoutingException, _refused)
    api.add_exception_handler(Exception, _unexpected)


async def _failed(_: Request, failure: Exception) -> JSONResponse:
    assert isinstance(failure, BackupmanError)  # noqa: S101 - registered for these only
    return error(status_of(failure), failure.sentence)


async def _invalid(_: Request, failure: Exception) -> JSONResponse:
    assert isinstance(failure, RequestValidationError)  # noqa: S101 - registered for these only
    return error(422, invalid(failure, skip=1).detail)


async def _refused(request: Request, failure: Exception) -> JSONResponse:
    assert isinstance(failure, RoutingException)  # noqa: S101 - registered for these only
    sentence, headers = str(failure.detail), dict(failure.headers or {})
    if not isinstance(failure, HTTPException):  # the router's own, whose words are those of the status
        sentence = _ROUTING.get(failure.status_code, sentence).format(method=method_of(request))
        if failure.status_code == 405:  # it knows those of one route
            headers["Allow"] = ", ".join(_taken(request))
    return error(failure.status_code, sentence, headers)


def _taken(request: Request) -> list[str]:
    """The methods that the address takes, by whichever route."""
    routes = request.app.routes
    taken = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] == Match.FULL for route in routes)
    ]
    return sorted([*taken, "HEAD"] if "GET" in taken else taken)


async def _unexpected(_: Request, failure: Exception) -> JSONResponse:
    return error(500, f"unexpected {type(failure).__name__}; the daemon's log says more")


def _told(detail: ErrorDetails, skip: int) -> str:
    place = ".".join(str(part) for part in detail["loc"][skip:]) or "the body"
    reason = str(detail["msg"]).removeprefix("Value error, ")
    meaning = _MEANINGS.get(detail["type"])
    if meaning is None:
        return f"{place}: {reason[:1].lower()}{reason[1:]}"
    return f"{place} {meaning.format(**detail.get('ctx', {}))}"
