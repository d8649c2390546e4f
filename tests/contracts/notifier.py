"""What every notifier promises, as tests.

A provider's test subclasses `NotifierContract`, or `HttpNotifierContract` if it sends to the fixture `receiver`:

class TestWebhook(HttpNotifierContract):
    notifier_class = Webhook

    @pytest.fixture
    def settings(self, receiver, timeout): ...  # its block of the config

What differs for a provider (the answer of a good receiver, events that it does not send, …) stands in its attributes.
"""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import unquote_plus, urlsplit

import pytest
from pydantic import SecretStr, ValidationError

from backupman.errors import NotifyError
from backupman.events import EventKind
from backupman.notifiers import Endpoint, Notifier
from backupman.notifiers._http import HttpEndpoint
from tests.contracts.messages import EVENTS, ODD_TEXTS, message
from tests.servers.receiver import Answer, Receiver

__all__ = ["EVENTS", "ODD_TEXTS", "HttpNotifierContract", "NotifierContract", "deliver", "message", "refusal"]


def deliver(endpoint: Endpoint, kind: str = EventKind.BACKUP_REPORT, text: str = "") -> str:
    """One attempt; what the other side answered."""
    return asyncio.run(endpoint.send(message(kind, text)))


def refusal(endpoint: Endpoint) -> NotifyError:
    """One attempt that must fail; its error, which must name the endpoint."""
    with pytest.raises(NotifyError, match=f"^{endpoint.name}: ") as raised:
        deliver(endpoint)
    return raised.value


class NotifierContract:
    """The promises of all notifiers."""

    notifier_class: ClassVar[type[Notifier]]
    silent: ClassVar[frozenset[str]] = frozenset()
    """The kinds of events that it never sends, because the other side has no word for them."""
    wordless: ClassVar[frozenset[str]] = frozenset()
    """The kinds of which it need not say what they are about."""

    @pytest.fixture
    def timeout(self) -> str:
        """For each attempt."""
        return "20s"

    @pytest.fixture
    def settings(self, timeout: str) -> dict[str, Any]:
        """The block of the config: every event, a secret of each kind, the `timeout`, on loopback."""
        raise NotImplementedError

    @pytest.fixture
    def arrived(self) -> Callable[[], list[str]]:
        """What has arrived at the other side so far, each message as one decoded text."""
        raise NotImplementedError

    @pytest.fixture
    def faults(self) -> dict[str, Callable[[], object]]:
        """How to order `busy`, `refuse`, `stall` (30 s), `drop`, and `echo`: refuse and repeat what was sent."""
        raise NotImplementedError

    @pytest.fixture
    def notifier(self, settings: dict[str, Any]) -> Notifier:
        return self.notifier_class.model_validate(settings)

    @pytest.fixture
    def endpoint(self, notifier: Notifier) -> Endpoint:
        return notifier.endpoints()[0]

    @pytest.mark.parametrize("kind", EVENTS)
    def test_every_event_arrives(self, endpoint: Endpoint, arrived: Callable[[], list[str]], kind: str) -> None:
        assert list(endpoint.events) == EVENTS
        answer = deliver(endpoint, kind)
        assert "\n" not in answer
        if kind in self.silent:
            assert arrived() == []
            assert answer == f"nothing to send of {kind}"
        else:
            [text] = arrived()
            assert kind in self.wordless or "Mysql 1" in text

    @pytest.mark.parametrize("kind", EVENTS)
    def test_a_preview_shows_it_without_secrets(
        self, notifier: Notifier, endpoint: Endpoint, arrived: Callable[[], list[str]], kind: str
    ) -> None:
        shown = endpoint.preview(message(kind))
        if kind in self.silent:
            assert shown == f"nothing to send of {kind}"
        else:
            assert kind in self.wordless or "Mysql 1" in unquote_plus(shown)
        telling = [each for each in notifier.secrets() if "://" not in each or urlsplit(each).path.strip("/")]
        assert not [secret for secret in telling if secret in shown]
        assert arrived() == []

    @pytest.mark.parametrize("odd", ODD_TEXTS)
    @pytest.mark.parametrize("kind", [EventKind.BACKUP_REPORT, EventKind.BACKUP_FAILURE])
    def test_odd_text_arrives(
        self, endpoint: Endpoint, arrived: Callable[[], list[str]], kind: EventKind, odd: str
    ) -> None:
        deliver(endpoint, kind, ODD_TEXTS[odd])
        [text] = arrived()
        assert kind in self.wordless or "Mysql 1" in text

    def test_a_megabyte_of_error_arrives(self, endpoint: Endpoint, arrived: Callable[[], list[str]]) -> None:
        asyncio.run(endpoint.send(message(EventKind.BACKUP_FAILURE, Error="Ж" * 500_000)))
        [text] = arrived()
        assert EventKind.BACKUP_FAILURE in self.wordless or "Mysql 1" in text
        assert len(text.encode()) < 1_100_000

    def test_a_busy_receiver_is_asked_again_later(
        self, endpoint: Endpoint, faults: dict[str, Callable[[], object]]
    ) -> None:
        faults["busy"]()
        assert not refusal(endpoint).permanent

    def test_a_refusal_is_final(self, endpoint: Endpoint, faults: dict[str, Callable[[], object]]) -> None:
        faults["refuse"]()
        error = refusal(endpoint)
        assert error.permanent
        assert error.answer

    @pytest.mark.parametrize("timeout", ["1s"])
    def test_a_stalled_receiver_costs_its_time_out_only(
        self, endpoint: Endpoint, faults: dict[str, Callable[[], object]]
    ) -> None:
        faults["stall"]()
        begun = time.monotonic()
        assert not refusal(endpoint).permanent
        assert 0.5 < time.monotonic() - begun < 10

    def test_a_lost_connection_is_temporary(self, endpoint: Endpoint, faults: dict[str, Callable[[], object]]) -> None:
        faults["drop"]()
        assert not refusal(endpoint).permanent

    def test_many_deliveries_at_once(self, notifier: Notifier, arrived: Callable[[], list[str]]) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*(notifier.endpoints()[0].send(message()) for _ in range(5)))

        asyncio.run(all_of_them())
        assert len(arrived()) == 5

    @pytest.mark.parametrize("fault", ["none", "refuse", "busy", "drop", "echo"])
    def test_secrets_stay_inside(
        self,
        notifier: Notifier,
        endpoint: Endpoint,
        faults: dict[str, Callable[[], object]],
        fault: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        faults.get(fault, lambda: None)()
        said = [repr(notifier), str(notifier), notifier.model_dump_json(), json.dumps(notifier.model_dump(mode="json"))]
        said += [repr(endpoint), endpoint.name, *notifier.warnings()]
        try:
            said.append(deliver(endpoint))
        except NotifyError as error:
            said += [error.sentence, repr(error), error.answer, "".join(traceback.format_exception(error))]
        said.append(caplog.text)
        secrets = list(notifier.secrets())
        assert secrets
        for secret in secrets:
            assert not [text for text in said if secret in text]

    def test_an_unknown_key_is_refused_without_telling_secrets(
        self, settings: dict[str, Any], notifier: Notifier
    ) -> None:
        with pytest.raises(ValidationError, match="extra_forbidden") as refused:
            self.notifier_class.model_validate({**settings, "no_such_key": "x"})
        for secret in notifier.secrets():
            assert secret not in str(refused.value)

    def test_names_tell_endpoints_apart_and_stay(self, settings: dict[str, Any], notifier: Notifier) -> None:
        names = [endpoint.name for endpoint in notifier.endpoints()]
        assert len(set(names)) == len(names) > 0
        assert [endpoint.name for endpoint in self.notifier_class.model_validate(settings).endpoints()] == names
        assert all(name.split("/")[0] == self.notifier_class.__module__.rsplit(".", 1)[1] for name in names)
        assert all(len(name) <= 255 for name in names)

    def test_a_label_tells_blocks_of_one_provider_apart(self, settings: dict[str, Any]) -> None:
        plain, labelled = (self.notifier_class.model_validate({**settings, **more}) for more in ({}, {"label": "ops"}))
        provider = plain.provider_name
        for endpoint in labelled.endpoints():
            assert f"{endpoint.name}/".startswith(f"{provider}/ops/")
            assert {provider, "ops", endpoint.name} <= set(labelled.names_of(endpoint))
        assert not {each.name for each in plain.endpoints()} & {each.name for each in labelled.endpoints()}

    def test_disabled_is_silent_and_needs_nothing_else(self, settings: dict[str, Any]) -> None:
        for block in ({"enabled": False}, {**settings, "enabled": False}):
            notifier = self.notifier_class.model_validate(block)
            assert list(notifier.endpoints()) == []
            assert notifier.warnings() == []

    def test_what_is_dumped_can_be_loaded(self, notifier: Notifier) -> None:
        dumped = notifier.model_dump(mode="json", exclude_defaults=True)
        assert set(dumped) <= {info.alias or name for name, info in self.notifier_class.model_fields.items()}


class HttpNotifierContract(NotifierContract):
    """The promises of notifiers that send over HTTP."""

    good: ClassVar[Answer] = Answer()
    """How a good receiver answers."""
    delivered: ClassVar[frozenset[int]] = frozenset({200, 201, 202, 204})
    """The statuses of 2xx that mean that it has arrived; of these, another one is a failure."""
    retried: ClassVar[frozenset[int]] = frozenset()
    """Statuses under 500 after which it is tried again, beside those of every provider."""

    @pytest.fixture(autouse=True)
    def _good_receiver(self, receiver: Receiver) -> None:
        receiver.usual = self.good

    @pytest.fixture
    def arrived(self, receiver: Receiver) -> Callable[[], list[str]]:
        return lambda: [f"{unquote_plus(request.path)}\n{request.body.decode()}" for request in receiver.requests]

    @pytest.fixture
    def faults(self, receiver: Receiver, endpoint: Endpoint) -> dict[str, Callable[[], object]]:
        assert isinstance(endpoint, HttpEndpoint)
        sent = endpoint.request(message())
        assert sent
        echo = f"{sent.url} {sent.url.raw_path.decode()} {sent.headers.raw}".encode()
        return {
            "busy": lambda: receiver.answer(503, body=b"later"),
            "refuse": lambda: receiver.answer(403, body=b"you may not"),
            "stall": lambda: receiver.answer(delay=30),
            "drop": lambda: receiver.answer(drop=True),
            "echo": lambda: receiver.answer(400, body=echo),
        }

    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_2xx_is_delivered(self, endpoint: Endpoint, receiver: Receiver, status: int) -> None:
        receiver.answer(status, body=b"" if status == 204 else self.good.body)
        if status in self.delivered:
            assert deliver(endpoint).startswith(str(status))
        else:
            assert str(status) in refusal(endpoint).sentence

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413, 422, 499])
    def test_3xx_and_4xx_are_final(self, endpoint: Endpoint, receiver: Receiver, status: int) -> None:
        receiver.answer(status, headers={"Location": f"{receiver.url}/elsewhere", "Retry-After": "5"}, body=b"no\r\n!")
        error = refusal(endpoint)
        expected = (False, 5) if status in self.retried else (True, None)
        assert (error.permanent, error.retry_after) == expected
        assert str(status) in error.sentence
        assert error.answer.startswith(str(status)) and error.answer.endswith("no !")
        assert len(receiver.requests) == 1, "a redirect was followed"

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
    def test_other_failures_are_temporary(self, endpoint: Endpoint, receiver: Receiver, status: int) -> None:
        receiver.answer(status)
        receiver.answer(status, headers={"Retry-After": "120"})
        assert (refusal(endpoint).permanent, refusal(endpoint).retry_after) == (False, 120)

    def test_a_long_answer_is_cut(self, endpoint: Endpoint, receiver: Receiver) -> None:
        receiver.answer(503, body=b"x" * 10_000_000)
        assert len(refusal(endpoint).answer) < 400

    def test_no_text_becomes_a_header(self, endpoint: Endpoint, receiver: Receiver) -> None:
        deliver(endpoint, EventKind.BACKUP_FAILURE, ODD_TEXTS["line breaks"])
        [request] = receiver.requests
        assert "Bcc" not in request.headers

    def test_each_request_says_who_asks(self, endpoint: Endpoint, receiver: Receiver) -> None:
        deliver(endpoint)
        [request] = receiver.requests
        assert request.headers["User-Agent"].startswith("backupman/")

    def test_proxies_of_the_environment_are_not_used(
        self, endpoint: Endpoint, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
        deliver(endpoint)
        assert len(receiver.requests) == 1

    def test_a_proxy_of_the_config_is_used(self, endpoint: Endpoint, receiver: Receiver) -> None:
        assert isinstance(endpoint, HttpEndpoint)
        through = endpoint.settings.model_copy(update={"proxy": SecretStr(receiver.url)})
        deliver(replace(endpoint, settings=through))
        [request] = receiver.requests
        assert request.path.startswith(f"{receiver.url}/")
