"""Standard error that nobody reads, or whose disk is full: what is said there changes nothing of what is done."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast


class _Patient:
    """A stream that loses what cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def errors_may_be_lost() -> Iterator[None]:
    """Until its end nothing that is said on standard error can fail, and afterwards what Python says there neither."""
    stream = sys.stderr
    sys.stderr = cast(TextIO, _Patient(stream))
    try:
        yield
    finally:
        sys.stderr = stream
        _let_go_where_lost()


def _let_go_where_lost() -> None:
    with suppress(ValueError, OSError):
        reader = select.poll()
        reader.register(sys.stderr.fileno(), 0)
        try:
            sys.stderr.flush()
            lost = bool(reader.poll(0))  # asked for nothing, it tells of nothing but a pipe that is broken
        except OSError:
            lost = True
        if lost:
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), sys.stderr.fileno())
