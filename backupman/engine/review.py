"""Compares how a promise stands with the incidents that are open of it: what to open, remind of, close and tell.

Pure: nothing is read or written here. One event tells of all databases of a source that it is about.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from backupman.config import Config, wanting
from backupman.engine import alarms
from backupman.engine.promises import Deadline, Missed, Odd, Promise, Target, deadline, odd_size
from backupman.events import EventKind
from backupman.records import Event, Incident
from backupman.store.jobs import Alarm, Changes

LATE, MISSED = EventKind.BACKUP_LATE, EventKind.BACKUP_MISSED
STUCK, ODD = EventKind.BACKUP_STUCK, EventKind.SIZE_ANOMALY
OF_PROMISES = (LATE, MISSED, STUCK, ODD)
"""The kinds of incidents of promises; there are others, of endpoints and of queues."""


class Review:
    """One look at one promise; `changes` is what it comes to."""

    def __init__(
        self, config: Config, promise: Promise, targets: Sequence[Target], incidents: Sequence[Incident], at: datetime
    ) -> None:
        self._config = config
        self._promise = promise
        self._targets = targets
        self._open = list(incidents)
        self._at = at
        self._gone = [incident for incident in self._open if not self._concerned(incident)]
        """Of databases that the newest run did not find any more: that is an end too, and told as one."""
        self._deadlines: dict[str, Deadline] = {}
        for target in targets:
            if found := deadline(promise, target):
                self._deadlines[target.database] = found
        self.changes = Changes()

    def look(self) -> Changes:
        """What has to change now."""
        self._close(self._gone)
        self._find_stuck()
        self._find_late()
        self._find_recovered()
        self._find_odd()
        self._remind()
        return self.changes

    def miss(self, missed: Missed) -> Changes:
        """What has to change because a run was missed; nothing where that was told already and nothing came since."""
        if not self._of_kind(MISSED):
            reason = alarms.missed(self._promise, missed)
            self._open_incident(MISSED, self._promise.key.database, missed.due)
            self._tell(MISSED, self._targets, reason, since=self._at, due=missed.due)
            self._close(self._of_kind(LATE))
        return self.changes

    @property
    def again_at(self) -> datetime | None:
        """When the next deadline ends, if nothing happens before; None when none does."""
        return min((found.until for found in self._deadlines.values() if found.until > self._at), default=None)

    def _find_stuck(self) -> None:
        known = self._of_kind(STUCK)
        found = [t for t in self._targets if t.stuck and not any(self._concerns(incident, t) for incident in known)]
        if found:
            for target in found:
                self._open_incident(STUCK, self._name(target), target.stuck.created_at if target.stuck else self._at)
                self._close([late for late in self._of_kind(LATE) if late.database == self._name(target)])
            self._tell(STUCK, found, alarms.stuck(self._promise, found), since=self._at)

    def _find_late(self) -> None:
        known = self._of_kind(LATE, MISSED, STUCK)
        found = [
            target
            for target in self._targets
            if self._is_late(target) and not any(self._concerns(incident, target) for incident in known)
        ]
        if found:
            first = min((self._deadlines[target.database] for target in found), key=lambda deadline: deadline.until)
            for target in found:
                self._open_incident(LATE, self._name(target), self._deadlines[target.database].due)
            reason = alarms.late(self._promise, found, first)
            self._tell(LATE, found, reason, since=self._at, due=first.due)

    def _find_recovered(self) -> None:
        """What is over; told once nothing of the source is wrong any more."""
        over = [incident for incident in self._of_kind(LATE, MISSED, STUCK) if self._is_over(incident)]
        self._close(over)
        self._tell_recovered(over, LATE, MISSED, STUCK)

    def _find_odd(self) -> None:
        odd = {t.database: found for t in self._targets if (found := odd_size(t.sizes, self._config.deadlines))}
        known = {incident.database: incident for incident in self._of_kind(ODD)}
        fresh = [target for target in self._targets if target.database in odd and self._name(target) not in known]
        for target in fresh:
            self._open_incident(ODD, self._name(target), self._at)
        if fresh:
            reason = alarms.odd(self._promise, fresh, odd)
            self._tell(ODD, fresh, reason, since=self._at, odd={t.database: odd[t.database] for t in fresh})
        over = [known[self._name(t)] for t in self._targets if t.database not in odd and self._name(t) in known]
        self._close(over)
        self._tell_recovered(over, ODD)

    def _remind(self) -> None:
        every = self._config.deadlines.remind_every
        for kind in OF_PROMISES:
            open_ones = [incident for incident in self._of_kind(kind) if incident not in self.changes.opened]
            # a time that lies ahead was written by a clock that was wrong
            if any(not timedelta() <= self._at - incident.reminded_at < every for incident in open_ones):
                self.changes.reminded += open_ones
                self._tell_again(kind, open_ones)

    def _tell_again(self, kind: EventKind, incidents: Sequence[Incident]) -> None:
        targets = self._all_concerned(incidents)
        odd = {t.database: found for t in targets if (found := odd_size(t.sizes, self._config.deadlines))}
        reason = {
            STUCK: lambda: alarms.stuck(self._promise, targets),
            ODD: lambda: alarms.odd(self._promise, targets, odd),
        }.get(kind, lambda: alarms.still(self._promise, targets))()
        since, due = min(i.opened_at for i in incidents), min(i.due_at for i in incidents)
        absent = kind in (LATE, MISSED)
        self._tell(kind, targets, reason, since=since, due=due if absent else None, odd=odd, reminder=True)

    def _tell_recovered(self, over: Sequence[Incident], *kinds: EventKind) -> None:
        gone = [incident for incident in self._gone if incident.kind in kinds]
        if not (over or gone) or self._of_kind(*kinds):
            return
        first = min([*over, *gone], key=lambda incident: incident.opened_at)
        targets = self._all_concerned(over)
        incident = EventKind(first.kind)
        reason = alarms.recovered(self._promise, targets, incident, [incident.database for incident in gone])
        self._tell(EventKind.BACKUP_RECOVERED, targets, reason, since=first.opened_at, incident=incident)

    def _is_late(self, target: Target) -> bool:
        found = self._deadlines.get(target.database)
        return found is not None and self._at >= found.until

    def _is_over(self, incident: Incident) -> bool:
        """Whether everything it concerns is in time, and has a good backup that came after it."""
        concerned = self._concerned(incident)
        if any(self._is_late(target) for target in concerned):
            return False
        if incident.kind == LATE and incident.database == self._name(concerned[0]):
            return True
        return all(target.good and target.good.created_at >= incident.due_at for target in concerned)

    def _concerned(self, incident: Incident) -> list[Target]:
        return [target for target in self._targets if self._concerns(incident, target)]

    def _all_concerned(self, incidents: Sequence[Incident]) -> list[Target]:
        return [t for t in self._targets if any(self._concerns(incident, t) for incident in incidents)]

    def _concerns(self, incident: Incident, target: Target) -> bool:
        """An incident of the source as a whole concerns all its databases, and before any is known the other way."""
        whole = self._promise.key.database
        return incident.database in {whole, target.database} or target.database == ""

    def _name(self, target: Target) -> str:
        """What stands as the database in an incident: of ingested jobs the sender."""
        return target.database or self._promise.key.database

    def _of_kind(self, *kinds: EventKind) -> list[Incident]:
        return [incident for incident in self._open if incident.kind in kinds]

    def _open_incident(self, kind: EventKind, database: str, due: datetime) -> None:
        key = self._promise.key._replace(database=database)
        incident = Incident(
            instance=self._promise.of.instance,
            kind=kind,
            **key._asdict(),
            due_at=due,
            opened_at=self._at,
            reminded_at=self._at,
        )
        self.changes.opened.append(incident)
        self._open.append(incident)

    def _close(self, incidents: Sequence[Incident]) -> None:
        self.changes.closed += incidents
        self._open = [incident for incident in self._open if incident not in incidents]

    def _tell(
        self,
        kind: EventKind,
        targets: Sequence[Target],
        reason: str,
        *,
        since: datetime,
        due: datetime | None = None,
        odd: dict[str, Odd] | None = None,
        reminder: bool = False,
        incident: EventKind | None = None,
    ) -> None:
        report = alarms.report(
            self._promise,
            targets,
            incident=incident or kind,
            reason=reason,
            since=since,
            due_at=due,
            reminder=reminder,
            odd=next(iter((odd or {}).values())) if odd and len(odd) == 1 else None,
        )
        event = Event(
            kind=kind, instance=self._promise.of.instance, job=self._promise.key.job, payload=report.document()
        )
        self.changes.alarms.append(Alarm(event, wanting(self._config, self._promise.plan, kind)))
