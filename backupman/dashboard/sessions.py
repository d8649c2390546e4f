"""Who is looking: signed cookies that name a key of the config until they expire, and the tokens of their forms."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backupman.api.keys import Caller
from backupman.api.secret import Secret
from backupman.config.http import ApiKey, Scope

LIFETIME = 12 * 60 * 60
"""Seconds that somebody stays signed in."""

_NOBODY = "-"


@dataclass(frozen=True)
class Visit:
    """A cookie that was good: `caller` is None before the sign-in, `token` goes into every form."""

    caller: Caller | None
    nonce: str
    expires: int
    token: str

    @property
    def somebody(self) -> Caller:
        """Whoever is signed in, as every page but that of the sign-in knows."""
        assert self.caller  # noqa: S101 - the page's door has looked
        return self.caller

    def may(self, scope: str) -> bool:
        """Whether somebody is signed in whose key has the scope."""
        return self.caller is not None and self.caller.may(Scope(scope))


class Sessions:
    """The visits of one installation. Nothing is kept but the visits that were ended before their time."""

    def __init__(self, secret: Secret, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock
        self._ended: dict[str, int] = {}

    def begin(self, caller: Caller | None = None) -> str:
        """The cookie of a new visit, of whoever has presented a key."""
        nonce, expires = secrets.token_urlsafe(16), int(self._clock()) + LIFETIME
        words = f"{self._identity(caller.digest) if caller else _NOBODY}.{nonce}.{expires}"
        return f"{words}.{self._secret.sign(_cookie(words))}"

    def read(self, cookie: str, keys: Sequence[ApiKey]) -> Visit | None:
        """The visit of a cookie; None when it is not good, is over, or its key is not in the config any more."""
        words, _, signature = cookie.rpartition(".")
        if not self._secret.signed(_cookie(words), signature):
            return None
        identity, nonce, until = words.split(".")
        expires = int(until)
        if expires <= self._clock() or nonce in self._ended:
            return None
        caller = None
        if identity != _NOBODY and (caller := self._caller(identity, keys)) is None:
            return None
        return Visit(caller, nonce, expires, self._secret.sign(f"form\n{nonce}"))

    def end(self, visit: Visit) -> None:
        """Let its cookie be good no more, wherever it was copied to."""
        at = self._clock()
        self._ended = {nonce: expires for nonce, expires in self._ended.items() if expires > at}
        self._ended[visit.nonce] = visit.expires

    def genuine(self, visit: Visit, token: str) -> bool:
        """Whether a form is one that was given to this visit."""
        return self._secret.signed(f"form\n{visit.nonce}", token)

    def _caller(self, identity: str, keys: Sequence[ApiKey]) -> Caller | None:
        found = None
        for key in keys:
            if secrets.compare_digest(self._identity(key.digest()), identity):
                found = Caller(key.name, frozenset(key.scopes), key.digest())
        return found

    def _identity(self, digest: str) -> str:
        """What stands in the cookie for a key: neither the key nor its hash, which a weak key could be guessed from."""
        return self._secret.sign(f"key\n{digest}")[:32]


def _cookie(words: str) -> str:
    return f"visit\n{words}"
