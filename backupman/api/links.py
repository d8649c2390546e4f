"""Links that need no key: an HMAC over what they open and until when, with a secret of this installation's own."""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

from backupman.errors import StoreError

LIFETIME = 15 * 60
"""Seconds that a link is good for."""

_KEY_BYTES = 32


class Links:
    """The links of one installation."""

    def __init__(self, state_folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._file = state_folder / "link.key"
        self._clock = clock

    def make(self, base: str, path: str) -> str:
        """A link to a path below `base`; the signature stands last, so that whoever shortens a link spoils it."""
        expires = int(self._clock()) + LIFETIME
        query = urlencode({"expires": expires, "signature": self._signature(path, str(expires))})
        return f"{base.rstrip('/')}{path}?{query}"

    def good(self, path: str, expires: str, signature: str) -> bool:
        """Whether these are the words of a link that we made for the path, and its time is not over."""
        expected = self._signature(path, expires)
        genuine = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
        return genuine and int(expires) >= self._clock()

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._key(), f"{path}\n{expires}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def _key(self) -> bytes:
        """The secret, made at the first use; whoever can read it can download everything, so its mode is 0600.

        Raises:
            StoreError: the file cannot be used.
        """
        try:
            if not self._file.exists():
                self._make()
            key = self._file.read_bytes()
        except OSError as error:
            raise StoreError(f"the secret of the download links cannot be read: {error}") from error
        if len(key) != _KEY_BYTES:  # an empty one would let anybody sign
            raise StoreError(f"{self._file} is damaged: remove it, and new links are signed with a new secret")
        return key

    def _make(self) -> None:
        """Write it whole or not at all, also when two do so at once: the first one stays."""
        part = self._file.with_name(f"{self._file.name}.{secrets.token_hex(4)}.part")
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(fd, "wb") as new:
                new.write(os.urandom(_KEY_BYTES))
                new.flush()
                os.fsync(new.fileno())
            with suppress(FileExistsError):
                os.link(part, self._file)
        finally:
            part.unlink()
