"""Who was reached and who was not: what health, metrics and the command line show of every endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field

from backupman.config import Config, plans
from backupman.engine.alarm_drills import LANE, Outcome, Result, results
from backupman.engine.samples import Recipient, recipients
from backupman.events import Time, View
from backupman.store import Store


class EndpointShown(View):
    """How messages get to one endpoint."""

    endpoint: str = Field(description="As records show it; no address and no key.")
    given_up: int = Field(description="Messages that were given up, until they are sent again or dropped.")
    oldest: Time | None = Field(description="When the oldest of them was owed.")
    last_delivered: Time | None = Field(description="When it last took a message, of a drill or in earnest.")
    drill: str = Field(
        description="What came of the last alarm drill: `proven`, `failed`, `under way`, `untried` where it would "
        "count as a backup, or `never`."
    )
    drill_at: Time | None = Field(description="When that drill began.")
    said: str | None = Field(description="What was answered, or why it did not arrive.")


class MessagesShown(View):
    """Who gets what is sent, and who does not. It does not count for the status: that is about what can be reached."""

    given_up: int = Field(description="Messages that were given up altogether.")
    oldest: Time | None = Field(description="When the oldest of them was owed.")
    endpoints: list[EndpointShown] = Field(description="Each endpoint of the config, and those that left it in debt.")


@dataclass(frozen=True)
class Reached:
    """An endpoint with what was given up, what it last took, and its last drill."""

    endpoint: str
    given_up: int
    oldest: datetime | None
    last_delivered: datetime | None
    result: Result

    @property
    def is_right(self) -> bool:
        """Whether nobody was left in the dark, as far as is known."""
        return self.given_up == 0 and self.result.outcome != Outcome.FAILED

    def shown(self) -> EndpointShown:
        """As a document."""
        return EndpointShown(
            endpoint=self.endpoint,
            given_up=self.given_up,
            oldest=self.oldest,
            last_delivered=self.last_delivered,
            drill=self.result.outcome,
            drill_at=self.result.at,
            said=self.result.said,
        )


def reached(config: Config, store: Store, at: datetime, chosen: Sequence[Recipient] | None = None) -> list[Reached]:
    """Every endpoint of a config, or the chosen ones; without a choice also those that left it and were not told.

    Raises:
        StoreError: the records cannot be used.
    """
    asked = recipients(config) if chosen is None else chosen
    names = [recipient.endpoint.name for recipient in asked]
    lost = store.reached.given_up(config.instance)
    lanes = [LANE, *(plan.label for plan in plans(config)), *(job.job for job in config.ingest.jobs)]
    taken = store.reached.last_delivered(config.instance, names, list(dict.fromkeys(lanes)))
    drills = {result.endpoint: result for result in results(config, store, at, asked)}
    gone = [] if chosen is not None else [name for name in lost if name not in names]
    return [
        Reached(
            endpoint=name,
            given_up=lost[name].count if name in lost else 0,
            oldest=lost[name].oldest if name in lost else None,
            last_delivered=taken.get(name),
            result=drills.get(name) or Result(name, Outcome.NEVER),
        )
        for name in [*names, *gone]
    ]


def document(found: Sequence[Reached]) -> dict[str, Any]:
    """What health shows below `Messages`."""
    oldest = min((each.oldest for each in found if each.oldest), default=None)
    shown = MessagesShown(
        given_up=sum(each.given_up for each in found), oldest=oldest, endpoints=[each.shown() for each in found]
    )
    return shown.document()
