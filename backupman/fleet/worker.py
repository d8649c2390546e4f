"""A worker: takes assignments from its queues and does them on this host, until it is stopped."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

from procrastinate.exceptions import ConnectorException

from backupman import __version__
from backupman.config.worker import load_worker
from backupman.engine.holding import Holding
from backupman.engine.live import Live
from backupman.engine.locks import worker_lock
from backupman.engine.readiness import OwnFiles
from backupman.errors import BackupmanError, BusyError, ConfigError
from backupman.fleet.channel import Listener, Speaker
from backupman.fleet.patience import PatientConnector
from backupman.fleet.queue import Queue
from backupman.fleet.tasks import Tasks
from backupman.fleet.telling import Telling
from backupman.logs import hide_secrets
from backupman.queues import ANY, queue_of_home
from backupman.records import Worker as WorkerRecord
from backupman.records import now
from backupman.store import Store
from backupman.store.workers import worker_claim
from backupman.text import first_line

log = logging.getLogger(__name__)

_LOOK_EVERY = 2.0
"""Seconds after which it says that it lives, and looks whether something was cancelled."""
_POLL = 5.0
_TICK = 0.2
_BEATS = 8
"""How often a worker says that it lives within the time after which it counts as dead."""


class Worker:
    """A worker of this host.

    Args:
        queues: names of queues beside those of its config.
        slots: how many assignments it has under way at once, instead of `max_parallel`.

    Raises:
        ConfigError: the config is wrong, or its records are not in PostgreSQL.
        StoreError: the store cannot be used.
        BusyError: another worker works from the same state folder.
    """

    def __init__(
        self,
        config_file: Path,
        queues: Sequence[str] = (),
        slots: int | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._loaded = load_worker(config_file)
        self.config = config = self._loaded.config
        hide_secrets(config.redact)
        address = config.database.address(config.state_folder)
        self._clock = clock
        self._lock = worker_lock(config.state_folder)
        self.own_files = OwnFiles("worker", config.state_folder / "worker.lock")
        self._store = Store.open(address)
        self._holding = Holding(self._store, config.instance, config.state_folder, config.database.takeover_after)
        self._queue = Queue(address, config.instance)
        self._live = Live()
        self._speaker = Speaker(self._queue.plain_conninfo, self._queue.channel)
        self._telling = Telling(self._live, self._speaker, self._holding.holder.host)
        self._listener = Listener(self._queue.plain_conninfo, self._queue.channel, self._hear)
        self._tasks = Tasks(self._loaded, self._store, self._holding, self._queue, self._live, clock)
        self._queues = sorted({*config.worker.queues, *queues})
        self._slots = slots or config.max_parallel
        self._asked = Event()
        self._hurried = Event()
        self._ended = Event()
        self._thread = Thread(target=self._work, name="working")
        self._going_on = Thread(target=self._tasks.go_on, name="going on", daemon=True)  # uploads may take hours
        self._looking = Thread(target=self._look, name="looking", daemon=True)
        self._takes = [*self._queues, *([ANY] if config.worker.take_any else [])]
        if not self._takes:
            raise ConfigError("the worker takes from no queue: name one by --queue, or set `worker.take_any: true`")

    @property
    def takes(self) -> str:
        """The queues that it takes from, for people."""
        return ", ".join(self._takes)

    def start(self) -> None:
        """Make itself known, settle what an earlier process left, and begin to take."""
        self._queue.prepare()
        holder, at = self._holding.holder, self._clock()
        if other := self._holding.take(worker_claim(holder.home)):
            raise BusyError(f"another worker works from {self.config.state_folder} on {other}; stop it first")
        self._store.workers.come(
            WorkerRecord(
                home=holder.home,
                instance=holder.instance,
                holder=holder.id,
                host=holder.host,
                version=__version__,
                queues=self._queues,
                takes_any=self.config.worker.take_any,
                slots=self._slots,
                started_at=at,
                heard_at=at,
            )
        )
        for part in (self._speaker, self._telling, self._listener, self._looking, self._going_on, self._thread):
            part.start()

    def lives(self) -> bool:
        """Whether it still takes and does, as it should from `start` on."""
        return self._thread.is_alive() and not self._holding.lost and not self.own_files.displaced()

    @property
    def lost(self) -> bool:
        """Whether it has ended by itself, so that another worker may have taken over."""
        return not self.lives()

    def hurry(self) -> None:
        """Let `stop` wait no longer for what is under way."""
        self._hurried.set()

    def stop(self, grace: timedelta) -> None:
        """Take no more, give what is under way a while, end the rest, and put it back into its queue."""
        self._asked.set()
        self._tasks.close()
        deadline = time.monotonic() + grace.total_seconds()
        while self._tasks.busy() and time.monotonic() < deadline and not self._hurried.wait(_TICK):
            pass
        self._tasks.stop("the worker was stopped")
        if self._thread.ident is not None:
            self._thread.join()
        self._ended.set()
        self._listener.close()
        self._telling.close()
        self._speaker.close()
        if not self._holding.lost:
            self._leave()
        self._holding.close()
        self._store.close()
        os.close(self._lock)

    def _leave(self) -> None:
        try:
            self._store.workers.go(self._holding.holder.home, self._clock())
        except BackupmanError as error:
            log.warning("that the worker has stopped could not be recorded: %s", error.sentence)

    def _work(self) -> None:
        try:
            asyncio.run(self._take())
        except ConnectorException as error:
            reason = first_line(str(error.__cause__ or error))
            log.error("the worker takes nothing more, as the queues in PostgreSQL cannot be used: %s", reason)
        except Exception:
            log.exception("the worker takes nothing more")

    async def _take(self) -> None:
        """Let Procrastinate fetch and call, until we are asked to stop; what is under way then is waited for."""
        threads = ThreadPoolExecutor(self._slots + 2, thread_name_prefix="assignment")
        asyncio.get_running_loop().set_default_executor(threads)
        lease = self.config.database.takeover_after.total_seconds()
        connector = PatientConnector(conninfo=self._queue.conninfo, min_size=1, max_size=4)
        app = self._queue.app(connector, self._tasks.do)
        names = [*self._takes, queue_of_home(self._holding.holder.home)]
        async with app.open_async():
            taking = asyncio.create_task(
                app.run_worker_async(
                    queues=[self._queue.name_of(name) for name in names],
                    name=self._holding.holder.host,
                    concurrency=self._slots,
                    delete_jobs="always",  # what came of it stands in the assignment
                    install_signal_handlers=False,
                    fetch_job_polling_interval=_POLL,
                    update_heartbeat_interval=lease / _BEATS,
                    stalled_worker_timeout=lease,
                )
            )
            while not (taking.done() or self._asked.is_set() or self._holding.lost):
                await asyncio.sleep(_TICK)
            taking.cancel()
            [ended] = await asyncio.gather(taking, return_exceptions=True)
            if isinstance(ended, Exception):
                raise ended

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_EVERY):
            try:
                self._store.workers.beat(self._holding.holder.home)
                self._tasks.look()
            except BackupmanError as error:
                log.warning("%s", error.sentence)

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("Type") == "cancel":
            self._tasks.cancel(message["Id"], message["Reason"])
