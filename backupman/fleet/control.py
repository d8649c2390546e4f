"""What `backupman serve` does with a fleet: hands out instead of working, hears the workers, and sees to the dead."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from backupman.app import App
from backupman.engine.live import Live
from backupman.fleet.channel import Listener, Speaker
from backupman.fleet.handing import Handing
from backupman.fleet.proofs import ProofsOfWorkers
from backupman.fleet.queue import Queue
from backupman.fleet.reaping import Reaper
from backupman.fleet.runs import RunsOfWorkers
from backupman.records import AssignmentKind

_REAP_EVERY = timedelta(seconds=5)
_MOVE_EVERY = timedelta(seconds=20)
_DELIVER_EVERY = timedelta(seconds=2)


class Control:
    """A control host's part in a fleet.

    Raises:
        ConfigError: a worker could not be handed something of the config.
        StoreError: the queues cannot be made.
    """

    def __init__(self, app: App, live: Live, clock: Callable[[], datetime]) -> None:
        config = app.config
        self._queue = Queue(config.database.address(config.state_folder), config.instance)
        self._queue.prepare()
        self._live = live
        self._clock = clock
        self._speaker = Speaker(self._queue.plain_conninfo, self._queue.channel)
        self._listener = Listener(self._queue.plain_conninfo, self._queue.channel, self._hear)
        self.handing = self.hand_of(app)
        self.runs = RunsOfWorkers(app.store, config.instance, lambda: self.handing)
        self.proofs = ProofsOfWorkers(app.store, config.instance, lambda: self.handing, clock)
        self._reaper = Reaper(app.store, config.instance, self._queue, lambda: self.handing, clock)

    def start(self) -> None:
        """Begin to hear the workers."""
        self._speaker.start()
        self._listener.start()

    def hand_of(self, app: App) -> Handing:
        """What hands out by a config; to be set as `handing` once that config counts. Raises ConfigError."""
        return Handing(app, self._queue, self._speaker, self._clock)

    def lanes(self) -> list[tuple[timedelta, str, Callable[[], None]]]:
        """What the daemon that leads does again and again, and how often."""
        return [
            (_REAP_EVERY, "workers", lambda: self._reaper.check(self.handing.app)),
            (_MOVE_EVERY, "queues without workers", lambda: self._reaper.move(self.handing.app)),
            (_DELIVER_EVERY, "messages of workers", self._deliver),
        ]

    def _deliver(self) -> None:
        """Hand out what is owed to endpoints that workers send to."""
        handing, assignments = self.handing, []
        store, instance, served = handing.app.store, handing.app.config.instance, handing.sent_by_workers
        if not served:
            return
        begun = {each.queue for each in store.assignments.open(instance, kinds=[AssignmentKind.DELIVER])}
        for queue in sorted({*served.values()} - begun):
            due = store.outbox.next_due(instance, among=[name for name, its in served.items() if its == queue])
            if due and due <= self._clock():
                assignments.append(handing.new(AssignmentKind.DELIVER, queue, "", ""))
        handing.hand_out(assignments)

    def close(self) -> None:
        """Hear and tell nothing more."""
        self._listener.close()
        self._speaker.close()

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("Type") in ("began", "progress", "ended"):
            self._live.relay(message)
