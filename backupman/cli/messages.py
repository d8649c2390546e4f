"""Events and deliveries as documents and as tables."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field
from rich.console import Console
from rich.table import Table

from backupman.cli.call import Call
from backupman.cli.output import local, mark, one_line, print_marked, print_rows, span, table, unlabelled
from backupman.events import Time, View
from backupman.records import Delivery, DeliveryState, Event

if TYPE_CHECKING:
    from backupman.engine.reaching import Reached
    from backupman.engine.trials import Trial


class EventDocument(View):
    """An event with its frozen payload; `Seq` gives the order."""

    id: str
    seq: int
    kind: str = Field(serialization_alias="Event")
    time: Time
    instance: str
    job: str
    backup_id: str | None
    payload: dict[str, Any]


class AttemptDocument(View):
    """One attempt at a delivery; `Seconds` is how long it took."""

    at: Time
    seconds: float
    delivered: bool
    answer: str | None
    error: str | None


class DeliveryDocument(View):
    """One event owed to one endpoint, with every attempt."""

    id: int
    event_id: str
    event: str
    backup_id: str | None
    endpoint: str
    state: str
    attempts: int
    created_at: Time
    next_attempt_at: Time | None
    settled_at: Time | None
    answer: str | None
    error: str | None
    history: list[AttemptDocument]

    @classmethod
    def of(cls, record: object) -> "DeliveryDocument":
        """The document of a Delivery."""
        assert isinstance(record, Delivery)  # noqa: S101 - nothing else is shown so
        of_event = {"event_id": record.event.id, "event": record.event.kind, "backup_id": record.event.backup_id}
        about = {name: getattr(record, name) for name in cls.model_fields.keys() - of_event.keys()} | of_event
        about["next_attempt_at"] = record.next_attempt_at if record.state == DeliveryState.OWED else None
        about["history"] = [AttemptDocument.of(attempt) for attempt in record.history]
        return cls.model_validate(about)


class DeliveryShown(DeliveryDocument):
    """A delivery with what was owed: the event's frozen payload."""

    payload: dict[str, Any]

    @classmethod
    def of(cls, record: object) -> "DeliveryShown":
        """The document of a Delivery."""
        assert isinstance(record, Delivery)  # noqa: S101 - nothing else is shown so
        return cls(**dict(DeliveryDocument.of(record)), payload=record.event.payload)


class TrialDocument(View):
    """A sample that was sent to an endpoint: what it answered, or why it was not delivered."""

    endpoint: str
    event: str
    delivered: bool
    seconds: float
    answer: str | None
    error: str | None


def documents(view: type[View], records: Iterable[object]) -> dict[str, Any]:
    """`{"Results": [...]}`."""
    return {"Results": [view.of(record).document() for record in records]}


def event_table(events: Sequence[Event]) -> Table:
    """An event a row."""
    found = table("ID", "EVENT", "TIME", "LABEL", "STATUS")
    found.columns[2].no_wrap = found.columns[4].no_wrap = True
    for event in events:
        label, status = str(event.payload.get("Label", "")), str(event.payload.get("Status", ""))
        found.add_row(event.id[:8], event.kind, local(event.time, seconds=True), one_line(label, 1000), status)
    return found


def delivery_table(deliveries: Sequence[Delivery]) -> Table:
    """A delivery a row; its last word below it where it has not arrived."""
    found = table("ID", "STATE", "EVENT", "ENDPOINT", "WHEN", "TRIES")
    found.columns[1].no_wrap = found.columns[4].no_wrap = True
    for delivery in deliveries:
        found.add_row(
            str(delivery.id),
            mark(delivery.state),
            delivery.event.kind,
            one_line(delivery.endpoint, 1000),
            local(_when(delivery)),
            str(delivery.attempts),
        )
    return found


def print_delivery(call: Call, delivery: Delivery, out: Console) -> None:
    """A delivery in full: what, to whom, and every attempt."""
    event = delivery.event
    what = f"{delivery.state}  {event.kind} to {one_line(delivery.endpoint, 1000)}"
    print_marked(delivery.state, what, out)
    due = local(delivery.next_attempt_at, seconds=True) if delivery.state == DeliveryState.OWED else None
    rows = [
        ("About", one_line(str(event.payload.get("Label") or ""), 1000)),
        ("Job", event.job),
        ("Backup", event.backup_id),
        ("Event", f"{event.id} of {local(event.time, seconds=True)}"),
        ("Next try", due),
        ("Why", delivery.error),
    ]
    print_rows(rows, out)
    for attempt in delivery.history:
        head = f"{local(attempt.at, seconds=True)} in {span(attempt.seconds)}: "
        said = "; ".join(text for text in (attempt.error, attempt.answer) if text)
        print_marked("delivered" if attempt.delivered else "failed", head + one_line(said, 1000), out, indent=2)
    if delivery.state != DeliveryState.DELIVERED:
        out.print(f"\nSend it now: {call.again('deliveries', 'retry', str(delivery.id))}", soft_wrap=True)


def print_trials(trials: Sequence["Trial"], out: Console) -> None:
    """A sample a paragraph: to whom, how long it took, and what was answered."""
    for trial in trials:
        said = f"{trial.endpoint}: {trial.event} {'delivered' if trial.delivered else 'failed'}"
        told = one_line(unlabelled(trial.error or trial.answer or "", trial.endpoint), 1000)
        print_marked("delivered" if trial.delivered else "failed", f"{said} in {span(trial.seconds)}: {told}", out)


_OUTCOME_MARKS = {
    "proven": "delivered",
    "failed": "failed",
    "under way": "owed",
    "untried": "dropped",
    "never": "dropped",
}
_OUTCOME_WORDS = {
    "untried": "not tried, because whatever it takes counts as a good or a bad backup",
    "never": "not tried yet",
    "under way": "under way",
}


def print_reached(found: Sequence["Reached"], out: Console) -> None:
    """An endpoint a paragraph: what came of its last drill, when it last took a message, and what was given up."""
    for each in found:
        result = each.result
        said = f": {one_line(result.said, 1000)}" if result.said and result.outcome != "untried" else ""
        at = f" {local(result.at)}" if result.at and result.outcome != "untried" else ""
        what = _OUTCOME_WORDS.get(result.outcome, result.outcome) + at
        print_marked(_OUTCOME_MARKS[result.outcome], f"{each.endpoint}: {what}{said}", out)
        lost = f"{each.given_up}, the oldest of {local(each.oldest)}" if each.given_up else None
        print_rows([("Last took a message", local(each.last_delivered)), ("Given up", lost)], out)


def _when(delivery: Delivery) -> datetime:
    return delivery.settled_at or delivery.next_attempt_at
