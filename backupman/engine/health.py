"""Whether everything in a config can be reached now: the store here, sources and drives each in a child, side by side.

Every check is bounded in time: what has not answered by then is down, whatever it hangs on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from queue import SimpleQueue
from threading import BoundedSemaphore, Lock, Thread, Timer
from typing import Any, Literal

from backupman import __version__
from backupman.config import Config
from backupman.data_plane import DataPlane
from backupman.data_plane.protocol import CheckTask
from backupman.errors import BackupmanError
from backupman.registry import Provider
from backupman.store import Store

_SIDE_BY_SIDE = 6
_STORE = "Database"


@dataclass(frozen=True)
class Component:
    """One thing that was checked; `error` is None when it is up."""

    group: str
    label: str
    error: str | None

    @property
    def status(self) -> str:
        """`UP` or `DOWN`."""
        return "UP" if self.error is None else "DOWN"


@dataclass(frozen=True)
class Health:
    """What the checks found, in the config's order."""

    components: list[Component]

    @property
    def status(self) -> str:
        """`UP` when every component is."""
        return _worst(self.components)

    def document(self) -> dict[str, Any]:
        """The documented shape of `GET /health`; `Error` beside a `DOWN` is ours."""
        store = next(component for component in self.components if component.group == _STORE)
        groups = {
            group: [each for each in self.components if each.group == group] for group in ("Drives", "DataSources")
        }
        details = {_STORE: _document(store)} | {
            group: {"Status": _worst(members), "Components": {member.label: _document(member) for member in members}}
            for group, members in groups.items()
        }
        return {"Version": __version__, "CommitSHA": None, "BuildDate": None, "Status": self.status, "Details": details}


class Checkup:
    """What the checks found last: asked again after a while only, so that callers cannot wear out the drives.

    Whoever asks while a check is under way gets what the one before it found; only the very first have to wait.
    """

    def __init__(self, kept: timedelta = timedelta(seconds=30), clock: Callable[[], float] = time.monotonic) -> None:
        self._kept = kept.total_seconds()
        self._clock = clock
        self._checking = Lock()
        self._last: tuple[Config, Health, float] | None = None

    def of(self, config: Config, timeout: timedelta) -> Health:
        """How everything in a config is; each check is given up after `timeout`."""
        known, fresh = self._known(config)
        if known and fresh:
            return known
        if not self._checking.acquire(blocking=known is None):
            assert known is not None  # noqa: S101 - otherwise we would have waited
            return known
        try:
            known, fresh = self._known(config)  # somebody may have been first
            if known and fresh:
                return known
            found = check(config, timeout)
            self._last = (config, found, self._clock())
            return found
        finally:
            self._checking.release()

    def _known(self, config: Config) -> tuple[Health | None, bool]:
        if self._last is None or self._last[0] is not config:
            return None, False
        _, health, at = self._last
        return health, self._clock() - at <= self._kept


def check(config: Config, timeout: timedelta) -> Health:
    """Check everything, each thing for `timeout` at most."""
    checks = [_Check(_STORE, _STORE, lambda: _check_store(config), lambda reason: None)]
    checks += [_in_child("Drives", "drives", drive.label, drive) for drive in config.drives]
    checks += [_in_child("DataSources", "sources", source.label, source) for source in config.data_sources]
    found: SimpleQueue[tuple[int, str | None]] = SimpleQueue()
    slots = BoundedSemaphore(_SIDE_BY_SIDE)
    for index, one in enumerate(checks):
        # Daemon threads: one that hangs in a connect without an end must not keep the process.
        Thread(target=one.run, args=(index, timeout, slots, found), name=f"check-{one.label}", daemon=True).start()
    errors: dict[int, str | None] = {}
    while len(errors) < len(checks):
        index, error = found.get()
        errors.setdefault(index, error)  # what comes after the time was up does not count
    return Health([Component(one.group, one.label, errors[index]) for index, one in enumerate(checks)])


@dataclass(frozen=True)
class _Check:
    group: str
    label: str
    look: Callable[[], None]
    cancel: Callable[[BackupmanError], None]

    def run(
        self, index: int, timeout: timedelta, slots: BoundedSemaphore, found: "SimpleQueue[tuple[int, str | None]]"
    ) -> None:
        late = BackupmanError(f"{self.label}: no answer within {timeout.total_seconds():g} s")

        def give_up() -> None:
            found.put((index, late.sentence))
            self.cancel(late)

        with slots:
            timer = Timer(timeout.total_seconds(), give_up)
            timer.daemon = True
            timer.start()
            found.put((index, self._error()))
            timer.cancel()

    def _error(self) -> str | None:
        try:
            self.look()
        except BackupmanError as error:
            return error.sentence
        except Exception as error:  # noqa: BLE001 - a check that breaks is down, and hides no other
            return f"{self.label}: unexpected {type(error).__name__}: {error}"
        return None


def _in_child(group: str, family: Literal["sources", "drives"], label: str, provider: Provider) -> _Check:
    data_plane = DataPlane()
    task = CheckTask(family=family, settings=provider.revealed())
    return _Check(group, label, lambda: data_plane.run(task), data_plane.cancel)


def _check_store(config: Config) -> None:
    store = Store.open(config.database.address(config.state_folder))
    try:
        store.check()
    finally:
        store.close()


def _document(component: Component) -> dict[str, Any]:
    return {"Status": component.status, "Components": None} | ({"Error": component.error} if component.error else {})


def _worst(components: list[Component]) -> str:
    return "DOWN" if any(component.error is not None for component in components) else "UP"
