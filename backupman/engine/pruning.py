"""Carries out the retention: judges a job's copies, marks or deletes those that go, and reports what it did.

An object that cannot be deleted stops nothing, and a record goes only when its object is gone.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from pydantic import Field

from backupman.config import Config, JobPlan
from backupman.data_plane import DataPlane
from backupman.data_plane.messages import Deleted, Message
from backupman.data_plane.tasks import DeleteTask, DriveTask, Floor
from backupman.drives import Drive
from backupman.engine.floors import floors_of, witnesses_of
from backupman.engine.hooks import OnError, unheard
from backupman.errors import BackupmanError, DriveError
from backupman.events import EventKind, Time, View
from backupman.records import Backup, DriveFile, Status, now
from backupman.retention import AHEAD, Copy, Retention, Verdict, beyond, judge
from backupman.sources import Source
from backupman.store import Store
from backupman.text import few, listed, minute, size

log = logging.getLogger(__name__)

_TOLD = 1000
"""How many copies a report lists; the numbers count all."""


@dataclass
class Step:
    """What becomes of one copy: `keep`, `mark` (its time in the trash begins), `trash` (it goes on) or `delete`.

    A drive may answer that it keeps a copy itself, by a lock or by rules of its own: it is `retained` then.
    """

    file: DriveFile
    action: str
    reason: str
    error: str | None = None


@dataclass
class Plan:
    """Every copy of a source by a job with what becomes of it, and of each drive what its rules cannot reach."""

    steps: list[Step] = field(default_factory=list)
    warnings_of: dict[str, list[str]] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """The sentences of all drives."""
        return [sentence for sentences in self.warnings_of.values() for sentence in sentences]

    def of(self, *actions: str) -> list[Step]:
        """The steps with one of these actions."""
        return [step for step in self.steps if step.action in actions]


class PrunedCopy(View):
    """A copy in a `prune_report`."""

    backup_id: str
    database: str
    drive: str
    path: str | None
    size: int | None = Field(description="Bytes.")
    created_at: Time = Field(description="When its backup was begun.")
    action: str = Field(description="`delete` or `mark`, which is deleted when `trash_for` is over.")
    reason: str = Field(description="Why no rule keeps it.")
    error: str | None = Field(description="Why it could not be deleted.")

    @classmethod
    def about(cls, step: Step) -> "PrunedCopy":
        """What became of one copy."""
        backup, file = step.file.backup, step.file
        return cls(
            backup_id=backup.id,
            database=backup.database,
            drive=file.label,
            path=file.path,
            size=file.size,
            created_at=backup.created_at,
            action=step.action,
            reason=step.reason,
            error=step.error,
        )


class PruneReport(View):
    """The payload of `prune_report`: what the retention did with the copies of one source."""

    label: str
    job: str
    source: str
    instance: str
    deleted: int
    marked: int
    failed: int
    kept: int
    freed: int = Field(description="Bytes.")
    copies: list[PrunedCopy] = Field(description="Those deleted, marked or failed, up to 1,000.")
    warnings: list[str] = Field(description="Where a rule could not be followed.")
    reason: str = Field(description="All this in a sentence.")


class Pruner:
    """Removes what the retention of a job lets go, and nothing of other jobs or instances."""

    def __init__(
        self, config: Config, store: Store, clock: Callable[[], datetime] = now, on_error: OnError = unheard
    ) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._on_error = on_error

    def after(self, plan: JobPlan, source: Source, backups: Sequence[Backup]) -> list[DriveError]:
        """Apply the retention to the databases of a source that have just finished; what went wrong."""
        databases = {backup.database for backup in backups if backup.status == Status.FINISHED}
        return self.prune(plan, source, self.plan(plan, source, databases)) if databases else []

    def plan(self, plan: JobPlan, source: Source, databases: Collection[str] | None = None) -> Plan:
        """What becomes of each copy of a source, or of these databases of it, by database and drive, newest first."""
        on_drives = [(drive, plan.retention_on(drive)) for drive in plan.drives if drive.capabilities.deletes]
        ruled = [(drive, rules) for drive, rules in on_drives if rules]
        if not ruled:  # nothing is ever removed, so there may be very many
            return Plan()
        files = self._store.copies.of(self._config.instance, plan.label, source.label, databases)
        names = {file.backup.database for file in files}
        ahead = self._clock() + AHEAD
        failing = self._store.copies.failing(self._config.instance, plan.label, source.label, names, ahead)
        restored = {restore.backup_id for restore in self._store.restores.pending(self._config.instance)}
        found = Plan()
        for drive, rules in ruled:
            on_drive = {file.id: file for file in files if file.label == drive.label}
            places = {(source.label, name) for name in failing}
            verdicts = judge(map(_copy, on_drive.values()), rules, self._clock(), plan.zone, places)
            steps = [self._step(on_drive[verdict.copy.id], verdict, rules) for verdict in verdicts]
            found.steps += [_spared(step) if step.file.backup_id in restored else step for step in steps]
            found.warnings_of[drive.label] = beyond(verdicts, rules)
        return found

    def _step(self, file: DriveFile, verdict: Verdict, rules: Retention) -> Step:
        if verdict.keep:
            return Step(file, "keep", verdict.reason)
        if not rules.trash_for:
            return Step(file, "delete", verdict.reason)
        if file.trashed_at is None:
            return Step(file, "mark", verdict.reason)
        end = file.trashed_at + rules.trash_for
        if self._clock() >= end:
            return Step(file, "delete", verdict.reason)
        return Step(file, "trash", f"{verdict.reason}; deleted after {minute(end)}")

    def prune(self, plan: JobPlan, source: Source, planned: Plan) -> list[DriveError]:
        """Do what was planned and report it; what went wrong, each with a sentence of its own."""
        for step in planned.steps:
            if step.action == "keep" and step.file.trashed_at:
                self._store.copies.mark(step.file.id, None)
        for step in planned.of("mark"):
            self._store.copies.mark(step.file.id, self._clock())
        drives = {drive.label: drive for drive in plan.drives}
        errors: list[tuple[str, DriveError]] = []
        deleted = sorted(planned.of("delete"), key=lambda step: (step.file.label, step.file.backup.created_at))
        for label, group in groupby(deleted, key=lambda step: step.file.label):
            steps = list(group)
            kept = [step.file for step in planned.of("keep") if step.file.label == label]
            going = [step.file for step in steps]
            witnesses, floors = witnesses_of(going, kept), floors_of(going, kept)
            errors += ((label, error) for error in self.remove(drives[label], steps, "retention", witnesses, floors))
        for sentence in planned.warnings:
            log.warning("%s", sentence)
        if planned.of("mark", "delete") or planned.warnings:
            self._report(plan, source, planned)
        for label, error in errors:
            self._on_error(plan, source.label, error, label)
        return [error for _, error in errors]

    def remove(
        self,
        drive: Drive,
        steps: Sequence[Step],
        on_behalf: str,
        witnesses: Sequence[str] = (),
        floors: Sequence[Floor] = (),
    ) -> list[DriveError]:
        """Remove objects with their sidecars, in this order; each record goes with its object.

        What came of each stands in its step; what went wrong is answered in sentences that begin with `on_behalf`.
        No record goes where there are `witnesses`, objects on record, and the drive holds none of them; nor one that is
        above a floor of which it holds none.
        """

        def take(message: Message) -> None:
            if isinstance(message, Deleted):
                step = steps[message.index]
                step.error = message.error
                done.add(message.index)
                if message.retained:
                    step.action, step.reason = "retained", message.retained
                    log.info("%s", message.retained)
                elif message.error is None:
                    log.info("%s: removed %s: %s", drive.label, step.file.path, step.reason)
                    self._store.copies.forget(step.file.id)

        done: set[int] = set()
        task = DeleteTask(
            drive=DriveTask(label=drive.label, settings=drive.revealed()),
            # The object last: while anything of a copy cannot go, its record stays, and must not stand for nothing.
            refs=[[ref for ref in (step.file.sidecar_ref, step.file.ref) if ref] for step in steps],
            witnesses=list(witnesses),
            floors=list(floors),
            retry=self._config.retry.policy(),
        )
        errors = []
        try:
            DataPlane().run(task, take)
        except BackupmanError as error:
            errors.append(DriveError(f"{on_behalf} on {drive.label} failed: {error.sentence}"))
            for index in set(range(len(steps))) - done:
                steps[index].error = error.sentence
        failed: dict[str, list[str]] = {}
        for step in (steps[index] for index in sorted(done)):
            if step.error:
                failed.setdefault(step.error, []).append(step.file.path or step.file.backup.object_name)
        errors += [DriveError(f"{on_behalf} could not remove {few(paths)}: {why}") for why, paths in failed.items()]
        for failure in errors:
            log.warning("%s", failure.sentence)
        return errors

    def _report(self, plan: JobPlan, source: Source, planned: Plan) -> None:
        report = _report(plan, source, self._config.instance, planned)
        kind = EventKind.PRUNE_REPORT
        self._store.outbox.announce(kind, plan.label, report.instance, report.document(), plan.wanting(kind))


def _spared(step: Step) -> Step:
    return step if step.action == "keep" else Step(step.file, "keep", "it is being restored")


def _copy(file: DriveFile) -> Copy:
    backup = file.backup
    return Copy(
        id=file.id,
        source=backup.source,
        database=backup.database,
        drive=file.label,
        created_at=backup.created_at,
        size=file.size or 0,
        pinned_until=backup.pinned_until,
        proved_at=file.proved_at,
        doubtful=file.verify_error is not None,
    )


def _report(plan: JobPlan, source: Source, instance: str, planned: Plan) -> PruneReport:
    failed = [step for step in planned.of("delete") if step.error]
    deleted = [step for step in planned.of("delete") if not step.error]
    marked = planned.of("mark")
    freed = sum(step.file.size or 0 for step in deleted)
    kept = len(planned.of("keep", "trash", "retained"))
    return PruneReport(
        label=source.label,
        job=plan.label,
        source=source.label,
        instance=instance,
        deleted=len(deleted),
        marked=len(marked),
        failed=len(failed),
        kept=kept,
        freed=freed,
        copies=[PrunedCopy.about(step) for step in [*failed, *deleted, *marked][:_TOLD]],
        warnings=planned.warnings,
        reason=_sentence(source.label, len(deleted), freed, len(marked), len(failed), planned.warnings),
    )


def _sentence(label: str, deleted: int, freed: int, marked: int, failed: int, warnings: Sequence[str]) -> str:
    said = {
        f"{deleted} old {'copy' if deleted == 1 else 'copies'} deleted ({size(freed)})": deleted,
        f"{marked} marked": marked,
        f"{failed} could not be deleted": failed,
    }
    found = listed([words for words, count in said.items() if count])
    return "; ".join([f"{label}: {found}" if found else "", *warnings]).strip("; ")
