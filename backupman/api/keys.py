"""Who may do what: API keys with scopes, compared in constant time, and a limit on guessing."""

import hashlib
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from backupman.config.http import ApiKey, Scope
from backupman.daemon import Daemon

log = logging.getLogger(__name__)

_GUESSES_A_MINUTE = 30
_ADDRESSES_KEPT = 10_000


@dataclass(frozen=True)
class Caller:
    """Somebody whose key is known."""

    name: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Whether the key has this scope; `admin` has all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def identify(keys: list[ApiKey], presented: str) -> Caller | None:
    """Whose key it is; every key is compared, in constant time, so that the answer's time tells nothing."""
    digest = hashlib.sha256(presented.encode()).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest(), digest):
            found = Caller(key.name, frozenset(key.scopes))
    return found


class Guesses:
    """Failed tries of each address in the last minute; the oldest addresses are forgotten first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def note(self, address: str) -> bool:
        """Count a failed try; whether the address has used up its tries of this minute."""
        recent = [at for at in self._failed.pop(address, []) if at > self._clock() - 60]
        recent.append(self._clock())
        self._failed[address] = recent[-_GUESSES_A_MINUTE - 1 :]
        while len(self._failed) > _ADDRESSES_KEPT:
            self._failed.popitem(last=False)
        return len(recent) > _GUESSES_A_MINUTE


def daemon_of(request: Request) -> Daemon:
    """The daemon that is served."""
    daemon: Daemon = request.app.state.daemon
    return daemon


def presented_key(request: Request) -> str | None:
    """The key in `X-Api-Key`, or in `Authorization: Bearer`."""
    if key := request.headers.get("X-Api-Key"):
        return key
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if kind.lower() == "bearer" and token else None


def caller_of(request: Request) -> Caller | None:
    """Whoever presents a known key."""
    key = presented_key(request)
    return identify(daemon_of(request).app.config.http.api_keys, key) if key else None


def require(scope: Scope) -> Callable[[Request], Caller]:
    """A dependency: the caller, whose key has the scope.

    Raises:
        HTTPException: 401 without a known key, 429 after too many wrong ones, 403 when the scope is missing.
    """

    def check(request: Request) -> Caller:
        caller = caller_of(request)
        if caller is None:
            address = request.client.host if request.client else "unknown"
            log.warning("a request to %s from %s had no valid API key", request.url.path, address)
            guesses: Guesses = request.app.state.guesses
            if guesses.note(address):
                raise HTTPException(429, "too many wrong keys; wait a minute", {"Retry-After": "60"})
            raise HTTPException(401, "Unauthorized")
        if not caller.may(scope):
            raise HTTPException(403, f"the key {caller.name!r} lacks the scope {scope.value!r}")
        return caller

    return check


Reader = Annotated[Caller, Depends(require(Scope.READ))]
Operator = Annotated[Caller, Depends(require(Scope.RUN))]
Downloader = Annotated[Caller, Depends(require(Scope.DOWNLOAD))]
Served = Annotated[Daemon, Depends(daemon_of)]
