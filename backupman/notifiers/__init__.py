"""The rule book of notifiers: what every channel that events go out on promises.

A provider's block of the config (`Notifier`) unfolds into endpoints: one webhook URL, one mail address. The outbox
owes one delivery to each endpoint for each event that it wants. `send` makes exactly one attempt; attempts, backoff
and giving up are the dispatcher's. A notifier never sees the store, and can never fail or delay a backup.

Who sends by HTTP to one address for each block subclasses `HttpNotifier` of `_http` and writes `request` alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar

from pydantic import BaseModel, Field, field_validator, model_validator

from backupman.events import EventKind
from backupman.queues import Queue
from backupman.registry import Provider, Settings


class State(StrEnum):
    """What an event says, in borgmatic's words; `log` is neither good nor bad."""

    START = "start"
    FINISH = "finish"
    FAIL = "fail"
    LOG = "log"


STATES: Mapping[State, tuple[EventKind, ...]] = {
    State.START: (EventKind.BACKUP_START,),
    State.FINISH: (EventKind.BACKUP_SUCCESS,),
    State.FAIL: (EventKind.BACKUP_FAILURE, EventKind.BACKUP_LATE, EventKind.BACKUP_MISSED, EventKind.VERIFY_FAILURE),
}
"""The events that `states` stands for; a report says nothing that a success or failure does not say too.

As with borgmatic, whose hooks hear of errors of `check` too, a bad copy is a failure. A good one is not among `finish`:
a service that shows a state would take it for the backup.
"""

_STATES_OF_WORDS = {
    "start": State.START,
    "success": State.FINISH,
    "recovered": State.FINISH,
    "failure": State.FAIL,
    "late": State.FAIL,
    "missed": State.FAIL,
    "stuck": State.FAIL,
    "unattended": State.FAIL,
    "anomaly": State.FAIL,
}
_HOUSEKEEPING = (EventKind.PRUNE_REPORT, EventKind.RECONCILE_REPORT)
_NOTHING = "nothing to send of "
_STATES_OF_STATUS = {"pending": State.START, "finished": State.FINISH, "failed": State.FAIL}


def events_of(*states: State) -> tuple[EventKind, ...]:
    """The kinds of events that these states stand for."""
    return tuple(kind for state in states for kind in STATES[state])


def nothing_of(event: str) -> str:
    """What `send` answers where the other side has no word for such an event, so that nothing was sent."""
    return f"{_NOTHING}{event}"


def is_nothing(answer: str | None) -> bool:
    """Whether that is what was answered: nobody was told, and nothing was proven."""
    return (answer or "").startswith(_NOTHING)


@dataclass(frozen=True)
class Message:
    """One event as an endpoint gets it: the same `id` over all attempts, `payload` with the extended fields.

    `log` holds the lines of the backup's run, the oldest first and without secrets, as far as they are kept.
    """

    id: str
    event: str
    time: datetime
    payload: dict[str, Any]
    log: Sequence[str] = ()

    @property
    def state(self) -> State:
        """What it says: of a report by what came of it, of somebody's notification by its severity."""
        if self.event == EventKind.BACKUP_REPORT:
            return _STATES_OF_STATUS.get(self.payload.get("Status", ""), State.LOG)
        if self.event == EventKind.NOTIFICATION:
            return State.FAIL if self.payload.get("Severity") in ("error", "critical") else State.LOG
        if self.event == EventKind.RESTORE_START:  # that a backup begins, somebody would take it for
            return State.LOG
        if self.event == EventKind.VERIFY_SUCCESS and self.payload.get("StillBad"):  # it is no end of what was found
            return State.LOG
        if self.event in _HOUSEKEEPING:  # which is told of also where all was done, or mended
            return State.FAIL if self.payload.get("Failed") or self.payload.get("Error") else State.LOG
        return _STATES_OF_WORDS.get(self.event.rsplit("_", 1)[-1], State.LOG)


class Endpoint(Protocol):
    """Where one delivery goes."""

    @property
    def name(self) -> str:
        """Unique among all endpoints of the config, without a secret, the same after a restart."""

    @property
    def events(self) -> Sequence[str]:
        """The kinds of events that it wants."""

    @property
    def only_now(self) -> bool:
        """Whether what comes late would be taken for what is now: see `Notifier.only_now`."""

    @property
    def resolves(self) -> bool:
        """Whether a success ends there what an earlier failure has begun: see `Notifier.resolves`."""

    async def send(self, message: Message) -> str:
        """Make one attempt; the start of what the other side answered, or `nothing_of` the event.

        Raises:
            NotifyError: it was not delivered; `permanent` says whether another attempt can help.
        """

    def preview(self, message: Message) -> str:
        """What an attempt would send, as text for people, every secret masked; sends nothing. Raises NotifyError."""


class Selection(Settings):
    """Which events somebody is told of: by their kinds, or shorter by borgmatic's states."""

    default_events: ClassVar[tuple[EventKind, ...]] = (EventKind.BACKUP_REPORT,)
    """The kinds without `events` and `states`."""

    events: Annotated[list[EventKind], Field(min_length=1)] | None = Field(
        default=None, description="The kinds of events to send."
    )
    states: Annotated[list[Literal[State.START, State.FINISH, State.FAIL]], Field(min_length=1)] | None = Field(
        default=None, description="Instead of `events`, the same said shorter."
    )

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        if self.events is not None and self.states is not None:
            raise ValueError("write either events or states, which are the same thing said shorter")
        return self

    @property
    def chosen(self) -> bool:
        """Whether the config says it."""
        return self.events is not None or self.states is not None

    @property
    def kinds(self) -> list[EventKind]:
        """The kinds of events that are sent."""
        if self.states is not None:
            return list(events_of(*self.states))
        return list(self.default_events) if self.events is None else self.events


class Notifier(Selection, Provider, ABC):
    """A provider's block under `notifiers`."""

    needs: ClassVar[tuple[str, ...]] = ()
    """The settings that an enabled block cannot do without; their defaults are empty, so that a disabled one can."""
    only_now: ClassVar[bool] = False
    """Whether the other side shows a state and takes the time of arrival for that of the event.

    To such an endpoint a start whose backup has ended, and anything older than a day, is dropped and not sent late.
    """
    resolves: ClassVar[bool] = False
    """Whether a success ends there what an earlier failure has begun.

    To such an endpoint the success of a backup is dropped of which a newer one has failed.
    """
    shows_state: ClassVar[bool] = False
    """Whether the other side shows a state, and not what is said: an alarm drill must not change it."""
    tried_by: ClassVar[tuple[EventKind, ...]] = ()
    """The kinds of events that `notify test` sends where the other side shows a state: what changes it least."""

    enabled: bool = Field(default=True, description="`false` turns the notifier off and keeps its settings.")
    label: str | None = Field(
        default=None, min_length=1, max_length=40, description="Its name in jobs and records; tells several apart."
    )
    queue: Queue | None = Field(default=None, description="Which workers send its messages; default the daemon.")

    @field_validator("label")
    @classmethod
    def _is_one_line(cls, value: str | None) -> str | None:
        if value and not value.isprintable():
            raise ValueError("label holds a line break or another control character")
        return value

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        missing = [key for key in self.needs if not getattr(self, key)] if self.enabled else []
        if missing:
            raise ValueError(f"{missing[0]} is required while the {self.provider_name} notifier is enabled")
        return self

    @property
    def provider_name(self) -> str:
        """The key under `notifiers`: its module's name."""
        return type(self).__module__.rsplit(".", 1)[-1]

    def named(self, *parts: str) -> str:
        """The name of an endpoint of this block: `mail/<label>/<part>`, of which only the provider is always there."""
        return "/".join([self.provider_name, *([self.label] if self.label else []), *parts])

    def names_of(self, endpoint: Endpoint) -> list[str]:
        """By which names a job can mean the endpoint: provider, label, full name, the endpoint's own."""
        own = endpoint.name.removeprefix(f"{self.named()}/")
        return [self.provider_name, *([self.label] if self.label else []), endpoint.name, own]

    @property
    def apart(self) -> frozenset[str]:
        """What has a state of its own there: `job`, `source`, `database`; of use where `shows_state` is True."""
        return frozenset()

    @property
    def tells_apart(self) -> bool:
        """Whether each source has a state of its own there."""
        return not self.apart.isdisjoint({"source", "database"})

    @abstractmethod
    def endpoints(self) -> Sequence[Endpoint]:
        """Where deliveries go; empty while it is not enabled."""


T = TypeVar("T", bound=BaseModel)


class PerState(Settings, Generic[T]):
    """What to say in each state: a provider mixes it in with a small block of its own (title, message, value, …)."""

    start: T | None = Field(default=None, description="What to send when a backup starts.")
    finish: T | None = Field(default=None, description="What to send when a backup has finished.")
    fail: T | None = Field(
        default=None, description="What to send when a backup has failed, is late or was missed, or a copy is bad."
    )

    def block_of(self, message: Message) -> T | None:
        """What was configured for the message's state."""
        found: T | None = getattr(self, message.state, None)
        return found
