"""The life of one restore into a database, from its record to its report."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from backupman.config import Config, JobPlan, wanting
from backupman.data_plane import DataPlane
from backupman.data_plane.messages import CopyFailed, Failed, Message, Restored
from backupman.data_plane.tasks import FillTask
from backupman.engine.holding import Holding, alone, source_alone
from backupman.engine.locks import source_lock
from backupman.engine.restores import copies_of, ending_of, origin_of, packed
from backupman.engine.spools import Spools
from backupman.engine.targets import Destination
from backupman.errors import BackupmanError, BusyError, ConfigError, NotFoundError
from backupman.events import EventKind, Time, View
from backupman.logs import about_backup
from backupman.pipeline.encryption import identities_in
from backupman.records import Backup, Event, Restore, Status, new_id, now
from backupman.sources import Target
from backupman.store import Store
from backupman.store.restores import Announce
from backupman.text import size, span

log = logging.getLogger(__name__)

_KINDS = {
    Status.PENDING: EventKind.RESTORE_START,
    Status.FINISHED: EventKind.RESTORE_SUCCESS,
    Status.FAILED: EventKind.RESTORE_FAILURE,
}


@dataclass(frozen=True)
class RestoreOrder:
    """What is to be restored where, and who asked for it."""

    backup: Backup
    destination: Destination
    identities: Sequence[str] = ()
    from_drive: str | None = None
    tables: Sequence[str] = ()
    jobs: int | None = None
    trigger: str = "manual"
    operator: str | None = None
    id: str = field(default_factory=new_id)
    """Its record's."""


class RestoreShown(View):
    """A restore, as the API and its events tell of it."""

    id: str = Field(description="The restore's id.")
    status: str = Field(description="`pending`, `finished` or `failed`.")
    label: str = Field(description="The backup's label.")
    backup_id: str = Field(description="The backup's id.")
    source: str = Field(description="The source that the backup was made of.")
    database: str = Field(description="The database that was dumped.")
    target: str = Field(description="Where it goes: a database and its server, or a file.")
    drive: str | None = Field(description="The drive whose copy was good.")
    instance: str = Field(description="Which installation restores.")
    trigger: str = Field(description="What began it: `manual` or `api`.")
    operator: str | None = Field(description="Who asked for it.")
    size: int | None = Field(description="Bytes of the dump.")
    seconds: float | None = Field(description="How long it took.")
    warnings: list[str] = Field(description="Sentences worth reading, although nothing failed.")
    error: str | None = Field(description="What went wrong.")
    created_at: Time = Field(description="When it began.")
    finished_at: Time | None = Field(description="When it ended.")


class RestoreReport(RestoreShown):
    """The payload of `restore_start`, `restore_success` and `restore_failure`."""

    job: str = Field(description="The job that made the backup.")
    reason: str = Field(description="What came of it, in a sentence.")


class Restorer:
    """Restores backups into databases."""

    def __init__(
        self, config: Config, plans: Sequence[JobPlan], store: Store, spools: Spools, holding: Holding | None = None
    ) -> None:
        self._config = config
        self._holding = holding
        self._plans = {plan.label: plan for plan in plans}
        self._store = store
        self._spools = spools

    def check(self, order: RestoreOrder) -> None:
        """Raise ConfigError or NotFoundError where it cannot even begin."""
        if order.tables and order.destination.replaces:
            whole = f"{order.destination.replaced} would be replaced as a whole by some of its tables"
            raise ConfigError(f"{whole}: restore them into a new database, and copy them from there")
        self._task(order)

    def _task(self, order: RestoreOrder) -> FillTask:
        """What the data plane is to do.

        Raises:
            ConfigError: an identity is missing.
            NotFoundError: no drive of the config holds the backup.
        """
        destination = order.destination
        return FillTask(
            label=order.backup.label,
            copies=copies_of(self._config, order.backup, order.from_drive),
            source=destination.source.revealed(),
            origin=origin_of(order.backup),
            target=Target(destination.database, destination.replaces, list(order.tables), order.jobs),
            folder=self._folder(order.id),
            **dict(packed(self._config, order.backup, self._identities(order))),
        )

    def _identities(self, order: RestoreOrder) -> Sequence[str]:
        """Those that were given; for an encrypted backup else those of `verify.identity_file`."""
        backup = order.backup
        if order.identities or not ending_of(self._config, backup).endswith(".age"):
            return order.identities
        plan = self._plans.get(backup.job)
        file = (plan.verify if plan else self._config.verify).identity_file
        if file is None:
            by = ("" if order.trigger == "api" else "--identity FILE, or ") + "verify.identity_file in the config"
            raise ConfigError(f"{backup.label}: the backup is encrypted; name the file of its age identity: {by}")
        return identities_in(file)

    def restore(
        self,
        order: RestoreOrder,
        data_plane: DataPlane,
        handle: Callable[[Message], None] = lambda message: None,
        begun: Callable[[Restore], None] = lambda restore: None,
    ) -> Restore:
        """Restore it; the settled record, whatever came of it. `begun` is told the record as soon as it is there.

        Raises:
            BusyError: another restore goes there, or what would be replaced is being backed up.
            BackupmanError: nothing was begun.
            KeyboardInterrupt: as it came, once the record is settled.
        """
        task = self._task(order)
        with about_backup(order.backup), self._alone(order.destination) as locks:
            restore = self._begin(order)
            begun(restore)
            outcome = _Outcome(handle)
            try:
                data_plane.run(task, outcome.take, hand_over=locks)
            except BackupmanError as error:
                sentence = order.destination.source.redact(error.sentence)
                outcome.error = sentence if restore.label in sentence else f"{restore.label}: {sentence}"
                if outcome.unended:
                    outcome.error += f"; look at {restore.target}, which may be there, and is not to be used as it is"
            except BaseException:
                outcome.error = f"{restore.label}: the restore was interrupted"
                self._settle(restore, outcome)
                raise
            finally:
                shutil.rmtree(task.folder, ignore_errors=True)  # of a child that was killed
            return self._settle(restore, outcome)

    def settle_dead(self, restore: Restore) -> None:
        """Settle what a dead process left, unless somebody works on it still; its folder is removed, nothing else."""
        try:
            with _target_lock(self._config.state_folder, restore.target):
                shutil.rmtree(self._folder(restore.id), ignore_errors=True)
                sentence = (
                    f"{restore.label}: backupman was killed, or the machine went down, during the restore: look at "
                    f"{restore.target}, which is not to be used as it is; drop it unless it was there before"
                )
                log.warning("%s", sentence)
                outcome = _Outcome()
                outcome.error = sentence
                self._settle(restore, outcome)
        except BusyError:
            pass

    def _begin(self, order: RestoreOrder) -> Restore:
        backup = order.backup
        restore = Restore(
            id=order.id,
            backup_id=backup.id,
            instance=self._config.instance,
            home=self._spools.home,
            label=backup.label,
            source=backup.source,
            database=backup.database,
            target=order.destination.place,
            trigger=order.trigger,
            operator=order.operator,
        )
        log.info("%s: it is being restored into %s", backup.label, restore.target)
        return self._store.restores.begin(restore, self._announcer(backup.job))

    def _settle(self, restore: Restore, outcome: "_Outcome") -> Restore:
        settled = self._store.restores.settle(restore.id, outcome.enter, self._announcer(self._job_of(restore)))
        if settled.status == Status.FAILED:
            log.error("%s", settled.error)
        else:
            log.info("%s", _sentence(settled))
        return settled

    def _job_of(self, restore: Restore) -> str:
        try:
            return self._store.backups.get(restore.backup_id).job
        except NotFoundError:  # its record went meanwhile
            return ""

    def _announcer(self, job: str) -> Announce:
        """What is told of a restore; called inside a transaction, so it asks the store nothing."""

        def announce(restore: Restore) -> tuple[Event, Sequence[str]]:
            kind = _KINDS[Status(restore.status)]
            shown = RestoreShown.of(restore).model_dump()
            report = RestoreReport(**shown, job=job, reason=_sentence(restore))
            event = Event(kind=kind, instance=restore.instance, job=job, payload=report.document())
            return event, wanting(self._config, self._plans.get(job), kind)

        return announce

    def _folder(self, restore_id: str) -> Path:
        return self._spools.folder / f"restore-{restore_id}.work"

    @contextmanager
    def _alone(self, destination: Destination) -> Iterator[Sequence[int]]:
        """The held locks: of the target, and of the source whose database is replaced."""
        folder = self._config.state_folder
        with ExitStack() as stack:
            locks = [stack.enter_context(_target_lock(folder, destination.place))]
            busy = f"another restore goes into {destination.place} now"
            stack.enter_context(alone(self._holding, f"restore into {destination.place}", busy))
            source = destination.source
            if destination.replaces and self._config.source(source.label) is source:
                locks.append(stack.enter_context(source_alone(folder, self._holding, source.label)))
            yield locks


@contextmanager
def _target_lock(state_folder: Path, place: str) -> Iterator[int]:
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(source_lock(state_folder, f"restore into {place}", wait=False))
        except BusyError as error:
            raise BusyError(f"another restore goes into {place} now: wait for it to end") from error
        yield lock


def _sentence(restore: Restore) -> str:
    if restore.status == Status.FAILED:
        return f"{restore.label} was not restored into {restore.target}."
    if restore.status == Status.FINISHED:
        took = f"{size(restore.size)} in {span(restore.seconds)}"
        return f"{restore.label} was restored into {restore.target} from {restore.drive}, {took}."
    return f"{restore.label} is being restored into {restore.target}."


class _Outcome:
    """What came of a restore."""

    def __init__(self, handle: Callable[[Message], None] = lambda message: None) -> None:
        self._handle = handle
        self._started = time.monotonic()
        self._restored: Restored | None = None
        self._warnings: list[str] = []
        self.error: str | None = None
        self.unended = False
        """Whether the child began, and has not said how it ended."""

    def take(self, message: Message) -> None:
        """One message of the data plane."""
        self.unended = not isinstance(message, Failed)
        match message:
            case Restored():
                self._restored = message
            case CopyFailed():
                self._warnings.append(message.error)
                log.warning("%s", message.error)
            case _:
                pass
        self._handle(message)

    def enter(self, restore: Restore) -> None:
        """Everything that is known now, into the record."""
        done = self._restored if self.error is None else None
        restore.status = Status.FINISHED if done else Status.FAILED
        restore.error = None if done else self.error or f"{restore.label}: the restore did not end"
        restore.drive = done.label if done else None
        restore.size = done.size if done else None
        restore.warnings = [*self._warnings, *done.warnings] if done else []
        restore.seconds = time.monotonic() - self._started
        restore.finished_at = now()
