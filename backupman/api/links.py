"""Links that need no key: an HMAC over what they open and until when, with a secret of this installation's own."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from backupman.api.secret import Secret

LIFETIME = 15 * 60
"""Seconds that a link is good for."""


class Links:
    """The links of one installation."""

    def __init__(self, state_folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._secret = Secret(state_folder)
        self._clock = clock

    def make(self, base: str, path: str) -> str:
        """A link to a path below `base`; the signature stands last, so that whoever shortens a link spoils it."""
        expires = int(self._clock()) + LIFETIME
        query = urlencode({"expires": expires, "signature": self._secret.sign(_words(path, str(expires)))})
        return f"{base.rstrip('/')}{path}?{query}"

    def good(self, path: str, expires: str, signature: str) -> bool:
        """Whether these are the words of a link that we made for the path, and its time is not over."""
        return self._secret.signed(_words(path, expires), signature) and int(expires) >= self._clock()


def _words(path: str, expires: str) -> str:
    return f"{path}\n{expires}"
