"""Alarm drills: a message that is marked as one, by the real way to every endpoint; whoever is not reached is told of.

What came of a drill stands in the outbox, and a failure in an incident that stands open until the endpoint is reached
again: a restart forgets nothing and repeats nothing.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import Lock
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy.exc import IntegrityError

from backupman.config import Config
from backupman.config.alarm_drill import AlarmDrill
from backupman.engine.samples import Recipient, recipients, sample
from backupman.errors import StoreError
from backupman.events import AlarmDrillReport, EventKind
from backupman.notifiers import is_nothing
from backupman.records import Delivery, DeliveryState, Event, Incident
from backupman.registry import format_duration
from backupman.store import Store
from backupman.store.jobs import Alarm, Changes
from backupman.text import minute

log = logging.getLogger(__name__)

LANE = "alarm drill"
"""What stands in place of a job; a drill waits for no other message, and none waits for it."""
_RUNS = "alarm drill: planned"
"""What stands in place of a job in the records of planned drills, and of since when there are any."""
_TOLD = (EventKind.ALARM_DRILL_FAILURE, EventKind.ALARM_DRILL_RECOVERED)
_WITHIN = AlarmDrill.model_fields["within"].default
_MOST = 40
"""Deliveries of a drill to one endpoint that are looked at."""


class Outcome(StrEnum):
    """Of a drill at one endpoint; `untried` where all that can be sent counts as a good or a bad backup."""

    PROVEN = "proven"
    FAILED = "failed"
    UNDER_WAY = "under way"
    UNTRIED = "untried"
    NEVER = "never"


@dataclass(frozen=True)
class Result:
    """What came of an endpoint's last drill: when it began, and the answer or why it did not arrive."""

    endpoint: str
    outcome: Outcome
    at: datetime | None = None
    said: str | None = None


def drilled(config: Config) -> list[Recipient]:
    """Who takes part in the drills of a config."""
    settings = config.alarm_drill
    return recipients(config, settings.notifiers or [] if settings else [])


def results(config: Config, store: Store, at: datetime, chosen: Sequence[Recipient]) -> list[Result]:
    """What came of the last drill at each of these endpoints, in their order."""
    return [_result(config, store, recipient.endpoint.name, at) for recipient in chosen]


def begin(config: Config, store: Store, chosen: Sequence[Recipient], due: datetime, at: datetime) -> bool:
    """Owe a drill to these endpoints; whether nobody else has begun the one of that due time. Raises StoreError."""
    names = [recipient.endpoint.name for recipient in chosen]
    _let_go(config, store, names)
    alarms = []
    for recipient, name in zip(chosen, names, strict=True):
        for event in _events(config, recipient, at):
            event.id = str(uuid5(NAMESPACE_OID, f"{config.instance}/{due.isoformat()}/{name}/{event.kind}"))
            alarms.append(Alarm(event, [name]))
    try:
        store.jobs.change_incidents(Changes(alarms=alarms), at)
    except StoreError as error:
        if isinstance(error.__cause__, IntegrityError):  # the events have these ids already
            return False
        raise
    log.info("an alarm drill begins: %s", ", ".join(names) or "nobody takes part")
    return True


class AlarmDrills:
    """The planned drills of an installation, and the incidents of endpoints that they did not reach. Thread-safe."""

    def __init__(self, store: Store, instance: str, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._instance = instance
        self._clock = clock
        self._lock = Lock()
        self._config: Config | None = None
        self._taking_part: list[Recipient] = []
        self._since = clock()

    def watch(self, config: Config) -> None:
        """Take this config from now on."""
        with self._lock:
            self._config, self._taking_part = config, drilled(config)

    def check(self) -> None:
        """Begin the drill that is due, and tell of endpoints that were not reached, or are again."""
        with self._lock:
            config, at = self._config, self._clock()
            if config is None:
                return
            found = results(config, self._store, at, self._taking_part) if config.alarm_drill else []
            if config.alarm_drill and found and self._begin_if_due(config, config.alarm_drill, at):
                found = results(config, self._store, at, self._taking_part)
            self._tell(config, found, at)

    def _begin_if_due(self, config: Config, planned: AlarmDrill, at: datetime) -> bool:
        """Begin what is due since the last planned drill; what was missed is made up for, once.

        A drill by hand, perhaps of one endpoint alone, takes the place of none.
        """
        due = planned.schedule.latest(at, self._last_planned(at))
        if due is None:
            return False
        begun = begin(config, self._store, self._taking_part, due, at)
        self._store.jobs.skip(self._instance, _RUNS, due, "a drill was begun")
        return begun

    def _last_planned(self, at: datetime) -> datetime:
        """When the last one was due; before the first since when they are, for a host may be off whenever one is."""
        jobs = self._store.jobs
        if first := jobs.last_run(self._instance, _RUNS, at):
            return first.due_at
        jobs.skip(self._instance, _RUNS, self._since, "from now on drills are held by the clock")
        return self._since

    def _tell(self, config: Config, found: Sequence[Result], at: datetime) -> None:
        known = {
            incident.source: incident
            for incident in self._store.jobs.open_incidents(self._instance)
            if incident.kind == EventKind.ALARM_DRILL_FAILURE
        }
        failed = [result.endpoint for result in found if result.outcome == Outcome.FAILED]
        others = [
            recipient.endpoint.name
            for recipient in self._taking_part
            if not recipient.block.shows_state and recipient.endpoint.name not in failed
        ]
        changes = Changes()
        for result in found:
            changes += _change(config, result, known.pop(result.endpoint, None), others, at)
        changes += Changes(closed=list(known.values()))  # they take part no longer
        if changes:
            self._store.jobs.change_incidents(changes, at)
        for alarm in changes.alarms:
            level = logging.ERROR if alarm.event.kind == EventKind.ALARM_DRILL_FAILURE else logging.INFO
            log.log(level, "%s: %s", alarm.event.kind, alarm.event.payload["Reason"])


def _change(config: Config, result: Result, known: Incident | None, others: Sequence[str], at: datetime) -> Changes:
    """What a result comes to: each failed drill is told once, and so is the first good one after it."""
    began = result.at or at
    others = [name for name in others if name != result.endpoint]
    if result.outcome == Outcome.FAILED and (known is None or known.due_at < began):
        reason = f"{result.endpoint} was not reached by the alarm drill of {minute(began)}: {result.said}"
        alarm = Alarm(_told(config, EventKind.ALARM_DRILL_FAILURE, result.endpoint, began, reason), others)
        if known:
            known.due_at = began
            return Changes(reminded=[known], alarms=[alarm])
        opened = Incident(
            instance=config.instance,
            kind=EventKind.ALARM_DRILL_FAILURE,
            job=LANE,
            source=result.endpoint,
            database="",
            due_at=began,
            opened_at=at,
            reminded_at=at,
        )
        return Changes(opened=[opened], alarms=[alarm])
    if result.outcome == Outcome.PROVEN and known:
        reason = f"{result.endpoint} was reached by the alarm drill of {minute(began)}, after one that had failed"
        alarm = Alarm(_told(config, EventKind.ALARM_DRILL_RECOVERED, result.endpoint, began, reason), others)
        return Changes(closed=[known], alarms=[alarm])
    return Changes()


def _told(config: Config, kind: EventKind, endpoint: str, began: datetime, reason: str) -> Event:
    report = AlarmDrillReport(
        label=endpoint,
        endpoint=endpoint,
        job=LANE,
        source=None,
        instance=config.instance,
        since=began,
        reason=reason,
    )
    return Event(kind=kind, instance=config.instance, job=LANE, payload=report.document())


def _events(config: Config, recipient: Recipient, at: datetime) -> Iterator[Event]:
    """What a drill sends to an endpoint: in earnest only what it wants, and never to one that shows a state."""
    earnest = config.alarm_drill.events if config.alarm_drill and not recipient.block.shows_state else []
    wanted = [kind for kind in earnest if kind in recipient.endpoint.events]
    for kind in wanted or [EventKind.ALARM_DRILL]:
        payload = sample(kind, recipient.names).payload if wanted else _drill(config, recipient, at).document()
        yield Event(kind=kind, time=at, instance=config.instance, job=LANE, payload=payload)


def _drill(config: Config, recipient: Recipient, at: datetime) -> AlarmDrillReport:
    name, names = recipient.endpoint.name, recipient.names
    return AlarmDrillReport(
        label=config.instance,
        endpoint=name,
        job=names["job"] if recipient.block.tells_apart else LANE,
        source=names["source"] if recipient.block.tells_apart else None,
        database=_database(config, recipient),
        instance=config.instance,
        since=at,
        reason=f"This is a drill: nothing has happened, and nothing is to be done. It proves that {name} is reached.",
    )


def _database(config: Config, recipient: Recipient) -> str | None:
    """The first database of the source whose check is tried, as far as the config names any: each has a check."""
    source = config.source(recipient.names["source"]) if recipient.block.tells_apart else None
    if source is None:
        return None
    return next(iter((source.named or ()) if source.many else source.list_databases()), None)


def _let_go(config: Config, store: Store, names: Sequence[str]) -> None:
    """What an earlier drill still owes to these would only hold this one up."""
    for name in names:
        owed = [
            delivery.id
            for delivery in store.reached.newest_to(config.instance, name, LANE, _MOST)
            if delivery.state == DeliveryState.OWED and delivery.event.kind not in _TOLD and delivery.id is not None
        ]
        if owed:
            store.outbox.drop(owed, "a newer alarm drill took its place")


def _result(config: Config, store: Store, endpoint: str, at: datetime) -> Result:
    found = store.reached.newest_to(config.instance, endpoint, LANE, _MOST)
    found = [delivery for delivery in found if delivery.event.kind not in _TOLD]
    if not found:
        return Result(endpoint, Outcome.NEVER)
    began = found[0].event.time
    last = [delivery for delivery in found if delivery.event.time == began]
    within = config.alarm_drill.within if config.alarm_drill else _WITHIN
    late = at - began > within
    outcomes = {_outcome(delivery, late=late): delivery for delivery in last}
    worst = next(outcome for outcome in _WORST_FIRST if outcome in outcomes)
    delivery = outcomes[worst]
    said = delivery.answer
    if worst in (Outcome.FAILED, Outcome.UNDER_WAY) and delivery.error:
        said = delivery.error.removeprefix(f"{endpoint}: ")
    elif worst == Outcome.FAILED:
        said = f"it was not delivered within {format_duration(within)}"
    return Result(endpoint, worst, began, said)


_WORST_FIRST = (Outcome.FAILED, Outcome.UNDER_WAY, Outcome.PROVEN, Outcome.UNTRIED)


def _outcome(delivery: Delivery, *, late: bool) -> Outcome:
    if delivery.state == DeliveryState.DELIVERED:
        return Outcome.PROVEN
    if delivery.state == DeliveryState.OWED and not late:
        return Outcome.UNDER_WAY
    return Outcome.UNTRIED if is_nothing(delivery.answer) else Outcome.FAILED
