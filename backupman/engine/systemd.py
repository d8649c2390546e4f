"""Tells systemd how the service is, by sd_notify(3)'s datagrams; without systemd it does nothing.

Written here because it is one datagram: the packages for it bring a C library or are no longer kept.
"""

import os
import socket
from contextlib import suppress

_PATIENCE = 1.0


def notify(*lines: str) -> None:
    """Send lines such as `READY=1`, `STATUS=…`, `STOPPING=1` or `WATCHDOG=1`; who does not listen is not waited for."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(_PATIENCE)
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.sendall("\n".join(lines).encode())


def watchdog_seconds() -> float | None:
    """How often `WATCHDOG=1` is due: half of what systemd allows."""
    allowed = os.environ.get("WATCHDOG_USEC")
    return int(allowed) / 2_000_000 if allowed and allowed.isdigit() else None
