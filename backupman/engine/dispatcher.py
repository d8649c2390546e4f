"""Sends what the outbox owes: claimed with a lease, tried with backoff, across restarts, every attempt recorded."""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from backupman.config.model import Deliveries
from backupman.engine import loops
from backupman.engine.breaker import Breaker
from backupman.engine.others import Others
from backupman.engine.readiness import Waits
from backupman.engine.too_late import too_late
from backupman.errors import BackupmanError, NotifyError, StoreError
from backupman.events import EventKind
from backupman.logs import about
from backupman.notifiers import Endpoint, Message, is_nothing
from backupman.records import Delivery, DeliveryState, now
from backupman.retry import backoff
from backupman.store import Store
from backupman.store.outbox import Attempt

log = logging.getLogger(__name__)

_BATCH = 100
_ENOUGH = 10
"""So many to one endpoint under way, and the others are served first: a slow one takes no room from them."""
_LEASE = timedelta(minutes=10)
_LONGEST_SEND = 300.0
_SHORTEST_SEND = 0.2
_RECORD_WITHIN = 120.0
_FAIR_SEND = 10.0
"""Seconds; an attempt that had less says nothing of its endpoint."""
_BESIDE_SEND = 30.0
"""Seconds that one attempt may take beside other work, whose end has to wait for it: what the mail server has taken
meanwhile would else be sent once more."""
_POLL = 0.5
_IDLE_POLL = 1.0
_START_WAIT = timedelta(minutes=1)
"""How long such an endpoint's start waits for another attempt at most: it has to make room for the end."""


class Dispatcher:
    """Delivers to the endpoints of the config, by their names, what its own instance owes.

    Not thread-safe: one event loop, or one `drain` at a time.

    Args:
        elsewhere: the names of endpoints whose messages others send.
        among: only these endpoints, where they are named; else also those which have left the config, to drop.
        sources: the labels of the config's, where another config may use the same records.
    """

    def __init__(
        self,
        settings: Deliveries,
        endpoints: Mapping[str, Endpoint],
        store: Store,
        instance: str,
        *,
        elsewhere: Collection[str] = (),
        among: Collection[str] | None = None,
        sources: Collection[str] | None = None,
    ) -> None:
        self._settings = settings
        self._others = Others(endpoints, sources, settings.give_up_after)
        self._elsewhere = elsewhere
        self._among = among
        self._endpoints = endpoints
        self._store = store
        self._instance = instance
        self._under_way: set[asyncio.Task[None]] = set()
        self._breaker: Breaker | None = None

    def drain(self, timeout: timedelta) -> int:
        """Deliver what is due, and what becomes due, until nothing is owed or the time is up; what is still owed."""
        return loops.run(self._drain(timeout.total_seconds()))

    async def _drain(self, seconds: float) -> int:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > _SHORTEST_SEND:
            await self.deliver_due(left)
            if self._under_way:
                continue
            due = await self._next_due()
            if due is None or (wait := (due - now()).total_seconds()) > deadline - time.monotonic():
                break
            await asyncio.sleep(min(max(wait, 0.05), _POLL))
        if self._under_way:  # each of them ends at the deadline by itself
            await asyncio.wait(self._under_way, timeout=_POLL)
        return await asyncio.to_thread(self._store.outbox.owed, self._instance)

    async def _next_due(self) -> datetime | None:
        """When something can be sent; what is owed to an endpoint that rests, when its rest is over."""
        resting = (await self._breakers()).resting(now())
        next_due, elsewhere = self._store.outbox.next_due, [*self._elsewhere, *self._others.left(now())]
        due = await asyncio.to_thread(next_due, self._instance, elsewhere, self._among)
        if due is None or not resting:
            return due
        other = await asyncio.to_thread(next_due, self._instance, [*elsewhere, *resting], self._among)
        return min([*([other] if other else []), *resting.values()])

    async def _breakers(self) -> Breaker:
        if self._breaker is None:
            self._breaker = Breaker(self._settings.first_wait, self._settings.max_wait)
            tried = await asyncio.to_thread(self._store.reached.tried_in_vain, self._instance)
            self._breaker.restore({name: count for name, count in tried.items() if self._serves(name)}, now())
        return self._breaker

    def _serves(self, endpoint: str) -> bool:
        return endpoint not in self._elsewhere and (self._among is None or endpoint in self._among)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Deliver in a thread while the caller works, so that a start is told in time; the rest is `drain`'s."""
        ended = threading.Event()
        thread = threading.Thread(target=lambda: loops.run(self._deliver_until(ended)), name="dispatcher")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    async def _deliver_until(self, ended: threading.Event) -> None:
        try:
            while not ended.is_set():
                if not await self.deliver_due(_BESIDE_SEND):
                    await asyncio.to_thread(ended.wait, _POLL)
        except StoreError:  # `drain` meets it again, and says so
            return
        finally:
            await asyncio.gather(*self._under_way, return_exceptions=True)
            self._under_way = set()

    async def deliver_due(self, longest: float = _LONGEST_SEND) -> int:
        """Start an attempt at every delivery that is due, and wait a moment for one to end; how many have ended.

        What is slow goes on beside the next call and holds nothing up.

        Raises:
            StoreError: the store cannot be used; nothing is lost, the leases end by themselves.
        """
        longest = min(longest, _LONGEST_SEND)
        more = True
        while more:
            claimed = await self._claim()
            begun = [(delivery.endpoint, self._deliver(delivery, longest)) for delivery in claimed]
            self._under_way |= {asyncio.create_task(work, name=endpoint) for endpoint, work in begun}
            more = len(claimed) >= _ENOUGH
        if not self._under_way:
            return 0
        done, self._under_way = await asyncio.wait(self._under_way, timeout=_POLL, return_when=asyncio.FIRST_COMPLETED)
        for error in [task.exception() for task in done]:
            if error:
                raise error
        return len(done)

    async def _claim(self) -> Sequence[Delivery]:
        """A few of what is due and has room, of endpoints that have not enough under way already."""
        room = min(_BATCH - len(self._under_way), _ENOUGH)
        under_way = Counter(task.get_name() for task in self._under_way)
        busy = [endpoint for endpoint, count in under_way.items() if count >= _ENOUGH]
        breaker, claim = await self._breakers(), self._store.outbox.claim
        if not room:
            return []
        left = self._others.left(now())
        without = [*busy, *breaker.open, *self._elsewhere, *left]
        found = list(await asyncio.to_thread(claim, self._instance, room, _LEASE, without=without, among=self._among))
        for endpoint in breaker.probed(now(), [*under_way, *left]):
            found += await asyncio.to_thread(claim, self._instance, 1, _LEASE, only=endpoint)
        if theirs := self._others.owing(found, now()):
            await asyncio.to_thread(self._store.outbox.leave, [delivery.id for delivery in theirs])
        return [delivery for delivery in found if delivery not in theirs]

    async def _deliver(self, delivery: Delivery, longest: float) -> None:
        at, started = now(), time.monotonic()
        state, answer, error = await self._send(delivery, longest)
        attempt = self._judge(delivery, at, time.monotonic() - started, state, answer, error)
        self._log(delivery, attempt)
        breaker = await self._breakers()
        fair = longest >= _FAIR_SEND or bool(error and error.retry_after)
        if state == DeliveryState.DELIVERED:
            breaker.answered(delivery.endpoint)
        elif error and state == DeliveryState.OWED and not error.permanent and fair:
            breaker.failed(delivery.endpoint, at, error.retry_after)
        assert delivery.id is not None  # noqa: S101 - it comes from the database
        await self._record(delivery.id, attempt)

    async def _record(self, delivery_id: int, attempt: Attempt) -> None:
        """Also where the store has a bad moment: unrecorded, what was sent would wait for the end of its lease.

        Raises:
            StoreError: it lasts too long.
        """
        deadline = time.monotonic() + _RECORD_WITHIN
        while True:
            try:
                return await asyncio.to_thread(self._store.outbox.record, delivery_id, attempt)
            except StoreError as error:
                if time.monotonic() > deadline:
                    raise
                log.warning("what came of a delivery is not recorded yet: %s", error.sentence)
            await asyncio.sleep(_POLL)

    def _log(self, delivery: Delivery, attempt: Attempt) -> None:
        event, name = delivery.event, delivery.endpoint
        level, said = logging.INFO, "sent" if attempt.state == DeliveryState.DELIVERED else attempt.answer
        if attempt.error:
            came_too_late = attempt.state == DeliveryState.DROPPED and name in self._endpoints
            lasting = logging.INFO if came_too_late else logging.ERROR
            level = logging.WARNING if attempt.next_attempt_at else lasting
            said = f"{attempt.state}: {attempt.error.removeprefix(f'{name}: ')}"
        with about(job=event.job, source=event.payload.get("Source") or "", backup_id=event.backup_id or ""):
            log.log(level, "%s: %s: %s", name, event.kind, said)

    async def _send(
        self, delivery: Delivery, longest: float
    ) -> tuple[DeliveryState, str | None, BackupmanError | None]:
        name = delivery.endpoint
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            gone = NotifyError(f"the endpoint {name!r} is not in the config any more", permanent=True)
            return DeliveryState.DROPPED, None, gone
        event = delivery.event
        if why := await asyncio.to_thread(too_late, self._store, endpoint, event, now()):
            return DeliveryState.DROPPED, None, NotifyError(f"{name}: {why}", permanent=True)
        lines = await asyncio.to_thread(self._store.run_logs.of, event.backup_id) if event.backup_id else []
        message = Message(id=event.id, event=event.kind, time=event.time, payload=event.payload, log=lines)
        try:
            async with asyncio.timeout(longest):
                answer = await endpoint.send(message)
            return DeliveryState.DROPPED if is_nothing(answer) else DeliveryState.DELIVERED, answer, None
        except NotifyError as error:
            return DeliveryState.OWED, error.answer or None, error
        except TimeoutError:
            in_time = f"within {longest:.0f} s" if longest >= _FAIR_SEND else "before the time to deliver was over"
            return DeliveryState.OWED, None, NotifyError(f"{name}: no answer {in_time}")
        except Exception as error:  # noqa: BLE001 - a notifier's fault of any kind is recorded, and hurts nobody else
            return DeliveryState.OWED, None, NotifyError(f"{name}: unexpected {type(error).__name__}", permanent=True)

    def _longest_wait(self, delivery: Delivery) -> timedelta:
        endpoint = self._endpoints.get(delivery.endpoint)
        makes_room = endpoint and endpoint.only_now and delivery.event.kind == EventKind.BACKUP_START
        return min(_START_WAIT, self._settings.max_wait) if makes_room else self._settings.max_wait

    def _judge(
        self,
        delivery: Delivery,
        at: datetime,
        seconds: float,
        state: DeliveryState,
        answer: str | None,
        error: BackupmanError | None,
    ) -> Attempt:
        """Whether and when there is another attempt."""
        next_at = None
        if state == DeliveryState.OWED and error:
            wait = backoff(delivery.attempts, first=self._settings.first_wait, longest=self._longest_wait(delivery))
            last_at = delivery.created_at + self._settings.give_up_after
            next_at = at + max(wait, timedelta(seconds=error.retry_after or 0))
            if at < last_at:
                next_at = min(next_at, last_at)
            # what was due before, while nobody could send it, has one more: the network may not be up yet; and a time
            # that is still to come was written by a clock that was ahead
            if error.permanent or min(delivery.next_attempt_at, at) >= last_at:
                state, next_at = DeliveryState.FAILED, None
        return Attempt(
            number=delivery.attempts,
            state=state,
            at=at,
            seconds=seconds,
            answer=answer,
            error=error.sentence if error else None,
            next_attempt_at=next_at,
        )


def delivering(dispatcher: Callable[[], Dispatcher], stopping: threading.Event, waits: Waits) -> threading.Thread:
    """A thread that delivers what is due by the dispatcher that counts at the time, until the service stops."""
    work = lambda: loops.run(_deliver(dispatcher, stopping, waits))  # noqa: E731
    return threading.Thread(target=work, name="dispatcher", daemon=True)


async def _deliver(dispatcher: Callable[[], Dispatcher], stopping: threading.Event, waits: Waits) -> None:
    while not stopping.is_set():
        try:
            with waits.of("deliveries"):
                sent = await dispatcher().deliver_due()
        except BackupmanError as error:  # the store has a bad moment: nothing is lost, the rows are still there
            log.error("deliveries wait: %s", error.sentence)
            sent = 0
        if not sent:
            await asyncio.sleep(_IDLE_POLL)
