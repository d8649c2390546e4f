"""What is learned of a PostgreSQL dump while it is read: its server's version, and its table of contents."""

import io
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import BinaryIO, cast

from backupman.errors import DumpError, SourceError
from backupman.sources._process import environment, output

_HEAD = 4096
_SERVER = re.compile(r"Dumped from database version:? (\S+)")

CUSTOM_END = b"\0" * 5
"""How every whole archive of the custom format ends: the integer 0 (a sign and four bytes) after the last data block,
or the unused offset of the last entry where there is no data (WriteInt and WriteExtraToc in pg_backup_custom.c)."""


class Observed(io.RawIOBase):
    """A stream that shows everything that is read from it to somebody else."""

    def __init__(self, stream: BinaryIO, observe: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._observe = observe

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, up to `size`."""
        chunk = self._stream.read(-1 if size is None else size)
        self._observe(chunk)
        return chunk


class Head:
    """The start of a plain dump, which names the server's version."""

    def __init__(self) -> None:
        self._bytes = b""

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes of the dump."""
        if len(self._bytes) < _HEAD:
            self._bytes += chunk[:_HEAD]

    def facts(self) -> dict[str, str]:
        """What it says of the server."""
        return facts_of(self._bytes.decode(errors="replace"))


class Toc:
    """`pg_restore --list`, which reads along with a custom dump until it has the whole table of contents."""

    def __init__(self, label: str, pg_restore: Path) -> None:
        self._label = label
        self._said = b""
        try:
            self._process = subprocess.Popen(
                [pg_restore, "--list"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(),
            )
        except OSError as error:
            raise DumpError(f"{label}: {pg_restore} cannot be started: {error.strerror}", permanent=True) from error
        self._stdin = cast(BinaryIO, self._process.stdin)
        # It prints the list before it stops reading, so somebody has to listen all the time.
        self._listener = Thread(target=self._listen, name="toc", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in cast(BinaryIO, self._process.stdout):
            if len(self._said) < _HEAD:
                self._said += line

    def feed(self, chunk: bytes) -> None:
        """Hand on the next bytes of the dump, as long as they are wanted."""
        if not self._stdin.closed:
            try:
                self._stdin.write(chunk)
                self._stdin.flush()
            except BrokenPipeError:
                self._close()

    def facts(self) -> dict[str, str]:
        """What it says of the server.

        Raises:
            DumpError: the dump has no readable table of contents.
        """
        self._close()
        code = self._process.wait()
        self._listener.join()
        said = self._said.decode(errors="replace")
        if code != 0:
            raise DumpError(f"{self._label}: the dump has no readable table of contents: {said.strip()}")
        return facts_of(said)

    def end(self) -> None:
        """End the program if it still runs."""
        self._close()
        self._process.kill()
        self._process.wait()
        self._listener.join()
        cast(BinaryIO, self._process.stdout).close()

    def _close(self) -> None:
        with suppress(BrokenPipeError):
            self._stdin.close()


@contextmanager
def read_toc(label: str, pg_restore: Path) -> Iterator[Toc]:
    """A reader of the table of contents while the `with` lasts."""
    reader = Toc(label, pg_restore)
    try:
        yield reader
    finally:
        reader.end()


def list_toc(label: str, pg_restore: Path, folder: Path) -> dict[str, str]:
    """What the table of contents of a dump in the directory format says of the server.

    Raises:
        DumpError: there is no readable one.
    """
    try:
        said = output(label, [str(pg_restore), "--list", str(folder)], env=environment())
    except SourceError as error:
        raise DumpError(f"{label}: the dump has no readable table of contents: {error}") from error
    return facts_of(said)


def facts_of(text: str) -> dict[str, str]:
    """The server's version, as a plain dump's head and a table of contents name it."""
    found = _SERVER.search(text)
    return {"server_version": found[1]} if found else {}
