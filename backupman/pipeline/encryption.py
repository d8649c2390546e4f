"""Encryption to age public keys, so that the host that makes the backups cannot read the old ones.

The format is age 1 (age-encryption.org/v1), written by pyrage: the `age` program reads it.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

from pydantic import Field, model_validator

from backupman.errors import PipelineError
from backupman.pipeline._sink import CHUNK, Sink, stream
from backupman.registry import Settings

_PIPE_SIZE = 2**20


class Encryption(Settings):
    """Whom dumps are encrypted to."""

    recipients: list[str] = Field(default=[], description="age public keys (`age1…`, or `ssh-ed25519 …`).")
    recipients_file: Path | None = Field(default=None, description="A file with one such key a line; `#` comments.")

    @model_validator(mode="after")
    def _somebody(self) -> "Encryption":
        if not self.recipients and not self.recipients_file:
            raise ValueError("encryption needs recipients or a recipients_file")
        for recipient in self.recipients:
            _recipient(recipient)
        return self

    @property
    def suffix(self) -> str:
        """`.age`."""
        return ".age"

    @cached_property
    def _keys(self) -> list[Any]:
        lines = list(self.recipients)
        if self.recipients_file:
            try:
                lines += self.recipients_file.read_text().splitlines()
            except OSError as error:
                raise PipelineError(
                    f"recipients_file {self.recipients_file} cannot be read: {error.strerror}", permanent=True
                ) from error
        keys = [_recipient(line.strip()) for line in lines if line.strip() and not line.strip().startswith("#")]
        if not keys:
            raise PipelineError(f"recipients_file {self.recipients_file} holds no key", permanent=True)
        return keys

    @contextmanager
    def encode(self, out: Sink) -> Iterator[Sink]:
        """A sink that encrypts into `out`, in a thread of its own because pyrage pulls what it encrypts."""
        remembering = _Remembering(out)
        read_end, write_end = os.pipe()
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        keys = self._keys

        def encrypt() -> None:
            import pyrage

            with open(read_end, "rb", CHUNK) as source:  # noqa: PTH123 - a descriptor, not a path
                try:
                    pyrage.encrypt_io(source, remembering, keys)
                except Exception as error:  # noqa: BLE001 - handed to the other thread below
                    remembering.error = remembering.error or error

        thread = Thread(target=encrypt, name="encryption", daemon=True)
        thread.start()
        try:
            with open(write_end, "wb", CHUNK) as sink:  # noqa: PTH123
                yield sink
        except BrokenPipeError as error:  # the thread has ended early, and knows why
            thread.join()
            raise remembering.failure() or error from error
        finally:
            thread.join()
        if failure := remembering.failure():
            raise failure

    def decode(self, source: BinaryIO, identities: Sequence[str]) -> BinaryIO:
        """The stream as it was; reading raises PipelineError when it was cut, altered or is for another key."""
        if not identities:
            raise PipelineError("the object is encrypted: name the file of its age identity", permanent=True)
        return stream(_decrypted(source, [_identity(identity) for identity in identities]))


class _Remembering:
    """Hands bytes on to a sink and remembers the sink's own error, which pyrage would turn into its own."""

    def __init__(self, out: Sink) -> None:
        self._out = out
        self.error: Exception | None = None

    def write(self, data: bytes, /) -> int:
        try:
            self._out.write(data)
        except Exception as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        """pyrage asks for it; there is nothing to do."""

    def failure(self) -> PipelineError | None:
        """Why the thread ended early, if it did."""
        if self.error is None or isinstance(self.error, PipelineError):
            return self.error
        return PipelineError(f"age failed: {self.error}")


def _decrypted(source: BinaryIO, keys: list[Any]) -> Iterator[bytes]:
    """The plain bytes; pyrage pushes what it decrypts, so a thread and a pipe turn it round."""
    read_end, write_end = os.pipe()
    errors: list[Exception] = []

    def decrypt() -> None:
        import pyrage

        try:
            with open(write_end, "wb", CHUNK) as sink:  # noqa: PTH123
                pyrage.decrypt_io(source, sink, keys)
        except Exception as error:  # noqa: BLE001 - handed to the other thread below
            errors.append(error)

    thread = Thread(target=decrypt, name="decryption", daemon=True)
    thread.start()
    try:
        with open(read_end, "rb", CHUNK) as plain:  # noqa: PTH123
            yield from iter(partial(plain.read, CHUNK), b"")
    finally:
        thread.join()
    if errors:
        raise PipelineError(f"the object cannot be decrypted: {errors[0]}", permanent=True) from errors[0]


def _recipient(text: str) -> Any:
    import pyrage

    try:
        if text.startswith("ssh-"):
            return pyrage.ssh.Recipient.from_str(text)
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise ValueError(f"{text[:20]!r} is not an age public key: {error}") from error


def _identity(text: str) -> Any:
    import pyrage

    try:
        if "PRIVATE KEY" in text:
            return pyrage.ssh.Identity.from_buffer(text.encode())
        return pyrage.x25519.Identity.from_str(text.strip())
    except pyrage.IdentityError as error:
        raise PipelineError(f"that is not an age identity: {error}", permanent=True) from error
