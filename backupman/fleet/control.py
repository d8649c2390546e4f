"""What `backupman serve` does with a fleet: hands out instead of working, hears the workers, and sees to the dead."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from backupman.app import App
from backupman.engine.live import Live
from backupman.fleet.channel import Listener, Speaker
from backupman.fleet.handing import Handing
from backupman.fleet.queue import Queue
from backupman.fleet.reaping import Reaper
from backupman.fleet.runs import RunsOfWorkers


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
        self._reaper = Reaper(app.store, config.instance, self._queue, lambda: self.handing, clock)

    def start(self) -> None:
        """Begin to hear the workers."""
        self._speaker.start()
        self._listener.start()

    def hand_of(self, app: App) -> Handing:
        """What hands out by a config; to be set as `handing` once that config counts. Raises ConfigError."""
        return Handing(app, self._queue, self._speaker, self._clock)

    def check(self, app: App) -> None:
        """See to what dead workers left: for the daemon that leads."""
        self._reaper.check(app)

    def close(self) -> None:
        """Hear and tell nothing more."""
        self._listener.close()
        self._speaker.close()

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("Type") in ("began", "progress", "ended"):
            self._live.relay(message)
