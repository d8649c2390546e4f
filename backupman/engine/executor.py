"""Who runs when: databases side by side within bounds, one source never twice at once, everything can be ended."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from functools import partial
from threading import BoundedSemaphore, Event, Lock

from backupman.config import Config, JobPlan
from backupman.data_plane import DataPlane
from backupman.data_plane.messages import Databases, Message
from backupman.data_plane.priority import Priority
from backupman.data_plane.tasks import DatabasesTask
from backupman.engine.calls import Begun, Call, Result, Task
from backupman.engine.holding import Holding, source_alone
from backupman.engine.pruning import Pruner
from backupman.engine.restoring import RestoreOrder, Restorer
from backupman.engine.runner import Order, Runner
from backupman.errors import BackupmanError, BusyError, Interrupted
from backupman.logs import about, about_backup
from backupman.records import Backup, Status, new_id
from backupman.sources import Source

log = logging.getLogger(__name__)

_TICK = 0.5


class Executor:
    """Runs jobs, retries and restores; `cancel` and `stop` end what is under way. Thread-safe."""

    def __init__(
        self, config: Config, runner: Runner, pruner: Pruner, restorer: Restorer, holding: Holding | None = None
    ) -> None:
        self._config = config
        self._holding = holding
        self._runner = runner
        self._pruner = pruner
        self._restorer = restorer
        self._closed = Event()
        self._stopped = Event()
        self._calls: list[Call] = []
        self._slots = BoundedSemaphore(config.max_parallel)
        self._priority = Priority(config.nice, config.ionice)
        self._under_way: dict[str, DataPlane] = {}
        self._guard = Lock()
        if holding:
            holding.on_lost.append(self.stop)
            holding.on_renewed.append(self._live_until)

    def run(self, plans: Sequence[JobPlan], sources: Sequence[str] | None, order: Order, *, wait: bool) -> Result:
        """Back up the sources of the plans (only those of the labels in `sources`); one's failure stops no other."""
        return self.start(plans, sources, order, wait=wait).result()

    def start(self, plans: Sequence[JobPlan], sources: Sequence[str] | None, order: Order, *, wait: bool) -> Call:
        """The same without waiting for the end."""
        work: dict[str, list[tuple[JobPlan, Source]]] = {}
        for plan in plans:
            for source in plan.sources:
                if sources is None or source.label in sources:
                    work.setdefault(source.label, []).append((plan, source))

        def one(label: str, begun: Begun) -> Result:
            result = Result()
            for plan, source in work[label]:
                result.add(self._source(plan, source, order, begun, wait=wait))
            return result

        return self._call({label: partial(one, label) for label in work})

    def retry(self, plans: Sequence[JobPlan], backups: Sequence[Backup], *, wait: bool) -> Result:
        """Go on from the failed drives of backups; a backup whose dump failed is made anew."""
        return self.start_retry(plans, backups, wait=wait).result()

    def start_retry(self, plans: Sequence[JobPlan], backups: Sequence[Backup], *, wait: bool) -> Call:
        """The same without waiting for the end; several of one source take turns, and are not busy with each other."""
        turns = {backup.source: Lock() for backup in backups}

        def one(backup: Backup, begun: Begun) -> Result:
            try:
                plan, source = planned(plans, backup)
            except BackupmanError as error:
                return Result(errors=[error])
            with turns[backup.source]:
                if backup.dump_status != Status.FINISHED:
                    return self._source(
                        plan, source, Order(trigger="retry"), begun, wait=wait, only=backup.database or None
                    )
                return self._guarded(plan, source, wait, lambda lock: self._retry(plan, backup, lock, begun))

        return self._call({backup.id: partial(one, backup) for backup in backups})

    def start_restore(self, order: RestoreOrder) -> Call:
        """Begin a restore. It waits for no backup: whoever needs one needs it now."""

        def one(begun: Begun) -> Result:
            try:
                with self._reachable(order.id) as data_plane:
                    if self._closed.is_set():
                        return Result()
                    restore = self._restorer.restore(order, data_plane, begun=lambda record: begun([record]))
                    return Result(restores=[restore])
            except BackupmanError as error:
                return Result(errors=[error])

        return self._call({order.id: one})

    def _call(self, tasks: Mapping[str, Task]) -> Call:
        call = Call(self, tasks)
        with self._guard:
            self._calls = [call, *(known for known in self._calls if not known.ended())]
        return call

    @property
    def busy(self) -> bool:
        """Whether anything is under way, or waits to be."""
        return any(not call.ended() for call in self._calls)

    def cancel(self, record_id: str, reason: str) -> bool:
        """End one backup or restore; whether it was under way here."""
        data_plane = self._under_way.get(record_id)
        if data_plane:
            data_plane.cancel(Interrupted(reason))
        return data_plane is not None

    def close(self) -> None:
        """Begin nothing more, also of what waits for its turn; what has begun goes on."""
        self._closed.set()

    def stop(self, reason: str) -> None:
        """End everything that is under way and begin nothing more."""
        self.close()
        self._stopped.set()
        with self._guard:
            for data_plane in self._under_way.values():
                data_plane.cancel(Interrupted(reason))

    def _source(
        self,
        plan: JobPlan,
        source: Source,
        order: Order,
        begun: Begun,
        *,
        wait: bool,
        only: str | None = None,
    ) -> Result:
        def back_up(lock: int) -> Result:
            result = Result()
            try:
                databases = [only] if only else self._databases(source)
            except BackupmanError as error:
                result.backups.append(self._runner.refuse(plan, source, order, error))
                begun(result.backups)
                return result
            with ExitStack() as stack:
                turns = []
                try:
                    for database in databases:  # each can be cancelled before anybody can know of it
                        backup_id = new_id()
                        data_plane = stack.enter_context(self._reachable(backup_id, self._priority))
                        turns.append((self._runner.begin(plan, source, database, order, backup_id), data_plane))
                except BackupmanError as error:
                    for backup, _ in turns:  # whose start was told
                        self._runner.give_up(plan, backup, error)
                    raise
                begun([backup for backup, _ in turns])
                with ThreadPoolExecutor(self._config.max_parallel, thread_name_prefix="database") as pool:
                    under_way = [
                        pool.submit(copy_context().run, partial(self._one, plan, source, backup, data_plane, lock))
                        for backup, data_plane in turns
                    ]
                result.backups += [backup.result() for backup in under_way]
            for failure in self._pruner.after(plan, source, result.backups):
                result.errors.append(failure)
            return result

        return self._guarded(plan, source, wait, back_up)

    def _one(self, plan: JobPlan, source: Source, backup: Backup, data_plane: DataPlane, lock: int) -> Backup:
        try:
            with about_backup(backup), self._turn(data_plane):
                return self._runner.run(plan, source, backup, data_plane, lock)
        except Interrupted as error:  # while it waited for its turn
            return self._runner.give_up(plan, backup, error)

    def _retry(self, plan: JobPlan, backup: Backup, lock: int, begun: Begun) -> Result:
        try:
            with about_backup(backup), self._data_plane(backup.id) as data_plane:
                return Result(backups=[self._runner.retry(plan, backup, data_plane, lock, begun)])
        except BackupmanError as error:
            return Result(errors=[error])

    def _guarded(self, plan: JobPlan, source: Source, wait: bool, work: Callable[[int], Result]) -> Result:
        """The work while the source's lock is held; a busy source and an unusable folder are results too."""
        with about(job=plan.label, source=source.label):
            try:
                folder, stop = self._config.state_folder, self._closed.is_set
                with source_alone(folder, self._holding, source.label, wait=wait, stop=stop) as lock:
                    return Result() if self._closed.is_set() else work(lock)
            except BusyError as error:
                if self._closed.is_set():
                    return Result()
                log.warning("%s", error.sentence)
                return Result(busy=[source.label])
            except BackupmanError as error:
                return Result(errors=[error])

    def _databases(self, source: Source) -> list[str]:
        if not source.many:
            return source.list_databases()
        names: list[str] = []

        def take(message: Message) -> None:
            if isinstance(message, Databases):
                names.extend(message.names)

        with self._data_plane(source.label) as data_plane:
            data_plane.run(DatabasesTask(source=source.revealed()), take)
        return names

    @contextmanager
    def _data_plane(self, key: str) -> Iterator[DataPlane]:
        """A data plane that `cancel` reaches, as soon as one may start; `key` is the id of its backup.

        Raises:
            Interrupted: it was cancelled before its turn came.
        """
        with self._reachable(key, self._priority) as data_plane, self._turn(data_plane):
            yield data_plane

    @contextmanager
    def _turn(self, data_plane: DataPlane) -> Iterator[None]:
        """Wait until one more may start. Raises Interrupted as `_data_plane`."""
        while not self._slots.acquire(timeout=_TICK):
            self._check(data_plane)
        try:
            self._check(data_plane)
            yield
        finally:
            self._slots.release()

    @contextmanager
    def _reachable(self, key: str, priority: Priority | None = None) -> Iterator[DataPlane]:
        """A data plane that `cancel` reaches. Restores, for which somebody waits, stand back behind nobody."""
        data_plane = DataPlane(priority)
        with self._guard:
            self._under_way[key] = data_plane
        if self._holding and self._holding.until:
            data_plane.live_until(self._holding.until)
        try:
            yield data_plane
        finally:
            with self._guard:
                del self._under_way[key]

    def _live_until(self, until: float) -> None:
        with self._guard:
            under_way = list(self._under_way.values())
        for data_plane in under_way:
            data_plane.live_until(until)

    def _check(self, data_plane: DataPlane) -> None:
        if self._stopped.is_set():
            raise Interrupted("the backup was interrupted before its turn came")
        data_plane.check()


def planned(plans: Sequence[JobPlan], backup: Backup) -> tuple[JobPlan, Source]:
    """The job and the source of a backup as the config has them now. Raises BackupmanError where they have left it."""
    plan = next((plan for plan in plans if plan.label == backup.job), None)
    if plan and (source := plan.source(backup.source)):
        return plan, source
    sentence = f"{backup.label}: its job {backup.job!r} or its source is not in the config any more"
    raise BackupmanError(sentence, permanent=True)
