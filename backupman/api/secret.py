"""A secret of this installation's own, made at its first use, and signatures by it."""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from backupman.errors import StoreError

_KEY_BYTES = 32


class Secret:
    """The file `link.key` of a state folder; its name is older than what else it signs."""

    def __init__(self, state_folder: Path) -> None:
        self._file = state_folder / "link.key"

    def sign(self, text: str) -> str:
        """The signature of a text, in hex. Raises StoreError: the file cannot be used."""
        return hmac.new(self._key(), text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def signed(self, text: str, signature: str) -> bool:
        """Whether this is its signature, compared in constant time. Raises StoreError as `sign` does."""
        return hmac.compare_digest(self.sign(text).encode(), signature.encode("utf-8", "replace"))

    def _key(self) -> bytes:
        """The secret; whoever can read it can download everything, so its mode is 0600."""
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
