"""Encryption to age public keys, so that the host that makes the backups cannot read the old ones.

The format is age 1 (age-encryption.org/v1), written by pyrage: the `age` program reads it.
"""

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, BinaryIO

from pydantic import Field, model_validator

from backupman.errors import NoKey, PipelineError
from backupman.pipeline._sink import CHUNK, Sink, Watched, stream
from backupman.registry import Settings
from backupman.writing import widened

_PIECES = 2
"""How many pieces of the compressor's, of two megabytes at most, wait to be encrypted."""
_NO_KEY = "No matching keys found"
"""What pyrage says of another's object, and of one whose header was altered."""


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

    def check(self) -> None:
        """Raise PipelineError unless there are keys that can be read."""
        _ = self._keys

    @cached_property
    def _keys(self) -> list[Any]:
        lines = list(self.recipients)
        if self.recipients_file:
            try:
                lines += self.recipients_file.read_text("utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "it is not text"
                raise PipelineError(
                    f"recipients_file {self.recipients_file} cannot be read: {why}", permanent=True
                ) from error
        try:
            keys = [_recipient(line.strip()) for line in lines if line.strip() and not line.strip().startswith("#")]
        except ValueError as error:
            raise PipelineError(f"recipients_file {self.recipients_file}: {error}", permanent=True) from error
        if not keys:
            raise PipelineError(f"recipients_file {self.recipients_file} holds no key", permanent=True)
        return keys

    @contextmanager
    def encode(self, out: Sink) -> Iterator[Sink]:
        """A sink that encrypts into `out`, in a thread of its own because pyrage pulls what it encrypts.

        An error that `out` raises comes out as it was. After an exception the last block, without which nobody can
        take the output for whole, is not written.
        """
        work = _Encrypting(self._keys, out)
        try:
            yield work
        except BaseException:
            work.give_up()
            raise
        work.finish()

    def armored(self, data: bytes) -> str:
        """A few bytes encrypted to the same keys, as text that stands in a document.

        Raises:
            PipelineError: a key cannot be read.
        """
        import pyrage

        return str(pyrage.encrypt(data, self._keys, armored=True).decode())

    def decode(self, source: BinaryIO, identities: Sequence[str]) -> BinaryIO:
        """The stream as it was; reading raises PipelineError when it was cut, altered or is for another key."""
        return decrypt(source, identities)


def decrypt(source: BinaryIO, identities: Sequence[str]) -> BinaryIO:
    """The plain stream of an object; reading raises PipelineError when it was cut, altered or is for another key."""
    if not identities:
        raise NoKey("the object is encrypted: name the file of its age identity", permanent=True)
    return stream(_decrypted(source, [_identity(identity) for identity in identities]))


def identities_in(file: Path) -> list[str]:
    """The secret keys that a file holds: lines that age-keygen writes, or one private key of SSH.

    Raises:
        PipelineError: the file cannot be read, or holds none; the sentence holds nothing of it.
    """
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise PipelineError(f"the identity file {file} cannot be read: {why}", permanent=True) from error
    if "PRIVATE KEY" in text:
        return [text]
    found = [line.strip() for line in text.splitlines() if line.strip().startswith("AGE-SECRET-KEY-")]
    if not found:
        raise PipelineError(
            f"the identity file {file} holds no line that begins with AGE-SECRET-KEY-1: name the file that age-keygen "
            "has made; one with a passphrase is opened by `age -d` first",
            permanent=True,
        )
    return found


class _Encrypting:
    """A sink, and the thread that encrypts what was written to it."""

    def __init__(self, keys: list[Any], out: Sink) -> None:
        self._keys = keys
        self._plain = _Plain()
        self._sealed = _Sealed(out)
        self._error: Exception | None = None
        self._thread = Thread(target=self._encrypt, name="encryption", daemon=True)
        self._thread.start()

    def write(self, data: bytes, /) -> int:
        """Have it encrypted soon; raises what went wrong with what was written before."""
        if self._error:
            raise self._error
        self._plain.add(data)
        return len(data)

    def finish(self) -> None:
        """Wait until everything is written; raises what went wrong."""
        self._plain.end()
        self._thread.join()
        if self._error:
            raise self._error

    def give_up(self) -> None:
        """End the thread without the last block."""
        self._plain.cut()
        self._thread.join()

    def _encrypt(self) -> None:
        import pyrage

        try:
            pyrage.encrypt_io(self._plain, self._sealed, self._keys)
        except BaseException as error:  # noqa: BLE001 - handed to the other thread; a panic of Rust's is no Exception
            self._error = PipelineError(f"age failed: {error}")
        self._error = self._sealed.error or self._error  # pyrage says nothing of an error of its last write
        self._plain.drain()  # or the other thread would wait for room for ever


class _Plain:
    """What pyrage reads: pieces that another thread adds, in 8 KiB at a time. A pipe costs twice the processor time."""

    def __init__(self) -> None:
        self._pieces: Queue[bytes] = Queue(_PIECES)
        self._piece = BytesIO()
        self._ended = False
        self._cut = False

    def add(self, data: bytes) -> None:
        """One more piece, as soon as there is room for it."""
        if data:
            self._pieces.put(data)

    def end(self) -> None:
        """That was all."""
        self._pieces.put(b"")

    def cut(self) -> None:
        """There would have been more: whoever reads gets an error."""
        self._cut = True
        self.end()

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, none at the end."""
        data = self._piece.read(size)
        if not data and not self._ended:
            self._next()
            if self._ended and self._cut:
                raise PipelineError("the dump was given up")
            data = self._piece.read(size)
        return data

    def drain(self) -> None:
        """Throw away what else is added, until the end."""
        while not self._ended:
            self._next()

    def _next(self) -> None:
        piece = self._pieces.get()
        self._ended = not piece
        self._piece = BytesIO(piece)


class _Sealed:
    """What pyrage writes to: the sink, whose own error it keeps."""

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
        """There is nothing to do."""


def _decrypted(source: BinaryIO, keys: list[Any]) -> Generator[bytes, None, None]:
    """The plain bytes; pyrage pushes what it decrypts, so a thread and a pipe turn it round."""
    read_end, write_end = os.pipe()
    widened(write_end)
    watched = Watched(source)
    errors: list[BaseException] = []

    def decrypt() -> None:
        import pyrage

        try:
            with open(write_end, "wb", CHUNK) as sink:  # noqa: PTH123
                pyrage.decrypt_io(watched, sink, keys)
        except BaseException as error:  # noqa: BLE001 - handed to the other thread; a panic of Rust's is no Exception
            errors.append(error)

    thread = Thread(target=decrypt, name="decryption", daemon=True)
    thread.start()
    try:
        with open(read_end, "rb", CHUNK) as plain:  # noqa: PTH123
            yield from iter(partial(plain.read, CHUNK), b"")
    finally:
        thread.join()
    if watched.error:
        raise watched.error
    if errors:
        kind = NoKey if str(errors[0]) == _NO_KEY else PipelineError
        raise kind(f"the object cannot be decrypted: {errors[0]}", permanent=True) from errors[0]


def _recipient(text: str) -> Any:
    import pyrage

    try:
        if text.startswith("ssh-"):
            return pyrage.ssh.Recipient.from_str(text)
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise ValueError(f"{text[:12]!r}… is not an age public key: {error}") from error


def _identity(text: str) -> Any:
    import pyrage

    try:
        if "PRIVATE KEY" in text:
            return pyrage.ssh.Identity.from_buffer(text.encode())
        return pyrage.x25519.Identity.from_str(text.strip())
    except pyrage.IdentityError as error:
        raise PipelineError(f"that is not an age identity: {error}", permanent=True) from error
