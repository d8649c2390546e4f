"""Reads a file of Google's from anywhere in it, on a connection of its own."""

from collections.abc import Callable
from typing import Any

from backupman.drives._google_client import Client, Connection
from backupman.drives._ranges import RangeReader
from backupman.errors import DriveError


def file_reader(
    client: Client,
    request: Callable[[Connection], Any],
    name: str,
    size: int,
    replaced: tuple[type[DriveError], ...] = (),
) -> RangeReader:
    """A stream of one file of `size` bytes; `request` makes the library's request for its bytes.

    `replaced` are the errors which mean that it is not the same file any more.
    """
    way = client.connected()
    connection = way.__enter__()

    def fetch(start: int, end: int) -> bytes:
        asked = request(connection)
        # Unless told otherwise the library asks for gzip, of which a range is none of the file.
        asked.headers |= {"Range": f"bytes={start}-{end - 1}", "accept-encoding": "identity"}

        def attempt() -> bytes:
            with connection.door.explained(name):
                data: bytes = connection.execute(asked)
            if len(data) != end - start:
                raise DriveError(
                    f"{connection.door.label}: Google gave {len(data)} instead of {end - start} bytes of {name}"
                )
            return data

        try:
            found: bytes = connection.door.retry.call(attempt)
        except replaced:
            sentence = f"{connection.door.label}: {name} was replaced while it was read"
            raise DriveError(sentence, permanent=True) from None
        return found

    return RangeReader(size, fetch, lambda: way.__exit__(None, None, None))
