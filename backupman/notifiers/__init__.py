"""The rule book of notifiers: what every channel that events go out on promises.

A provider's block of the config (`Notifier`) unfolds into endpoints: one webhook URL, one mail address. The outbox
owes one delivery to each endpoint for each event that it wants. `send` makes exactly one attempt; attempts, backoff
and giving up are the dispatcher's. A notifier never sees the store, and can never fail or delay a backup.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import Field

from backupman.registry import Provider


@dataclass(frozen=True)
class Message:
    """One event as an endpoint gets it: the same `id` over all attempts, `payload` with the extended fields."""

    id: str
    event: str
    time: datetime
    payload: dict[str, Any]


class Endpoint(Protocol):
    """Where one delivery goes."""

    @property
    def name(self) -> str:
        """Unique among all endpoints of the config, without a secret, the same after a restart."""

    @property
    def events(self) -> Sequence[str]:
        """The kinds of events that it wants."""

    async def send(self, message: Message) -> str:
        """Make one attempt; the start of what the other side answered.

        Raises:
            NotifyError: it was not delivered; `permanent` says whether another attempt can help.
        """


class Notifier(Provider, ABC):
    """A provider's block under `notifiers`."""

    enabled: bool = Field(default=True, description="`false` turns the notifier off and keeps its settings.")

    @abstractmethod
    def endpoints(self) -> Sequence[Endpoint]:
        """Where deliveries go; empty while it is not enabled."""
