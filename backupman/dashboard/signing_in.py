"""Signing in with a key of the config, and out again."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response

from backupman.api.keys import daemon_of, identify, note_failure
from backupman.config.http import Scope
from backupman.dashboard.doors import Form, PageRoute, forget, keep, sessions_of, visit_of
from backupman.dashboard.pages import address, render, within

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_LONGEST = 1000


@router.get("/sign-in")
def sign_in_page(
    request: Request, following: Annotated[str, Query(alias="next", max_length=_LONGEST)] = ""
) -> Response:
    """The form; whoever is signed in already goes on."""
    visit = visit_of(request)
    if visit and visit.caller:
        return RedirectResponse(address(request, within(following)), 303)
    return _asked(request, following)


@router.post("/sign-in")
def sign_in(request: Request, fields: Form) -> Response:
    """Take a key; a wrong one is counted as one in a header is, and too many are refused for a while."""
    following = fields.get("next", "")[:_LONGEST]
    caller = identify(daemon_of(request).app.config.http.api_keys, fields.get("key", "").strip().encode())
    if caller is None:
        try:
            note_failure(request, "a wrong API key")
        except HTTPException as error:
            answer = _asked(request, following, "That was tried too often. Wait a minute.", error.status_code)
            answer.headers.update(error.headers or {})
            return answer
        return _asked(request, following, "No such key is in the config.", 401)
    if not caller.may(Scope.READ):
        return _asked(request, following, f"The key “{caller.name}” lacks the scope “read”.", 403)
    answer = RedirectResponse(address(request, within(following)), 303)
    keep(request, answer, sessions_of(request).begin(caller))
    return answer


@router.post("/sign-out")
def sign_out(request: Request, _: Form) -> Response:
    """End the visit."""
    answer = RedirectResponse(address(request, "/sign-in"), 303)
    if visit := visit_of(request):
        sessions_of(request).end(visit)
    forget(request, answer)
    return answer


def _asked(request: Request, following: str, problem: str = "", status: int = 200) -> Response:
    """The form, for a visit of nobody that its token belongs to."""
    visit = visit_of(request)
    sessions = sessions_of(request)
    cookie = "" if visit else sessions.begin()
    keys = daemon_of(request).app.config.http.api_keys
    visit = visit or sessions.read(cookie, keys)
    answer = render(request, "sign_in", visit, status, following=following, problem=problem, keyless=not keys)
    if cookie:
        keep(request, answer, cookie)
    return answer
