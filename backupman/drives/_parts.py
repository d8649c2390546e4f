"""The parts of a large object: read in order from a stream, and sent side by side by several threads."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Event
from typing import BinaryIO, TypeVar

T = TypeVar("T")


class TooManyParts(Exception):
    """The stream goes on where the parts end."""


def read_part(reader: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only at the end."""
    data = reader.read(size)
    if len(data) == size or not data:
        return data
    chunks, left = [data], size - len(data)
    while left and (data := reader.read(left)):
        chunks.append(data)
        left -= len(data)
    return b"".join(chunks)


@contextmanager
def workers(count: int, name: str, stop: Event) -> Iterator[ThreadPoolExecutor]:
    """Threads for the parts of one upload; when it goes wrong `stop` is set, and none of them goes on afterwards."""
    with ThreadPoolExecutor(count, thread_name_prefix=name) as pool:
        try:
            yield pool
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)  # a part that lands later would stay
            raise


def send_parts(
    pool: ThreadPoolExecutor,
    reader: BinaryIO,
    waiting: list[bytes],
    sizes: Iterable[int],
    at_once: Callable[[int], int],
    send: Callable[[int, bytes], T],
) -> list[T]:
    """What `send(number, data)` gave for each part, in the order of the parts, which count from 1.

    `waiting` holds the first part if it was read already; it is emptied, so that no part is in memory longer than it
    has to be. Of parts of a size `at_once(size)` may be under way.

    Raises:
        TooManyParts: `sizes` ended before the reader did.
    """
    under_way: set[Future[tuple[int, T]]] = set()
    sent: list[tuple[int, T]] = []

    def collect(room: bool) -> None:
        nonlocal under_way
        done, under_way = wait(under_way, 0 if room else None, FIRST_COMPLETED)
        sent.extend(part.result() for part in done)

    def numbered(number: int, data: bytes) -> tuple[int, T]:
        return number, send(number, data)

    for number, size in enumerate(sizes, start=1):
        collect(room=True)
        while len(under_way) >= at_once(size):
            collect(room=False)
        if not waiting:
            waiting.append(read_part(reader, size))
        if not waiting[0]:
            break
        under_way.add(pool.submit(numbered, number, waiting.pop()))
    else:
        if reader.read(1):
            raise TooManyParts
    while under_way:
        collect(room=False)
    return [part for _, part in sorted(sent, key=lambda each: each[0])]
