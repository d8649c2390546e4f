"""What this process holds among several hosts that share the records, kept alive, and given up when it cannot be.

A claim ends `lease` after it was last renewed. Whoever could not renew for half of that ends its own work, so that
nobody works on something that another host has taken over meanwhile.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from threading import Event, Lock, Thread

from sqlmodel import Session

from backupman.data_plane.alive import since_boot
from backupman.engine.locks import source_lock
from backupman.errors import BusyError, StoreError
from backupman.naming import slug
from backupman.records import new_id
from backupman.store import Store
from backupman.store.claims import Holder

log = logging.getLogger(__name__)

_POLL = 0.5
_END_WITHIN = 5.0
_CUT_OFF = "the records could not be reached for so long that another host may have taken over"
_TAKEN = (
    "what this process holds was taken from it: another host may have taken over with a copy of the state folder {0}, "
    "where the copy's file `id` is to be removed"
)
LEAD = "lead"
"""Held by the one daemon of an instance that watches the clocks and sends what is owed."""


def alone(
    holding: "Holding | None", name: str, busy: str, *, wait: bool = False, stop: Callable[[], bool] = lambda: False
) -> AbstractContextManager[None]:
    """Ours alone among all hosts, where several share the records, while the `with` lasts.

    Raises:
        BusyError: another host has it, and `wait` is false or `stop` asked to end the waiting: `busy` and where.
    """
    return holding.claimed(slug(name), busy, wait=wait, stop=stop) if holding else nullcontext()


@contextmanager
def source_alone(
    state_folder: Path,
    holding: "Holding | None",
    label: str,
    *,
    wait: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[int]:
    """A source for ourselves: here by its lock, whose descriptor this is, and among all hosts by a claim.

    Raises:
        BusyError: it is being backed up, and `wait` is false or `stop` asked to end the waiting.
        StoreError: the lock or the claim cannot be had.
    """
    busy = f"{label} is being backed up already"
    with (
        source_lock(state_folder, label, wait=wait, stop=stop) as lock,
        alone(holding, f"source {label}", busy, wait=wait, stop=stop),
    ):
        yield lock


class Holding:
    """The claims of this process. Thread-safe.

    `on_lost` are told once when they cannot be kept; `on_renewed` until when, by `since_boot`, work may go on.
    """

    def __init__(self, store: Store, instance: str, state_folder: Path, lease: timedelta) -> None:
        self._claims = store.claims
        self._instance = instance
        self._state_folder = state_folder
        self._lease = lease
        self._held: set[str] = set()
        self._left: set[str] = set()
        """What we have let go of while the records could not be reached: it is ours there, until they can."""
        self._guard = Lock()
        self._starting = Lock()
        self._closed = Event()
        self._threads: list[Thread] = []
        self.lost = False
        self._good_until = 0.0
        self.on_lost: list[Callable[[str], None]] = []
        self.on_renewed: list[Callable[[float], None]] = []

    @cached_property
    def home(self) -> str:
        """The id of the state folder, made where there is none. Raises StoreError."""
        file = self._state_folder / "id"
        try:
            self._state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                part = file.with_name(f"id.{os.getpid()}")
                part.write_text(new_id())
                os.link(part, file)
            with suppress(FileNotFoundError):
                part.unlink()
            return file.read_text().strip()
        except OSError as error:
            raise StoreError(f"the state folder {self._state_folder} cannot be used: {error.strerror}") from error

    @cached_property
    def holder(self) -> Holder:
        """This process, as others see who holds something."""
        return Holder(self._instance, new_id(), self.home, socket.gethostname())

    def take(self, name: str) -> str | None:
        """None when it is ours now; else the host that has it. Raises StoreError."""
        with self._guard:
            if self.lost:
                return "another host"
            began = since_boot()
            other = self._claims.take(self.holder, name, self._lease)
            if other is None:
                if not self._held:
                    self._good_until = began + self._half
                self._held.add(name)
                self._left.discard(name)
        if other is None:
            self._start()
        return other

    def release(self, name: str) -> None:
        """Let go of it; where the records cannot be reached, as soon as they can, or it ends by itself."""
        with self._guard:
            self._held.discard(name)
            try:
                self._claims.release(self.holder, name)
            except StoreError as error:
                self._left.add(name)
                log.warning("%s", error.sentence)

    @contextmanager
    def claimed(self, name: str, busy: str, *, wait: bool, stop: Callable[[], bool]) -> Iterator[None]:
        """See `alone`."""
        while (host := self.take(name)) is not None:
            if not wait or stop():
                raise BusyError(f"{busy} on {host}; wait for it to end")
            time.sleep(_POLL)
        try:
            yield
        finally:
            self.release(name)

    @property
    def until(self) -> float | None:
        """Until when, by `since_boot`, work may go on unless it is put off; None while nothing is held."""
        return self._good_until if self._held else None

    def lives(self, home: str) -> bool:
        """Whether any process of a state folder holds something."""
        return self._claims.lives(self._instance, home)

    def fence(self, session: Session) -> None:
        """Let nobody else take the lead before the session's transaction has ended. Raises BusyError without it."""
        self._claims.require(session, self.holder, LEAD)

    def close(self) -> None:
        """Let go of everything."""
        self._closed.set()
        for thread in self._threads:
            thread.join(timeout=_END_WITHIN)  # before the store lets go of its connections
        for name in list(self._held):
            self.release(name)

    @property
    def _half(self) -> float:
        return self._lease.total_seconds() / 2

    def _start(self) -> None:
        with self._starting:
            if not self._threads:
                self._threads = [
                    Thread(target=work, name="holding", daemon=True) for work in (self._renew, self._watch)
                ]
                for thread in self._threads:
                    thread.start()

    def _renew(self) -> None:
        """Also for children that were started since: these know their time from `good_until`."""
        while not self._closed.wait(self._lease.total_seconds() / 8):
            with self._guard:
                if not self._held and not self._left:
                    continue
                began, count = since_boot(), len(self._held)
                try:
                    for name in list(self._left):
                        self._claims.release(self.holder, name)
                        self._left.discard(name)
                    kept = self._claims.renew(self.holder, self._lease)
                except StoreError as error:
                    log.warning("what is under way here cannot be claimed on: %s", error.sentence)
                    continue
                if kept == count:
                    self._good_until = began + self._half
            if kept < count:
                self._lose(_TAKEN.format(self._state_folder) if since_boot() <= self._good_until else _CUT_OFF)
                return
            for tell in self.on_renewed:
                tell(self._good_until)

    def _watch(self) -> None:
        while not self._closed.wait(min(_POLL, self._half / 4)):
            if self._held and since_boot() > self._good_until:
                self._lose(_CUT_OFF)
                return

    def _lose(self, reason: str) -> None:
        with self._starting:
            if self.lost:
                return
            self.lost = True
        log.critical("%s: what is under way here is ended", reason)
        for tell in self.on_lost:
            tell(reason)
