"""A small TCP proxy in front of a real server, which breaks, delays or alters what passes through it."""

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread


@dataclass
class Way:
    """What becomes of connections; counts are bytes over all of them since `reset`.

    `drop_at`: when so many were sent to the server the connection breaks, `times` times. `drop_back_at`: the same with
    what the server sends. `alter_at`: there one bit is flipped, once. `stop_at`: from there on nothing passes any more.
    `delay`: seconds for each piece of 64 KiB or less.
    """

    port: int = 0
    drop_at: int | None = None
    drop_back_at: int | None = None
    alter_at: int | None = None
    stop_at: int | None = None
    delay: float = 0.0
    times: int = 1
    refuse: bool = False
    sent: int = 0
    back: int = 0
    connections: int = 0
    go_on: Event = field(default_factory=Event)
    _guard: Lock = field(default_factory=Lock)

    def reset(self) -> None:
        """Count from here."""
        self.sent = self.back = 0

    def pass_on(self, data: bytes, *, back: bool) -> bytes | None:
        """What goes on of a piece; None breaks the connection."""
        with self._guard:
            if back:
                self.back += len(data)
                at, seen = self.drop_back_at, self.back
            else:
                self.sent += len(data)
                at, seen = self.drop_at, self.sent
            if at is not None and seen >= at and self.times:
                self.times -= 1
                self.reset()
                return None
            if not back and self.alter_at is not None and self.sent >= self.alter_at:
                self.alter_at = None
                data = data[:-1] + bytes([data[-1] ^ 1])
            stopped = not back and self.stop_at is not None and self.sent >= self.stop_at
        if stopped:
            self.go_on.wait(60)
        return data


@contextmanager
def tcp_proxy(port: int) -> Iterator[Way]:
    """A way to 127.0.0.1:port over another port."""
    way, over = Way(), Event()
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        way.port = listener.getsockname()[1]
        thread = Thread(target=_accept, args=(listener, port, way, over), daemon=True)
        thread.start()
        try:
            yield way
        finally:
            over.set()
            way.go_on.set()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", way.port), 5).close()
            thread.join()


def _accept(listener: socket.socket, port: int, way: Way, over: Event) -> None:
    while True:
        client, _ = listener.accept()
        if over.is_set() or way.refuse:
            client.close()
            if over.is_set():
                return
            continue
        way.connections += 1
        Thread(target=_carry, args=(client, port, way), daemon=True).start()


def _carry(client: socket.socket, port: int, way: Way) -> None:
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        back = Thread(target=_pump, args=(server, client, way, True), daemon=True)
        back.start()
        _pump(client, server, way, False)
        back.join()


def _pump(one: socket.socket, other: socket.socket, way: Way, back: bool) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(2**16):
            if (passed := way.pass_on(data, back=back)) is None:
                break
            time.sleep(way.delay)
            other.sendall(passed)
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
