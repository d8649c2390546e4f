"""One attempt at telling an endpoint something, past outbox and records."""

import asyncio
import time
from dataclasses import dataclass

from backupman.errors import NotifyError
from backupman.notifiers import Endpoint, Message


@dataclass(frozen=True)
class Trial:
    """What came of one message: the answer, or why it was not delivered."""

    endpoint: str
    event: str
    seconds: float
    answer: str | None = None
    error: str | None = None

    @property
    def delivered(self) -> bool:
        """Whether the other side took it."""
        return self.error is None


async def attempt(endpoint: Endpoint, message: Message, longest: float) -> Trial:
    """Send one message once; whatever came of it. `longest` is in seconds."""
    begun = time.monotonic()
    answer, error = None, None
    try:
        async with asyncio.timeout(longest):
            answer = await endpoint.send(message)
    except NotifyError as failure:
        error = failure.sentence
        answer = failure.answer or None
    except TimeoutError:
        error = f"{endpoint.name}: no answer within {longest:.0f} s"
    except Exception as failure:  # noqa: BLE001 - as for the dispatcher: one notifier's fault of any kind is told as its own
        error = f"{endpoint.name}: unexpected {type(failure).__name__}"
    return Trial(endpoint.name, message.event, time.monotonic() - begun, answer, error)
