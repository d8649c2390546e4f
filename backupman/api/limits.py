"""How often somebody may try: failed keys of an address, requests of a key, downloads at once."""

import ipaddress
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

Clock = Callable[[], float]

_MINUTE = 60.0


class Guesses:
    """Failed tries of each address within the last minute; the addresses that were silent longest are forgotten first.

    Of IPv6 an address is its /64: everybody has as many in it as they like.
    """

    def __init__(self, allowed: int = 30, kept: int = 10_000, clock: Clock = time.monotonic) -> None:
        self._allowed = allowed
        self._kept = kept
        self._clock = clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()
        self._closed: dict[str, float] = {}

    def note(self, address: str) -> int:
        """Count a failed try; 0, or the whole seconds after which the address may try again."""
        name, at = _network(address), self._clock()
        failed = self._failed.pop(name, deque())
        self._failed[name] = failed
        while failed and failed[0] <= at - _MINUTE:
            failed.popleft()
        if len(failed) >= self._allowed:
            return max(1, math.ceil(failed[0] + _MINUTE - at))
        failed.append(at)
        while len(self._failed) > self._kept:
            forgotten, _ = self._failed.popitem(last=False)
            self._closed.pop(forgotten, None)
        return 0

    def just_closed(self, address: str) -> bool:
        """Whether this is the first refusal of the address in a minute, so that a log can say it once."""
        name, at = _network(address), self._clock()
        if at - self._closed.get(name, -_MINUTE) < _MINUTE:
            return False
        self._closed[name] = at
        return True


class Rate:
    """A bucket of tokens for each name: as many requests a minute as are allowed, all of them at once if need be."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, a_minute: int) -> int:
        """Take a token; 0, or the whole seconds after which there is one."""
        at = self._clock()
        tokens, since = self._buckets.get(name, (float(a_minute), at))
        tokens = min(float(a_minute), tokens + (at - since) * a_minute / _MINUTE)
        wait = 0 if tokens >= 1 else max(1, math.ceil((1 - tokens) * _MINUTE / a_minute))
        self._buckets[name] = (tokens if wait else tokens - 1, at)
        return wait


class Slots:
    """How many may do something at once."""

    def __init__(self, count: int) -> None:
        self._free = count

    def take(self) -> bool:
        """Take one; whether there was one."""
        taken = self._free > 0
        self._free -= taken
        return taken

    def give_back(self) -> None:
        """Let the next one in."""
        self._free += 1


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and not parsed.ipv4_mapped:
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return address
