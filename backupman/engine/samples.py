"""Marked samples of every event, and one attempt at telling them to endpoints, past outbox and records."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backupman.config import Config, plans
from backupman.engine.alarms import IncidentReport
from backupman.engine.pruning import PruneReport
from backupman.engine.queues import report_on
from backupman.engine.reconcile_report import Review, report_of
from backupman.engine.records_watch import RecordsReport
from backupman.engine.restoring import RestoreReport
from backupman.engine.trials import Trial, attempt
from backupman.engine.verify_report import VerifyReport
from backupman.engine.workers import Queue
from backupman.events import AlarmDrillReport, BackupExtended, DriveFileExtended, EventKind, NotificationReport, View
from backupman.notifiers import Endpoint, Message, Notifier
from backupman.records import new_id, now

LABEL = "TEST"
SENTENCE = "This is a test of Backupman's notifiers: nothing has happened."

_LONGEST = 300.0
_STATUSES = {"start": "pending", "failure": "failed"}
_USUAL = (EventKind.BACKUP_REPORT, EventKind.BACKUP_SUCCESS, EventKind.BACKUP_FAILURE)
"""What an endpoint is tried by if it wants such events, the first of them."""


@dataclass(frozen=True)
class Recipient:
    """An endpoint with the block that it comes from, and the names that its samples are about."""

    endpoint: Endpoint
    block: Notifier
    names: Mapping[str, str]

    def kinds(self, wanted: EventKind | None) -> Sequence[EventKind]:
        """The events that it is tried by: the one that is wanted, or what changes its state least."""
        if wanted:
            return [wanted]
        if self.block.tried_by:
            return self.block.tried_by
        return [next((kind for kind in _USUAL if kind in self.endpoint.events), EventKind(self.endpoint.events[0]))]


def recipients(config: Config, wanted: Sequence[str] = ()) -> list[Recipient]:
    """The endpoints of those names (label, provider, full or own name, as in jobs); without any, all of them."""
    jobs = plans(config)
    found = []
    for block in config.all_notifiers():
        for endpoint in block.endpoints():
            if wanted and not set(block.names_of(endpoint)) & set(wanted):
                continue
            job = next((job for job in jobs if endpoint.name in (told.name for told in job.endpoints)), jobs[0])
            # A service with a state for each source knows none of a test; one that alerts must not mix it with another.
            source = job.sources[0].label if block.tells_apart and job.sources else LABEL
            found.append(Recipient(endpoint, block, {"job": job.label, "source": source, "instance": config.instance}))
    return found


def names(config: Config) -> list[str]:
    """Every name that a recipient can be meant by."""
    blocks = config.all_notifiers()
    return list(dict.fromkeys(n for block in blocks for each in block.endpoints() for n in block.names_of(each)))


def sample(kind: EventKind, names: Mapping[str, str]) -> Message:
    """An event of that kind about nothing that has happened, which says so wherever it has words."""
    payload = _SHAPES[kind](kind, **names).document()
    return Message(id=new_id(), event=kind, time=now(), payload=payload, log=[SENTENCE])


async def tell(recipients: Sequence[Recipient], wanted: EventKind | None, longest: float = _LONGEST) -> list[Trial]:
    """Make one attempt at each recipient, all at once; what came of each, in their order."""
    told = await asyncio.gather(*(_tell(recipient, wanted, longest) for recipient in recipients))
    return [trial for trials in told for trial in trials]


async def _tell(recipient: Recipient, wanted: EventKind | None, longest: float) -> list[Trial]:
    # one after the other: the second may end what the first began
    return [
        await attempt(recipient.endpoint, sample(kind, recipient.names), longest) for kind in recipient.kinds(wanted)
    ]


def _backup(kind: EventKind, *, job: str, source: str, instance: str) -> View:
    status, at, backup_id = _STATUSES.get(kind.rsplit("_", 1)[-1], "finished"), now(), new_id()
    failed = status == "failed"
    file = DriveFileExtended(
        id=new_id(),
        backup_id=backup_id,
        provider="local",
        label=LABEL,
        path="test.sql.gz",
        status=status,
        created_at=at,
        updated_at=at,
        size=0,
        sha256=None,
        required=True,
        attempts=1,
        seconds=0.0,
        error=SENTENCE if failed else None,
    )
    return BackupExtended(
        id=backup_id,
        status=status,
        label=LABEL,
        dump_path=None,
        created_at=at,
        updated_at=at,
        drive_files=[file],
        job=job,
        source=source,
        database=LABEL,
        source_provider="sqlite",
        instance=instance,
        trigger="test",
        operator=None,
        comment=SENTENCE,
        tags={"test": "true"},
        phase=None,
        size=0,
        stored_size=0,
        sha256=None,
        dump_seconds=0.0,
        seconds=0.0,
        warnings=[] if failed else [SENTENCE],
        error=SENTENCE if failed else None,
    )


def _incident(kind: EventKind, *, job: str, source: str, instance: str) -> View:
    at = now()
    return IncidentReport(
        label=LABEL,
        job=job,
        source=source,
        source_provider="sqlite",
        database=LABEL,
        databases=[LABEL],
        instance=instance,
        sender=None,
        incident=EventKind.BACKUP_LATE if kind == EventKind.BACKUP_RECOVERED else kind,
        since=at,
        reminder=False,
        due_at=at,
        max_age=None,
        last_success=None,
        size=None,
        usual_size=None,
        reason=SENTENCE,
    )


def _notification(_: EventKind, *, job: str, source: str, instance: str) -> View:
    return NotificationReport(
        id=new_id(),
        label=LABEL,
        device=source,
        sender="backupman",
        job=job,
        type="test",
        severity="info",
        message=SENTENCE,
        time=now(),
        instance=instance,
    )


def _pruned(_: EventKind, *, job: str, source: str, instance: str) -> View:
    return PruneReport(
        label=LABEL,
        job=job,
        source=source,
        instance=instance,
        deleted=0,
        marked=0,
        failed=0,
        kept=0,
        freed=0,
        copies=[],
        warnings=[],
        reason=SENTENCE,
    )


def _reconciled(_: EventKind, *, job: str, source: str, instance: str) -> View:
    return report_of(Review(LABEL), instance).model_copy(update={"reason": SENTENCE})


def _verified(kind: EventKind, *, job: str, source: str, instance: str) -> View:
    return VerifyReport(
        label=LABEL,
        job=job,
        source=source,
        instance=instance,
        level="checksum",
        good=0,
        bad=int(kind == EventKind.VERIFY_FAILURE),
        copies=[],
        reason=SENTENCE,
    )


def _restored(kind: EventKind, *, job: str, source: str, instance: str) -> View:
    status, at = _STATUSES.get(kind.rsplit("_", 1)[-1], "finished"), now()
    return RestoreReport(
        id=new_id(),
        status=status,
        label=LABEL,
        backup_id=new_id(),
        source=source,
        database=LABEL,
        target=LABEL,
        drive=None,
        instance=instance,
        trigger="test",
        operator=None,
        size=0,
        seconds=0.0,
        warnings=[],
        error=SENTENCE if status == "failed" else None,
        created_at=at,
        finished_at=at,
        job=job,
        reason=SENTENCE,
    )


def _drill(_: EventKind, *, job: str, source: str, instance: str) -> View:
    return AlarmDrillReport(
        label=LABEL, endpoint=LABEL, job=job, source=source, instance=instance, since=now(), reason=SENTENCE
    )


def _queue(_: EventKind, *, job: str, source: str, instance: str) -> View:
    return report_on(Queue(LABEL, 0, None, (), None), instance, now(), SENTENCE)


def _records(kind: EventKind, *, job: str, source: str, instance: str) -> View:
    return RecordsReport(
        label=LABEL, instance=instance, host=LABEL, since=now(), until=None, told=[], reminder=False, reason=SENTENCE
    )


_SHAPES = {
    EventKind.BACKUP_START: _backup,
    EventKind.BACKUP_REPORT: _backup,
    EventKind.BACKUP_SUCCESS: _backup,
    EventKind.BACKUP_FAILURE: _backup,
    EventKind.BACKUP_LATE: _incident,
    EventKind.BACKUP_MISSED: _incident,
    EventKind.BACKUP_STUCK: _incident,
    EventKind.BACKUP_RECOVERED: _incident,
    EventKind.SIZE_ANOMALY: _incident,
    EventKind.PRUNE_REPORT: _pruned,
    EventKind.RECONCILE_REPORT: _reconciled,
    EventKind.VERIFY_SUCCESS: _verified,
    EventKind.VERIFY_FAILURE: _verified,
    EventKind.RESTORE_START: _restored,
    EventKind.RESTORE_SUCCESS: _restored,
    EventKind.RESTORE_FAILURE: _restored,
    EventKind.NOTIFICATION: _notification,
    EventKind.ALARM_DRILL: _drill,
    EventKind.ALARM_DRILL_FAILURE: _drill,
    EventKind.ALARM_DRILL_RECOVERED: _drill,
    EventKind.QUEUE_UNATTENDED: _queue,
    EventKind.QUEUE_RECOVERED: _queue,
    EventKind.RECORDS_FAILURE: _records,
    EventKind.RECORDS_RECOVERED: _records,
}
