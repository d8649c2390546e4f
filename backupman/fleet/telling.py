"""Tells the control hosts how the backups under way on this host go on."""

import time
from contextlib import suppress
from queue import Empty
from typing import Any

from backupman.engine.live import Live
from backupman.fleet.background import Background
from backupman.fleet.channel import Speaker

_TELL_EVERY = 1.0
"""Seconds between two messages about the progress of one backup."""
_REMIND_EVERY = 5.0
"""Seconds after which everything under way is told again: a control host may have come since."""


class Telling(Background):
    """Hears what `live` tells, and passes it on, not too often."""

    def __init__(self, live: Live, speaker: Speaker, host: str) -> None:
        super().__init__("telling")
        self._live = live
        self._speaker = speaker
        self._host = host
        self._told: dict[str, float] = {}

    def _work(self) -> None:
        queue, leave = self._live.subscribe()
        reminded = time.monotonic()
        while not self._closed.is_set():
            with suppress(Empty):
                self._pass_on(queue.get(timeout=_TELL_EVERY))
            if time.monotonic() - reminded > _REMIND_EVERY:
                reminded = time.monotonic()
                for running in self._live.running():
                    self._say({"Type": "progress"} | running)
        while not queue.empty():
            self._pass_on(queue.get())
        leave()

    def _pass_on(self, change: dict[str, Any]) -> None:
        backup_id, at = change["Id"], time.monotonic()
        if change["Type"] == "progress" and at - self._told.get(backup_id, 0) < _TELL_EVERY:
            return
        self._told[backup_id] = at
        if change["Type"] == "ended":
            self._told.pop(backup_id, None)
        self._say(change)

    def _say(self, change: dict[str, Any]) -> None:
        self._speaker.say(change | {"Host": self._host})
