"""Whether everything in a config can be reached now: the store here, sources and drives each in a child."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any

from backupman import __version__
from backupman.config import Config
from backupman.engine.side_by_side import Look, look_at, look_at_all
from backupman.store import Store

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
    looks = [(_STORE, Look(_STORE, lambda: _check_store(config)))]
    looks += [("Drives", look_at("drives", drive.label, drive)) for drive in config.drives]
    looks += [("DataSources", look_at("sources", source.label, source)) for source in config.data_sources]
    seen = look_at_all([look for _, look in looks], timeout)
    return Health([Component(group, look.label, one.error) for (group, look), one in zip(looks, seen, strict=True)])


def _check_store(config: Config) -> list[str]:
    store = Store.open(config.database.address(config.state_folder))
    try:
        store.check()
    finally:
        store.close()
    return []


def _document(component: Component) -> dict[str, Any]:
    return {"Status": component.status, "Components": None} | ({"Error": component.error} if component.error else {})


def _worst(components: list[Component]) -> str:
    return "DOWN" if any(component.error is not None for component in components) else "UP"
