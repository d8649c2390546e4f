"""Who may do what: API keys with scopes, compared in constant time, and a limit on guessing."""

import hashlib
import hmac
import logging
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from backupman.api.errors import refusals
from backupman.api.limits import Guesses
from backupman.config.http import ApiKey, Scope
from backupman.daemon import Daemon

log = logging.getLogger(__name__)

HEADER = "X-Api-Key"
KEYED = refusals(401, 403, 429)
"""What every route with a key may answer."""

# Only for the OpenAPI: what they find is read from the request itself.
_IN_HEADER = APIKeyHeader(name=HEADER, scheme_name="key", auto_error=False, description="A key of `http.api_keys`.")
_BEARER = HTTPBearer(scheme_name="bearer", auto_error=False, description="The same key, as Prometheus sends it.")


@dataclass(frozen=True)
class Caller:
    """Somebody whose key is known; `digest` tells keys of one name apart."""

    name: str
    scopes: frozenset[Scope]
    digest: str

    def may(self, scope: Scope) -> bool:
        """Whether the key has this scope; `admin` has all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def identify(keys: list[ApiKey], presented: bytes) -> Caller | None:
    """Whose key it is; every key is compared, in constant time, so that the answer's time tells nothing."""
    digest = hashlib.sha256(presented).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest(), digest):
            found = Caller(key.name, frozenset(key.scopes), digest)
    return found


def daemon_of(request: Request) -> Daemon:
    """The daemon that is served; its `app` is another one after each reload of the config."""
    daemon: Daemon = request.app.state.daemon
    return daemon


def presented_key(request: Request) -> bytes | None:
    """The key in `X-Api-Key`, else in `Authorization: Bearer`, as the bytes that were sent."""
    key = request.headers.get(HEADER, "").strip()
    if not key:
        kind, _, token = request.headers.get("Authorization", "").strip().partition(" ")
        key = token.strip() if kind.lower() == "bearer" else ""
    return key.encode("latin-1") if key else None  # which is how headers were decoded


def caller_of(request: Request) -> Caller | None:
    """Whoever presents a known key; None without any.

    Raises:
        HTTPException: 429 after too many wrong keys from the caller's address.
    """
    caller = _known(request)
    if caller is None and presented_key(request):
        note_failure(request, "a wrong API key")
    return caller


def still_may(request: Request, scope: Scope) -> bool:
    """Whether whoever was let in would be now, for answers that go on; the config may be another one by then."""
    caller = _known(request)
    return caller is not None and caller.may(scope)


def _known(request: Request) -> Caller | None:
    key = presented_key(request)
    return identify(daemon_of(request).app.config.http.api_keys, key) if key else None


def note_failure(request: Request, what: str) -> None:
    """Log a try that failed, and refuse the address for a while once there were too many; never what was tried."""
    guesses: Guesses = request.app.state.guesses
    address = request.client.host if request.client else "unknown"
    wait = guesses.note(address)
    if wait == 0:
        log.warning("%s for %r came from %s", what, request.scope["path"][:200], address)
        return
    if guesses.just_closed(address):
        log.warning("%s tries too many keys and is refused for a while", address)
    raise HTTPException(429, "too many failed tries; wait a moment", {"Retry-After": str(wait)})


def require(scope: Scope) -> Any:
    """A dependency: the caller, whose key has the scope; the OpenAPI names the scope, too.

    Raises:
        HTTPException: 401 without a known key, 429 after too many such tries, 403 when the scope is missing.
    """

    async def check(
        request: Request,
        _header: Annotated[str | None, Security(_IN_HEADER)],
        _bearer: Annotated[object, Security(_BEARER)],
    ) -> Caller:
        return check_scope(request, scope)

    return Security(check, scopes=[scope.value])


def check_scope(request: Request, scope: Scope) -> Caller:
    """The same for a route that also lets others in."""
    caller = caller_of(request)
    if caller is None:
        if presented_key(request) is None:
            note_failure(request, "no API key")
        raise HTTPException(401, "Unauthorized", {"WWW-Authenticate": "Bearer"})
    if not caller.may(scope):
        raise HTTPException(403, f"the key {caller.name!r} lacks the scope {scope.value!r}")
    return caller


Reader = Annotated[Caller, require(Scope.READ)]
Operator = Annotated[Caller, require(Scope.RUN)]
Restorer = Annotated[Caller, require(Scope.RESTORE)]
Downloader = Annotated[Caller, require(Scope.DOWNLOAD)]
Administrator = Annotated[Caller, require(Scope.ADMIN)]
Ingester = Annotated[Caller, require(Scope.INGEST)]
Served = Annotated[Daemon, Depends(daemon_of)]
