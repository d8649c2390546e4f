"""The door to HTTP: TLS, receivers that are not there, what is kept of answers, and `Retry-After`."""

import os
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import trustme

from backupman.notifiers._http import retry_after
from backupman.notifiers.loki import Loki
from tests.contracts.notifier import deliver, refusal
from tests.notifiers.test_webhook import endpoint
from tests.servers._process import free_port
from tests.servers.receiver import Receiver

NOW = datetime(2025, 7, 2, 10, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        (" 120 ", 120),
        ("Wed, 02 Jul 2025 10:07:30 GMT", 90),
        ("Wednesday, 02-Jul-25 10:07:30 GMT", 90),
        ("Wed Jul  2 10:07:30 2025", 90),
        ("Wed, 02 Jul 2025 09:00:00 GMT", 0),
        ("Wed, 02 Jul 2125 10:06:00 GMT", 86_400),
        ("9" * 18, 86_400),
        ("9" * 5000, None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("Wed, 99 Jul 2025 10:07:30 GMT", None),
        (f"Wed, 02 Jul {'9' * 18} 10:07:30 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


def test_no_part_of_the_address_is_repeated(receiver: Receiver) -> None:
    secrets = ["passw0rd", "p4th-secret", "qu3ry-secret", "dXMzcjpwYXNzdzByZA=="]
    receiver.answer(404, body=f"No hook at {' and '.join(secrets)}, nor at /hooks/p4th-secret".encode())
    address = f"us3r:passw0rd@{receiver.host}:{receiver.port}/hooks/p4th-secret?key=qu3ry-secret"
    error = refusal(endpoint(f"http://{address}"))
    assert error.answer.startswith("404 Not Found No hook at ***")
    assert not [secret for secret in secrets if secret in error.answer + error.sentence]


@pytest.mark.parametrize(
    "login", ["Bearer sk_live_0123456789", "Token token=sk_live_0123456789;", "sk_live_0123456789"]
)
def test_a_login_is_not_repeated_by_its_token_alone(receiver: Receiver, login: str) -> None:
    receiver.answer(401, body=b'{"error": "sk_live_0123456789 is no token"}')
    error = refusal(endpoint(receiver.url, headers={"Authorization": login}))
    assert error.answer == '401 Unauthorized {"error": "*** is no token"}'


def test_a_password_is_not_repeated_as_it_stands_in_a_login(receiver: Receiver) -> None:
    receiver.answer(401, body=b"Basic bWU6YSBsb25nIHBhc3N3b3JkIQ== is no login")
    block = {"url": receiver.url, "username": "me", "password": "a long password!"}
    assert "bWU6" not in refusal(Loki.model_validate(block).endpoints()[0]).answer


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    given = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield b"o" * 1024

    ours = replace(endpoint(), transport=httpx.MockTransport(lambda _: httpx.Response(200, content=body())))
    assert deliver(ours).startswith("200 OK ooo")
    assert given <= 65


def test_no_step_of_an_attempt_has_less_time_than_the_attempt() -> None:
    asked: list[dict[str, float]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.extensions["timeout"])
        return httpx.Response(200, content=_nothing())

    deliver(replace(endpoint(timeout="45s"), transport=httpx.MockTransport(answer)))
    assert asked == [dict.fromkeys(("connect", "read", "write", "pool"), 45.0)]


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


class TestTls:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Path:
        return tmp_path / "ca.pem"

    @pytest.fixture
    def secure(self, authority: Path) -> Iterator[Receiver]:
        """A receiver that speaks TLS with a certificate of an authority of its own."""
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(authority))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        server = Receiver(context)
        yield server
        server.close()

    def test_a_known_authority_is_believed(self, secure: Receiver, authority: Path) -> None:
        assert deliver(endpoint(secure.url, ca_file=str(authority))).startswith("200")

    def test_one_that_has_come_since_is_believed_without_a_restart(self, secure: Receiver, authority: Path) -> None:
        known = authority.read_bytes()
        trustme.CA().cert_pem.write_to_path(str(authority))
        os.utime(authority, (0, 0))
        assert "certificate was refused" in refusal(endpoint(secure.url, ca_file=str(authority))).sentence
        authority.write_bytes(known)
        assert deliver(endpoint(secure.url, ca_file=str(authority))).startswith("200")

    def test_an_unknown_one_is_not(self, secure: Receiver) -> None:
        error = refusal(endpoint(secure.url))
        assert not error.permanent, "one that has expired is renewed"
        assert "certificate was refused" in error.sentence and "ca_file" in error.sentence
        assert secure.requests == []

    def test_another_name_is_not(self, secure: Receiver, authority: Path) -> None:
        error = refusal(endpoint(secure.url.replace("127.0.0.1", "localhost"), ca_file=str(authority)))
        assert not error.permanent and "ca_file" in error.sentence

    def test_checks_can_be_switched_off(self, secure: Receiver) -> None:
        unsafe = endpoint(secure.url, verify_tls=False)
        assert deliver(unsafe).startswith("200")
        assert "verify_tls is off" in unsafe.provider.warnings()[0]

    def test_plain_http_on_a_tls_port_and_the_reverse(self, secure: Receiver, receiver: Receiver) -> None:
        assert not refusal(endpoint(secure.url.replace("https", "http"))).permanent
        error = refusal(endpoint(receiver.url.replace("http", "https")))
        assert not error.permanent
        assert "check https://" in error.sentence

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_a_bad_ca_file_is_named(self, receiver: Receiver, authority: Path, content: str | None) -> None:
        if content:
            authority.write_text(content)
        error = refusal(endpoint(receiver.url.replace("http", "https"), ca_file=str(authority)))
        assert not error.permanent
        assert str(authority) in error.sentence


def test_nobody_listens() -> None:
    error = refusal(endpoint(f"http://127.0.0.1:{free_port()}/"))
    assert not error.permanent
    assert error.sentence == "webhook/Ops: the receiver cannot be reached: Connection refused"


def test_an_unknown_host() -> None:
    error = refusal(endpoint("http://no-such-host.invalid/", timeout="5s"))
    assert not error.permanent
    assert "no-such-host" not in error.sentence
