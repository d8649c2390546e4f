"""What another config on the same records owes: it is left to that one, which knows the endpoints.

Configs of one account share records and `instance` by default, as two lines of cron may, or one beside a daemon.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from backupman.records import Delivery

_LEFT_FOR = timedelta(hours=1)
"""How long an endpoint of another config is left alone before what it is owed is looked at again."""


class Others:
    """The endpoints that only another config names. Not thread-safe.

    Args:
        endpoints: the names of those in our own config.
        sources: the labels of its sources; None where no other config is thought of.
        trying: how long a message is tried; the other config has given up what is older, or is gone itself.
    """

    def __init__(self, endpoints: Collection[str], sources: Collection[str] | None, trying: timedelta) -> None:
        self._endpoints = endpoints
        self._sources = sources
        self._trying = trying
        self._left: dict[str, datetime] = {}

    def left(self, at: datetime) -> list[str]:
        """Those of which nothing is claimed now."""
        return [endpoint for endpoint, until in self._left.items() if at < until]

    def owing(self, claimed: Sequence[Delivery], at: datetime) -> list[Delivery]:
        """Those of the deliveries that are theirs; their endpoints are left alone from now on."""
        theirs = [delivery for delivery in claimed if self._is_theirs(delivery, at)]
        self._left |= {delivery.endpoint: at + _LEFT_FOR for delivery in theirs}
        return theirs

    def _is_theirs(self, delivery: Delivery, at: datetime) -> bool:
        if self._sources is None or delivery.endpoint in self._endpoints:
            return False
        source = delivery.event.payload.get("Source")
        return bool(source) and source not in self._sources and at < delivery.created_at + self._trying
