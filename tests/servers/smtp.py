"""A mail server in the three ways that `smtp_crypto` knows, with a login, and with faults to order."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.servers import ODD_PASSWORD

Crypto = Literal["none", "starttls", "ssl"]


@dataclass(frozen=True)
class Mail:
    """One message as it came in."""

    crypto: Crypto
    sender: str
    recipients: list[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        """The message, parsed."""
        return message_from_bytes(self.content, policy=policy.default)


@dataclass
class Smtp:
    """Three servers on 127.0.0.1 that demand a login, what they received, and the faults that a test may order."""

    ca_file: Path
    ports: dict[Crypto, int] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    host: str = "127.0.0.1"
    user: str = "mailer@example.org"
    password: str = ODD_PASSWORD
    refused: set[str] = field(default_factory=set)  # recipients that get 550
    busy: bool = False  # 451 to every sender
    stall: float = 0.0  # seconds between a message's end and the answer

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, login: Any) -> AuthResult:
        """Know one user; `handled=False` makes aiosmtpd answer 535, without it the client would wait for ever."""
        known = isinstance(login, LoginPassword) and (login.login.decode(), login.password.decode()) == (
            self.user,
            self.password,
        )
        return AuthResult(success=known, handled=False)


class _Handler:
    """aiosmtpd's hooks for one of the three servers."""

    def __init__(self, smtp: Smtp, crypto: Crypto) -> None:
        self._smtp = smtp
        self._crypto = crypto

    async def handle_MAIL(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._smtp.busy:
            return "451 4.3.2 Try again later"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self._smtp.refused:
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        await asyncio.sleep(self._smtp.stall)
        content = envelope.content
        assert isinstance(content, bytes) and envelope.mail_from is not None
        self._smtp.mails.append(Mail(self._crypto, envelope.mail_from, list(envelope.rcpt_tos), content))
        return "250 OK"


class _Servers:
    """The three servers, on one event loop in a thread of its own."""

    def __init__(self, smtp: Smtp, context: ssl.SSLContext) -> None:
        self._smtp = smtp
        self._context = context
        self._sessions: list[SMTP] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp")
        self._thread.start()
        self._listening = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    async def _listen(self) -> list[asyncio.Server]:
        return [await self._listen_as(crypto) for crypto in ("none", "starttls", "ssl")]

    async def _listen_as(self, crypto: Crypto) -> asyncio.Server:
        starttls = crypto == "starttls"

        def session() -> SMTP:
            self._sessions.append(
                SMTP(
                    _Handler(self._smtp, crypto),
                    hostname="localhost",
                    loop=self._loop,
                    enable_SMTPUTF8=True,
                    tls_context=self._context if starttls else None,
                    require_starttls=starttls,
                    auth_required=True,
                    # aiosmtpd counts only STARTTLS as TLS.
                    auth_require_tls=starttls,
                    authenticator=self._smtp.authenticate,
                )
            )
            return self._sessions[-1]

        implicit = self._context if crypto == "ssl" else None
        server = await self._loop.create_server(session, "127.0.0.1", 0, ssl=implicit)
        self._smtp.ports[crypto] = server.sockets[0].getsockname()[1]
        return server

    def close(self) -> None:
        """Cut every connection and stop listening."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        for server in self._listening:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in self._sessions:
            # To abort what has been closed is an error in Python 3.11.2, which Debian 12 has.
            if isinstance(session.transport, asyncio.Transport) and not session.transport.is_closing():
                session.transport.abort()
        await asyncio.sleep(0)


@pytest.fixture(scope="session")
def smtp_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """The file of a certificate authority of our own, and a server's context with its certificate for loopback."""
    authority = trustme.CA()
    ca_file = tmp_path_factory.mktemp("smtp") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return ca_file, context


@pytest.fixture
def smtp(smtp_certificate: tuple[Path, ssl.SSLContext]) -> Iterator[Smtp]:
    """Three fresh mail servers for this test: `ports` has one for each value of `smtp_crypto`."""
    ca_file, context = smtp_certificate
    server = Smtp(ca_file)
    servers = _Servers(server, context)
    yield server
    servers.close()
