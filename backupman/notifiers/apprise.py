"""Apprise: a hundred services more, each by a URL of https://github.com/caronc/apprise/wiki, through its own library.

Each service is an endpoint, so that one that fails is tried again without the others. What the library does itself is
beyond our rules: it follows redirects, and obeys the proxies of the environment. It says no more than whether a service
took a message, so the reason is read from what it logs.
"""

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any, Self
from urllib.parse import unquote

from pydantic import Field, SecretStr, model_validator

from backupman.errors import NotifyError
from backupman.events import EventKind
from backupman.notifiers import Endpoint, Message, Notifier, PerState, State, events_of, nothing_of
from backupman.notifiers._network import Timeout
from backupman.notifiers._words import text, title, with_log
from backupman.registry import Settings, Size
from backupman.text import one_line

_LOGGER = logging.getLogger("apprise")
_LOGGER.propagate = False  # it writes addresses, which hold the keys
_TEMPORARY = frozenset({408, 425, 429})
_STATUS = re.compile(r"\berror=(\d{3})\b")
_TYPES = {State.START: "info", State.FINISH: "success", State.FAIL: "failure", State.LOG: "warning"}
_SHOWN, _TELLING = 300, 4


class Words(Settings):
    """What is said in one state, and to whom."""

    title: str | None = Field(default=None, description="Instead of Backupman's own.")
    body: str | None = Field(default=None, description="Instead of Backupman's own; the log follows.")
    tags: list[str] | None = Field(default=None, description="Only services with one of these tags are told.")


class Service(Settings):
    """One service."""

    url: SecretStr = Field(min_length=1, description="Its Apprise URL.")
    label: str | None = Field(default=None, min_length=1, max_length=100, description="Its name in records.")
    tags: list[str] = Field(default=[], description="By which `tags` of a state choose it.")


class Apprise(PerState[Words], Notifier):
    """Services by their URLs."""

    needs = ("services",)
    default_events = events_of(State.FAIL)

    services: list[Service] = Field(default=[], description="Who is told.")
    send_logs: bool = Field(default=True, description="Sends the newest lines of the log too.")
    logs_size_limit: Annotated[Size, Field(ge=0)] = Field(
        default=100_000, description="Bytes of the log, at most; `0` as much as the service takes."
    )
    timeout: Timeout = Field(default=timedelta(seconds=10), description="For each connection and each answer.")

    @model_validator(mode="after")
    def _has_its_library(self) -> Self:
        if self.enabled and find_spec("apprise") is None:
            raise ValueError("needs the package apprise: pip install 'backupman[notifiers]'")
        return self

    def endpoints(self) -> Sequence[Endpoint]:
        """One for each service."""
        if not self.enabled:
            return []
        return [
            AppriseService(self.named(service.label or str(number)), self, service)
            for number, service in enumerate(self.services, start=1)
        ]


@dataclass(frozen=True)
class AppriseService:
    """One service of a block."""

    name: str
    provider: Apprise
    service: Service = field(repr=False)
    only_now = resolves = False

    @property
    def events(self) -> Sequence[str]:
        """The kinds of events that it wants."""
        return self.provider.kinds

    async def send(self, message: Message) -> str:
        """Make one attempt, in a thread of its own because the library waits, for as long as the service likes.

        Raises:
            NotifyError: it was not delivered.
        """
        plugin = self._plugin()
        said = self._said(message, plugin)
        if said is None:
            return nothing_of(message.event)
        try:
            taken, log = await _in_a_thread(lambda: _logged(lambda: plugin.notify(**said)))
        except Exception as error:  # noqa: BLE001 - a hundred plugins of many authors; none may end the dispatcher
            taken, log = False, type(error).__name__
        if not taken:
            raise self._failure(log)
        return "the service took it"

    def preview(self, message: Message) -> str:
        """Title and body."""
        said = self._said(message, self._plugin())
        return self._redacted(f"{said['title']}\n\n{said['body']}") if said else nothing_of(message.event)

    def _said(self, message: Message, plugin: Any) -> dict[str, str] | None:
        """What the library is told to send; None where the state's tags leave this service out."""
        own = self.provider.block_of(message) or Words()
        if own.tags is not None and not set(own.tags) & set(self.service.tags):
            return None
        return {
            "title": one_line(own.title or title(message), plugin.title_maxlen or 250),
            "body": self._body(message, own, plugin.body_maxlen),
            "notify_type": "info" if message.event == EventKind.ALARM_DRILL else _TYPES[message.state],
            "body_format": "text",
        }

    def _body(self, message: Message, own: Words, longest: int) -> str:
        logs = self.provider.send_logs and message.state != State.START  # as borgmatic: there is nothing to tell yet
        told = text(message, longest) if own.body is None else own.body
        return with_log(told, message.log if logs else (), longest, self.provider.logs_size_limit) or title(message)

    def _plugin(self) -> Any:
        """The library's object for the service. Raises NotifyError for a URL that it does not know."""
        library = import_module("apprise")  # here: it takes longer than a command
        asset = library.AppriseAsset(app_id="Backupman", app_desc="Backupman", app_url="", async_mode=False)
        url = self.service.url.get_secret_value().strip()
        plugin, _ = _logged(lambda: library.Apprise.instantiate(url, asset=asset, suppress_exceptions=True))
        if plugin is None:
            raise NotifyError(f"{self.name}: Apprise knows no such url: see its list of services", permanent=True)
        plugin.socket_connect_timeout = plugin.socket_read_timeout = self.provider.timeout.total_seconds()
        return plugin

    def _failure(self, log: str) -> NotifyError:
        status = _STATUS.search(log)
        refused = status is not None and 400 <= int(status[1]) < 500 and int(status[1]) not in _TEMPORARY
        why = f"the service refused it with {status[1]}" if status else "the service could not be told"
        return NotifyError(
            f"{self.name}: {why}" + (": check its url" if refused else ""),
            permanent=refused,
            answer=one_line(self._redacted(log), _SHOWN),
        )

    def _redacted(self, said: str) -> str:
        """Without the URL and whatever stands in it."""
        url = self.service.url.get_secret_value()
        pieces = {piece for piece in re.split(r"[/?&=:@]+", url) if len(piece) >= _TELLING}
        for secret in sorted({url, *pieces, *map(unquote, pieces)}, key=len, reverse=True):
            said = said.replace(secret, "***")
        return self.provider.redact(said)


class _Ears(logging.Handler):
    """What is logged in one thread, warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            with suppress(Exception):  # a line that cannot be formed is no reason to fail
                self.heard.append(record.getMessage())


async def _in_a_thread(work: Callable[[], tuple[Any, str]]) -> tuple[Any, str]:
    """What the work gives; not in one of the loop's few threads, which all others need, and whose end it waits for."""
    given: Future[tuple[Any, str]] = Future()
    given.set_running_or_notify_cancel()  # or its result would be an error once nobody waits for it any more

    def give() -> None:
        try:
            given.set_result(work())
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            given.set_exception(error)

    threading.Thread(target=give, name="apprise", daemon=True).start()
    return await asyncio.wrap_future(given)


def _logged(work: Callable[[], Any]) -> tuple[Any, str]:
    """What the work gives, with what the library logged meanwhile in this thread."""
    ears = _Ears()
    _LOGGER.addHandler(ears)
    try:
        given = work()
        return given, " ".join(ears.heard)
    finally:
        _LOGGER.removeHandler(ears)
