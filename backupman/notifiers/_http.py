"""The one door to HTTP for notifiers: time-outs, no redirect, a bounded answer, and which failures may be tried again.

A provider whose block is one endpoint subclasses `HttpNotifier` and writes `request`, a pure function from a message to
a request. One whose block holds several has an `HttpEndpoint` for each of them.
"""

import asyncio
import base64
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Annotated, ClassVar

import httpx
from pydantic import AfterValidator, Field, SecretStr

from backupman import __version__
from backupman.errors import NotifyError
from backupman.notifiers import Message, Notifier, Selection, nothing_of
from backupman.notifiers._network import (
    Clock,
    Timeout,
    TlsSettings,
    is_loopback,
    is_tls_failure,
    plain_address,
    refused_certificate,
    secret_address,
    unreachable_because,
    utc_now,
)
from backupman.notifiers._preview import shown
from backupman.text import one_line, without

# They write URLs and headers, which may hold secrets, at the levels INFO and DEBUG.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_READ = 64 * 1024
"""Bytes of an answer that are read at most."""
_SHOWN = 300
"""Characters of an answer that are kept."""
_TELLING = 8
"""Characters from which on a piece of an address is taken for a secret."""
_LONGEST_WAIT = 86_400.0
"""Seconds: a `Retry-After` beyond a day is not believed."""
_TEMPORARY = frozenset({408, 425, 429})
_HINTS = {
    401: "check the token or password",
    403: "check the token or password",
    404: "check the url",
    405: "check the url",
    410: "it is gone for good, so remove the endpoint from the config",
    413: "the message is too large for the receiver",
}
_REDIRECT = "redirects are not followed, so write the final address (often https instead of http) as url"


Address = Annotated[SecretStr, AfterValidator(secret_address)]
"""An http:// or https:// URL, or nothing; a secret, because keys and accounts stand in URLs."""
Server = Annotated[str, AfterValidator(plain_address)]
"""The http:// or https:// URL of a server, without a slash at its end, in which no key stands."""


class HttpSettings(TlsSettings, Selection):
    """What every endpoint that is reached by HTTP can be told."""

    timeout: Timeout = Field(default=timedelta(seconds=10), description="How long one attempt may take altogether.")
    proxy: Address | None = Field(default=None, description="HTTP proxy to send through; none else is used.")

    def in_clear(self, name: str) -> Iterator[str]:
        """Warnings about what anybody in between can read or forge."""
        for key in type(self).model_fields:
            if key != "proxy" and _is_read_on_the_way(getattr(self, key)):
                yield f"{name}: http:// sends everything in clear; https:// hides it"
        if not self.verify_tls:
            yield f"{name}: verify_tls is off, so anybody in between can read and change the report"


def _is_read_on_the_way(value: object) -> bool:
    """Whether it is an address that is reached without TLS, and not on this machine."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return isinstance(text, str) and text.startswith("http://") and not is_loopback(httpx.URL(text).host)


@dataclass(frozen=True)
class Answer:
    """What came back: `body` is the start of it, `text` a line for people without any secret of ours."""

    status: int
    headers: httpx.Headers
    body: bytes
    text: str


@dataclass(frozen=True)
class HttpEndpoint(ABC):
    """One address that messages are sent to by HTTP; `provider` is the block that knows every secret."""

    name: str
    settings: HttpSettings
    provider: Notifier = field(repr=False)
    clock: Clock = field(default=utc_now, repr=False)
    transport: httpx.AsyncBaseTransport | None = field(default=None, repr=False)

    @property
    def events(self) -> Sequence[str]:
        """The kinds of events that it wants."""
        return self.settings.kinds

    @property
    def only_now(self) -> bool:
        """Whether what comes late would be taken for what is now."""
        return self.provider.only_now

    @property
    def resolves(self) -> bool:
        """Whether a success ends there what an earlier failure has begun."""
        return self.provider.resolves

    @property
    def retried(self) -> frozenset[int]:
        """Statuses under 500 after which another attempt can help."""
        return _TEMPORARY

    @abstractmethod
    def request(self, message: Message) -> httpx.Request | None:
        """The request of one attempt, None where there is nothing to say of such an event; does nothing else."""

    def judge(self, answer: Answer) -> None:
        """Raises NotifyError unless the answer means that the message has arrived: here, a status of 2xx."""
        status = answer.status
        if 200 <= status < 300:
            return
        hint = _REDIRECT if 300 <= status < 400 else _HINTS.get(status)
        temporary = status in self.retried or not 300 <= status < 500
        raise NotifyError(
            f"{self.name}: the receiver answered {_named(status)}" + (f": {hint}" if hint else ""),
            permanent=not temporary,
            retry_after=retry_after(answer.headers.get("Retry-After"), self.clock()) if temporary else None,
            answer=answer.text,
        )

    async def send(self, message: Message) -> str:
        """Make one attempt; a line with the status and the start of the answer.

        Raises:
            NotifyError: it was not delivered.
        """
        request = self.request(message)
        if request is None:
            return nothing_of(message.event)
        answer = await self.exchange(request)
        self.judge(answer)
        return answer.text

    def preview(self, message: Message) -> str:
        """The request of an attempt, secrets masked."""
        request = self.request(message)
        return shown(request, self.provider.secrets()) if request else nothing_of(message.event)

    async def exchange(self, request: httpx.Request) -> Answer:
        """One request and what came back, whatever it says. Raises NotifyError where nothing came back."""
        request.headers["User-Agent"] = f"backupman/{__version__}"
        request.headers["Accept-Encoding"] = "identity"
        verify = self.settings.tls_context(self.name) if request.url.scheme == "https" else False
        seconds = self.settings.timeout.total_seconds()  # the library's own would end each step after five
        deadline = asyncio.get_running_loop().time() + seconds
        proxy = self.settings.proxy.get_secret_value() if self.settings.proxy else None
        try:
            async with httpx.AsyncClient(
                verify=verify, trust_env=False, transport=self.transport, proxy=proxy or None, timeout=seconds
            ) as client:
                async with asyncio.timeout_at(deadline):
                    response = await client.send(request, stream=True, follow_redirects=False)
                try:
                    body = await _start(response, deadline)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, OSError) as error:
            # Not chained: the library's own texts hold addresses and headers.
            raise self._failure(error, request) from None
        said = one_line(self._redact(body.decode(errors="replace"), request), _SHOWN)
        return Answer(response.status_code, response.headers, body, f"{_named(response.status_code)} {said}".strip())

    def _failure(self, error: Exception, request: httpx.Request) -> NotifyError:
        permanent = isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol)
        if isinstance(error, TimeoutError | httpx.TimeoutException):
            why = f"no answer within {self.settings.timeout.total_seconds():g} s"
        elif refused := refused_certificate(error):
            why = (
                f"the receiver's certificate was refused ({refused.verify_message}): "
                "if it comes from an authority of your own, name that in ca_file"
            )
        elif is_tls_failure(error):
            why = "no TLS was agreed on: check https:// and the port in url"
        elif permanent:
            why = "the request could not be written: check url and headers"
        elif isinstance(error, httpx.ProxyError):
            why = "the proxy did not let it through: check proxy"
        elif isinstance(error, httpx.ConnectError):
            why = f"the receiver cannot be reached: {unreachable_because(error) or 'no connection'}"
        else:
            why = "the connection was lost before the receiver answered"
        return NotifyError(f"{self.name}: {self._redact(why, request)}", permanent=permanent)

    def _redact(self, text: str, request: httpx.Request) -> str:
        """The text without secrets, those of the address too, and each word of a login: a token may come back alone."""
        url, secrets = request.url, list(self.provider.secrets())
        whole = [str(url), url.raw_path.decode(), url.path, url.host, url.password]
        whole.append(base64.b64encode(f"{url.username}:{url.password}".encode()).decode())
        pieces = re.split(r"[/?&=]", f"{url.path}?{url.query.decode()}")
        pieces += re.split(r"[\s;=]", " ".join([*secrets, request.headers.get("Authorization", "")]))
        parts = [part for part in whole if len(part) > 3] + [piece for piece in pieces if len(piece) >= _TELLING]
        return without([*secrets, *parts], text)


class HttpNotifier(HttpSettings, Notifier):
    """A block that is one endpoint, named by its provider and `label`."""

    retried: ClassVar[frozenset[int]] = frozenset()
    """Statuses under 500 after which another attempt can help, beside those of every provider."""

    def endpoints(self) -> Sequence["BlockEndpoint"]:
        """The one endpoint."""
        return [BlockEndpoint(self.named(), self, self)] if self.enabled else []

    @abstractmethod
    def request(self, message: Message) -> httpx.Request | None:
        """The request of one attempt, None where there is nothing to say of such an event; does nothing else."""

    def check(self, answer: Answer) -> None:
        """Raises NotifyError where an answer with a status of 2xx does not mean that the message has arrived."""

    def warnings(self) -> list[str]:
        """What is allowed, and probably not meant."""
        return [*super().warnings(), *self.in_clear(self.named())] if self.enabled else []


@dataclass(frozen=True)
class BlockEndpoint(HttpEndpoint):
    """The endpoint of a block that is one."""

    settings: HttpNotifier

    @property
    def retried(self) -> frozenset[int]:
        return super().retried | self.settings.retried

    def request(self, message: Message) -> httpx.Request | None:
        return self.settings.request(message)

    def judge(self, answer: Answer) -> None:
        super().judge(answer)
        self.settings.check(answer)


async def _start(response: httpx.Response, deadline: float) -> bytes:
    """The first bytes of the body; the status has arrived, so that losing the rest changes nothing."""
    body = bytearray()
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout_at(deadline):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) >= _READ:
                    break
    return bytes(body[:_READ])


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After` header: seconds or a date (RFC 9110, 10.2.3); None where it is neither."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
        return min(float(value), _LONGEST_WAIT)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def basic(username: str, password: SecretStr) -> str:
    """The `Authorization` header of a login (RFC 7617), in UTF-8."""
    return "Basic " + base64.b64encode(f"{username}:{password.get_secret_value()}".encode()).decode()


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
