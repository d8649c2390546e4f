"""A circuit breaker for each endpoint: what keeps failing is asked once in a while, whatever it is owed.

It knows what this process has seen, and begins with what the records say is owed and was tried in vain.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from backupman.retry import backoff

log = logging.getLogger(__name__)

FAILURES = 5
"""So many failures in a row, of whatever messages, and an endpoint has its rest."""
LONGEST_REST = timedelta(minutes=5)
"""Another message may get through where one does not, so nobody waits for long."""


@dataclass
class _Failing:
    """The failures in a row, until when the endpoint is left alone, and whether it has asked for that itself."""

    count: int
    until: datetime
    asked: bool = False

    @property
    def is_open(self) -> bool:
        return self.asked or self.count >= FAILURES


class Breaker:
    """Which endpoints rest, and which may be asked one message only. Not thread-safe."""

    def __init__(self, first: timedelta, longest: timedelta) -> None:
        self._first = first
        self._longest = min(longest, LONGEST_REST)
        self._failing: dict[str, _Failing] = {}

    def restore(self, tried: Mapping[str, int], at: datetime) -> None:
        """Begin with how many deliveries to each endpoint were tried in vain: each may be asked once."""
        self._failing = {endpoint: _Failing(count, at) for endpoint, count in tried.items()}

    def failed(self, endpoint: str, at: datetime, retry_after: float | None = None) -> None:
        """A message was not delivered, and another try may help: none of any message before so many seconds."""
        known = self._failing.setdefault(endpoint, _Failing(0, at))
        known.count += 1
        known.asked |= bool(retry_after)
        rests = [self._left(known, at), min(timedelta(seconds=retry_after or 0), self._longest)]
        if known.count >= FAILURES:
            rests.append(backoff(known.count - FAILURES + 1, first=self._first, longest=self._longest))
        known.until = at + max(rests)
        if known.count == FAILURES:
            log.warning("%s has failed %d times in a row, and is asked less often now", endpoint, known.count)

    def answered(self, endpoint: str) -> None:
        """A message has arrived."""
        known = self._failing.pop(endpoint, None)
        if known and known.count >= FAILURES:
            log.info("%s takes messages again", endpoint)

    def resting(self, at: datetime) -> dict[str, datetime]:
        """The endpoints that are left alone, and until when; a rest longer than any is by a clock that was ahead."""
        return {
            endpoint: known.until
            for endpoint, known in self._failing.items()
            if known.is_open and self._left(known, at)
        }

    def _left(self, known: _Failing, at: datetime) -> timedelta:
        """How long it still rests."""
        left = known.until - at
        return left if timedelta() < left <= self._longest else timedelta()

    def probed(self, at: datetime, under_way: Collection[str]) -> list[str]:
        """The endpoints whose rest is over, and which are asked one message now, if none is under way."""
        return [endpoint for endpoint in self.open if endpoint not in {*self.resting(at), *under_way}]

    @property
    def open(self) -> list[str]:
        """The endpoints that fail in a row, or have asked to be left alone, resting or not."""
        return [endpoint for endpoint, known in self._failing.items() if known.is_open]
