"""Who is let in to a page, and which forms are taken; whoever is not signed in is sent to do so."""

from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException as RoutingException

from backupman.api.bodies import content
from backupman.api.errors import invalid, status_of
from backupman.api.keys import daemon_of
from backupman.config.http import Scope
from backupman.dashboard.pages import address, refuse
from backupman.dashboard.sessions import LIFETIME, Sessions, Visit
from backupman.errors import BackupmanError

COOKIE = "backupman"


class SignInFirst(Exception):
    """Nobody is signed in."""


class PageRoute(APIRoute):
    """A route whose answers are pages, also when something is wrong."""

    def get_route_handler(self) -> Any:
        """The handler of the route."""
        answered = super().get_route_handler()

        async def handler(request: Request) -> Response:
            if not daemon_of(request).app.config.http.dashboard:
                raise RoutingException(404)
            try:
                answer: Response = await answered(request)
            except SignInFirst:
                asked = request.url.path if request.method == "GET" else ""
                asked = asked.removeprefix(request.scope.get("root_path", ""))
                query = urlencode({"next": f"{asked}?{request.url.query}".rstrip("?")}) if len(asked) > 1 else ""
                return RedirectResponse(f"{address(request, '/sign-in')}?{query}".rstrip("?"), 303)
            except BackupmanError as error:
                return refuse(request, visit_of(request), status_of(error), error.sentence)
            except RequestValidationError as error:
                return refuse(request, visit_of(request), 422, invalid(error, skip=1).detail)
            except HTTPException as error:
                return refuse(
                    request, visit_of(request), error.status_code, str(error.detail), dict(error.headers or {})
                )
            return answer

        return handler


def sessions_of(request: Request) -> Sessions:
    """The visits of this installation."""
    sessions: Sessions = request.app.state.sessions
    return sessions


def visit_of(request: Request) -> Visit | None:
    """The visit of the request's cookie, if it has a good one. Raises StoreError."""
    cookie = request.cookies.get(COOKIE)
    return sessions_of(request).read(cookie, daemon_of(request).app.config.http.api_keys) if cookie else None


def keep(request: Request, answer: Response, cookie: str) -> None:
    """Send a visit's cookie, which no script can read and no other site's page can use."""
    answer.set_cookie(
        COOKIE,
        cookie,
        LIFETIME,
        path=address(request, "/"),
        secure=_over_tls(request),
        httponly=True,
        samesite="strict",
    )


def forget(request: Request, answer: Response) -> None:
    """Take the cookie back."""
    answer.delete_cookie(
        COOKIE, path=address(request, "/"), secure=_over_tls(request), httponly=True, samesite="strict"
    )


def _over_tls(request: Request) -> bool:
    """Whether the browser uses TLS, as far as we are told; of a proxy that says nothing `app_url` tells it."""
    app_url = daemon_of(request).app.config.http.url()
    host = request.headers.get("Host", "")
    return request.url.scheme == "https" or (app_url.startswith("https://") and app_url[8:].split("/")[0] == host)


def require(scope: Scope) -> Any:
    """A dependency: the visit of somebody whose key has the scope.

    Raises:
        SignInFirst: nobody is signed in.
        HTTPException: 403, the scope is missing.
    """

    def check(request: Request) -> Visit:
        visit = visit_of(request)
        if visit is None or visit.caller is None:
            raise SignInFirst
        if not visit.may(scope):
            raise HTTPException(403, f"the key {visit.caller.name!r} lacks the scope {scope.value!r}")
        return visit

    return Depends(check)


Fields = dict[str, str]


async def form(request: Request) -> Fields:
    """The fields of a form of ours.

    Raises:
        HTTPException: 403 when it is none of this visit's, 413 when it is too large.
    """
    fields = dict(parse_qsl((await content(request)).decode("utf-8", "replace"), keep_blank_values=True))
    visit = visit_of(request)
    foreign = request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")
    if foreign or visit is None or not sessions_of(request).genuine(visit, fields.pop("token", "")):
        raise HTTPException(403, "the page was open for too long, or is not ours: go back, load it anew and try again")
    return fields


Form = Annotated[Fields, Depends(form)]
Reader = Annotated[Visit, require(Scope.READ)]
Operator = Annotated[Visit, require(Scope.RUN)]
Downloader = Annotated[Visit, require(Scope.DOWNLOAD)]
Restorer = Annotated[Visit, require(Scope.RESTORE)]
Administrator = Annotated[Visit, require(Scope.ADMIN)]
