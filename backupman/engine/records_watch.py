"""Watches that records can be written, and tells it past them where they cannot, for the outbox is among them.

That it was told stands in an empty file of the state folder, whose time says since when: that takes no room on a disk
that may be full. So a restart neither repeats it nor forgets to tell its end, which is an event like any other. What is
not told yet has a word in the file: daemons that cannot start, one after the other, are told of once that lasts, too.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Thread

from pydantic import Field

from backupman.config import Config, wanting
from backupman.config.model import Deliveries
from backupman.engine import loops
from backupman.engine.readiness import Waits
from backupman.engine.trials import Trial, attempt
from backupman.errors import StoreError
from backupman.events import EventKind, Time, View
from backupman.notifiers import Endpoint, Message, is_nothing
from backupman.records import new_id
from backupman.retry import backoff
from backupman.store import Store
from backupman.text import few, minute

log = logging.getLogger(__name__)

_PATIENCE = timedelta(seconds=30)
"""How long they may be out of use before somebody is told: a server needs less to be started again."""
_PATIENCE_WITH_WORK = timedelta(seconds=90)
"""The same where they can be written and only some work cannot use them, which is tried again after 30 seconds."""
_SO_THAT_IT = "begins no backups and tells nothing else: "
_LONGEST = 20.0
"""Seconds that one attempt at one endpoint may take."""
_ANSWERED_WITHIN = 40.0
"""Seconds; SQLite waits for its lock for 30."""


class RecordsReport(View):
    """The payload of `records_failure` and `records_recovered`."""

    label: str = Field(description="The installation's name.")
    instance: str
    host: str = Field(description="Where the daemon runs that cannot use them.")
    incident: str = Field(
        default=EventKind.RECORDS_FAILURE, description="`records_failure`; of a recovery, what is over."
    )
    since: Time = Field(description="Since when they cannot be used.")
    until: Time | None = Field(description="Since when they can be used again; null where they cannot.")
    told: list[str] = Field(description="Of a recovery, the endpoints that took the news of the failure.")
    reminder: bool = Field(description="Whether it was told before.")
    reason: str = Field(description="All this in a sentence.")


@dataclass
class _Telling:
    """One message on its way to everybody who wants it, tried again until each has taken it."""

    message: Message
    due: datetime
    attempts: int = 0
    done: set[str] = field(default_factory=set)

    async def _send(self, endpoints: Sequence[Endpoint]) -> Sequence[Trial]:
        left = [endpoint for endpoint in endpoints if endpoint.name not in self.done]
        trials = await asyncio.gather(*(attempt(endpoint, self.message, _LONGEST) for endpoint in left))
        self.done |= {trial.endpoint for trial in trials if trial.delivered}
        return trials

    def to(self, config: Config) -> Sequence[str]:
        """Try all of the config who want it and have not taken it yet; the names of those who were told now."""
        everyone = (endpoint for notifier in config.all_notifiers() for endpoint in notifier.endpoints())
        told = []
        for trial in loops.run(self._send([each for each in everyone if self.message.event in each.events])):
            if not trial.delivered:
                log.warning("%s: %s, and is tried again", trial.event, trial.error)
                continue
            log.info("%s: %s: %s", trial.endpoint, trial.event, trial.answer if is_nothing(trial.answer) else "sent")
            if not is_nothing(trial.answer):
                told.append(trial.endpoint)
        return told

    def put_off(self, settings: Deliveries, at: datetime) -> None:
        """Until the next attempt."""
        self.attempts += 1
        self.due = at + backoff(self.attempts, first=settings.first_wait, longest=settings.max_wait)


class _Mark:
    """The file that says since when, and whether that was told; where it cannot be written nothing is remembered."""

    def __init__(self, config: Config) -> None:
        self._file = config.state_folder / "records-failure"

    def read(self) -> tuple[datetime | None, bool]:
        """Since when, and whether it was told."""
        with suppress(OSError):
            found = self._file.stat()
            return datetime.fromtimestamp(found.st_mtime, UTC), not found.st_size
        return None, False

    def write(self, since: datetime, *, told: bool) -> None:
        """Remember both."""
        try:
            self._file.touch(mode=0o600)
            self._file.write_text("" if told else "not told yet")
            os.utime(self._file, (since.timestamp(), since.timestamp()))
        except OSError:
            if not told:  # without the word it would say the opposite
                self.remove()

    def remove(self) -> None:
        """It is over."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)


class _Question:
    """Whether records can be used, asked in a thread of its own: a server that hangs, or is cut off, never answers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._error: StoreError | None = None
        self._thread = Thread(target=self._ask, name="asking the records", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self._store.check()
        except StoreError as error:
            self._error = error

    def answered(self, within: float) -> bool:
        """Whether there is an answer after so many seconds at most. Raises StoreError where it is a no."""
        self._thread.join(within)
        if self._error:
            raise self._error
        return not self._thread.is_alive()


class RecordsWatch:
    """The records of the daemon that leads. Not thread-safe: it is asked by the clock, one time after the other.

    Args:
        config: what counts at the time.
        waits: what other work waits for.
    """

    lane = "records"
    """What it is called among what is done by the clock."""

    def __init__(self, store: Store, config: Callable[[], Config], waits: Waits, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._config = config
        self._waits = waits
        self._clock = clock
        self._mark = _Mark(config())
        self._question: _Question | None = None
        self._told: list[str] = []
        self._telling: _Telling | None = None
        self._since, told = self._mark.read()
        self._told_at = clock() if told else None

    def check(self) -> None:
        """Try them, and tell of what lasts, again of what goes on, and of its end. Raises StoreError."""
        try:
            self._ask()
        except StoreError as error:
            self._failed(_SO_THAT_IT + error.sentence, _PATIENCE)
            raise
        self._waits.over(self.lane)
        if reason := self._waits.reason:
            self._failed(f"cannot do all of its work: {reason}", _PATIENCE_WITH_WORK)
        else:
            self._recovered()

    def _ask(self) -> None:
        """Raise StoreError where they cannot be used or do not answer; an earlier look's question still counts."""
        question, self._question = self._question or _Question(self._store), None
        if not question.answered(_ANSWERED_WITHIN):
            self._question = question
            raise StoreError(
                f"the store {self._store.place} does not answer: see whether its server hangs, or the way to it"
            )

    def _failed(self, so_that_it: str, patience: timedelta) -> None:
        at, config = self._clock(), self._config()
        if self._since is None or self._since > at:
            self._since = at
        if at - self._since < patience:
            return
        # a time that lies ahead was taken from a clock that was wrong
        if self._told_at is None or not timedelta() <= at - self._told_at < config.deadlines.remind_every:
            self._begin(config, so_that_it, self._since, at)
        if self._telling and at >= self._telling.due:
            self._told += [name for name in self._telling.to(config) if name not in self._told]
            self._telling.put_off(config.deliveries, at)

    def _begin(self, config: Config, so_that_it: str, since: datetime, at: datetime) -> None:
        self._telling = _telling(config, so_that_it, since, at, reminder=self._told_at is not None)
        self._told_at = at
        self._mark.write(since, told=True)

    def _recovered(self) -> None:
        since, at, config = self._since, self._clock(), self._config()
        if since and self._told_at:
            told = f"{few(self._told)} had been told" if self._told else "nobody had been told, as far as is known"
            reason = (
                f"{config.instance} on {socket.gethostname()} can use its records again since {minute(at)}; "
                f"it could not since {minute(since)}, and {told}"
            )
            log.info("%s: %s", EventKind.RECORDS_RECOVERED, reason)
            payload = _report(config, since, reason, until=at, told=self._told).document()
            kind = EventKind.RECORDS_RECOVERED
            self._store.outbox.announce(kind, "", config.instance, payload, wanting(config, None, kind))
        self._mark.remove()
        self._since, self._told_at, self._telling, self._told = None, None, None, []


def tell_of_start(config: Config, sentence: str, at: datetime) -> None:
    """Tell that a daemon cannot begin for the sake of its records, once others could not before it, for a while."""
    mark = _Mark(config)
    since, told = mark.read()
    if since is None or since > at:
        mark.write(at, told=False)
        return
    lasts = not told and at - since >= _PATIENCE
    if lasts and _telling(config, _SO_THAT_IT + sentence, since, at).to(config):
        mark.write(since, told=True)


def _telling(config: Config, so_that_it: str, since: datetime, at: datetime, *, reminder: bool = False) -> _Telling:
    where = f"{config.instance} on {socket.gethostname()}"
    reason = f"since {minute(since)} {where} cannot use its records, so that it {so_that_it}"
    log.error("%s: %s", EventKind.RECORDS_FAILURE, reason)
    payload = _report(config, since, reason, reminder=reminder).document()
    return _Telling(Message(new_id(), EventKind.RECORDS_FAILURE, at, payload), at)


def _report(
    config: Config,
    since: datetime,
    reason: str,
    *,
    until: datetime | None = None,
    told: Sequence[str] = (),
    reminder: bool = False,
) -> RecordsReport:
    return RecordsReport(
        label=config.instance,
        instance=config.instance,
        host=socket.gethostname(),
        since=since,
        until=until,
        told=list(told),
        reminder=reminder,
        reason=reason,
    )
