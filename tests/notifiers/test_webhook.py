"""Webhooks: the documented body, token and signatures, seen by programs that are not ours."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from backupman.notifiers import Message
from backupman.notifiers.webhook import Webhook, WebhookEndpoint
from tests.contracts.notifier import EVENTS, ODD_TEXTS, HttpNotifierContract, deliver, message, refusal
from tests.servers.receiver import Receiver

TOKEN = "t0ken-ß-€"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NOW = datetime(2025, 7, 2, 10, 6, tzinfo=UTC)


def endpoint(url: str = "http://localhost:8080/webhook", **settings: Any) -> WebhookEndpoint:
    block = {"endpoints": [{"name": "Ops", "url": url, "token": "xxx", **settings}]}
    return Webhook.model_validate(block).endpoints()[0]


def sent(message: Message, **settings: Any) -> httpx.Request:
    request = replace(endpoint(**settings), clock=lambda: NOW).request(message)
    assert request
    return request


def problems(**settings: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        endpoint(**settings)
    return " | ".join(str(error["msg"]) for error in refused.value.errors())


class TestWebhook(HttpNotifierContract):
    notifier_class = Webhook

    @pytest.fixture
    def settings(self, receiver: Receiver, timeout: str) -> dict[str, Any]:
        return {
            "endpoints": [
                {
                    "name": "My Webhook",
                    "url": f"http://us3r:passw0rd@{receiver.host}:{receiver.port}/hooks/p4th-secret?key=qu3ry-secret",
                    "token": TOKEN,
                    "headers": {"X-Key": "h3ader-secret"},
                    "secrets": [SECRET, OTHER_SECRET],
                    "extended": True,
                    "timeout": timeout,
                    "events": EVENTS,
                },
                {"name": "Second", "url": receiver.url},
            ]
        }


def test_the_body_is_the_documented_one() -> None:
    request = sent(message())
    assert request.method == "POST"
    assert str(request.url) == "http://localhost:8080/webhook"
    # Seed 001, with the original's order of keys, which Go prints without spaces.
    assert request.content.decode() == (
        '{"Event":"backup_report","Payload":{"Id":"b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b","Status":"finished",'
        '"Label":"Mysql 1","DumpPath":null,"CreatedAt":"2025-07-02T10:00:00Z","UpdatedAt":"2025-07-02T10:05:00Z",'
        '"DriveFiles":[{"Id":"d1f1e1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1c","BackupId":"b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b",'
        '"Provider":"google_drive","Label":"My Google Drive","Path":"backups/backup-20250702100000.sql.gz",'
        '"Status":"finished","CreatedAt":"2025-07-02T10:01:00Z","UpdatedAt":"2025-07-02T10:05:00Z"}]}}'
    ).replace("10:01:00", "10:00:00")


def test_the_headers_are_the_documented_ones() -> None:
    request = sent(message(), token=" xxx\t", headers={"Authorization": "Bearer b"})
    headers = dict(request.headers)
    assert headers.pop("content-length") == str(len(request.content))
    assert headers == {
        "host": "localhost:8080",
        "content-type": "application/json",
        "x-webhook-token": "xxx",
        "webhook-id": "5a1c9d1e-8a44-4a3d-9e7c-2f5d4b3a2a10",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "authorization": "Bearer b",
    }


def test_an_empty_token_is_sent_too(receiver: Receiver) -> None:
    deliver(endpoint(receiver.url, token=""))
    assert receiver.requests[0].headers["X-Webhook-Token"] == ""


def test_a_token_of_any_letters_is_sent_as_utf_8() -> None:
    assert dict(sent(message(), token=TOKEN).headers.raw)[b"X-Webhook-Token"] == TOKEN.encode()


def test_what_is_unknown_is_null() -> None:
    event = message()
    event.payload.update(DumpPath=None, UpdatedAt=None, DriveFiles=None, Seconds=float("nan"))
    payload = json.loads(sent(event, extended=True).content)["Payload"]
    assert [payload[key] for key in ("DumpPath", "UpdatedAt", "DriveFiles", "Error", "Seconds")] == [None] * 5


def test_extended_adds_and_changes_nothing() -> None:
    plain = json.loads(sent(message("backup_failure")).content)["Payload"]
    extended = json.loads(sent(message("backup_failure"), extended=True).content)["Payload"]
    assert list(extended)[: len(plain)] == list(plain)
    assert (extended["Size"], extended["Job"], extended["Instance"]) == (1_503_238_553, "nightly", "db1")
    assert extended["Error"] == "My Google Drive: quota exceeded"
    [more], [file] = extended["DriveFiles"], plain["DriveFiles"]
    assert list(more)[: len(file)] == list(file)
    assert (more["Size"], more["Seconds"], more["Error"]) == (45_000_000, 12.3, "quota exceeded")
    assert {key: more[key] for key in file} == file
    assert {key: extended[key] for key in plain if key != "DriveFiles"} == {
        key: value for key, value in plain.items() if key != "DriveFiles"
    }


@pytest.mark.parametrize("extended", [False, True])
def test_an_event_about_no_backup_is_sent_whole(extended: bool) -> None:
    payload = {"Severity": "warning", "DeviceName": "NAS\udcff", "Message": None}
    event = replace(message(), event="notification", payload=payload)
    document = json.loads(sent(event, extended=extended).content)
    assert document == {"Event": "notification", "Payload": {**payload, "DeviceName": "NAS?"}}


@pytest.mark.parametrize("odd", ODD_TEXTS)
def test_text_arrives_as_it_is(receiver: Receiver, odd: str) -> None:
    deliver(endpoint(receiver.url), text=ODD_TEXTS[odd])
    payload = json.loads(receiver.requests[0].body)["Payload"]
    text = ODD_TEXTS[odd].encode("utf-8", "replace")
    assert payload["Label"] == "Mysql 1" + text.decode()
    assert (odd != "emoji") or b"Mysql 1" + text in receiver.requests[0].body, "not written as it is, but escaped"


def test_the_id_stays_over_attempts_and_the_time_does_not(receiver: Receiver) -> None:
    receiver.answer(503)
    first = replace(endpoint(receiver.url), clock=lambda: NOW)
    refusal(first)
    deliver(replace(first, clock=lambda: NOW + timedelta(seconds=90)))
    one, two = receiver.requests
    assert one.headers["webhook-id"] == two.headers["webhook-id"]
    assert int(two.headers["webhook-timestamp"]) - int(one.headers["webhook-timestamp"]) == 90
    assert one.body == two.body


def test_an_account_in_the_url_is_a_basic_login(receiver: Receiver) -> None:
    deliver(endpoint(f"http://us3r:passw0rd@{receiver.host}:{receiver.port}/"))
    assert receiver.requests[0].headers["Authorization"] == "Basic dXMzcjpwYXNzdzByZA=="
    assert receiver.requests[0].path == "/"


class TestConfig:
    def test_the_documented_block_loads(self) -> None:
        block = {"enabled": "true", "endpoints": [{"name": "My Webhook", "url": "http://localhost:8080/webhook"}]}
        [only] = Webhook.model_validate(block).endpoints()
        assert (only.name, list(only.events)) == ("webhook/My Webhook", ["backup_report"])
        assert only.settings.timeout == timedelta(seconds=10)

    def test_dumped_keys_are_those_of_the_config(self) -> None:
        assert "endpoints" in endpoint().provider.model_dump()

    def test_enabled_needs_an_endpoint_with_a_url(self) -> None:
        with pytest.raises(ValidationError, match="name at least one"):
            Webhook.model_validate({"endpoints": []})
        assert "needs a url" in problems(url="")

    def test_a_name_is_one_line(self) -> None:
        assert "line break" in problems(name="a\nb")

    def test_names_are_unique(self) -> None:
        item = {"name": "a", "url": "http://localhost/", "token": "s3cret"}
        with pytest.raises(ValidationError, match="'a' is used twice") as refused:
            Webhook.model_validate({"endpoints": [item, item]})
        assert "s3cret" not in str(refused.value)

    @pytest.mark.parametrize("url", ["localhost:8080/webhook", "ftp://x/", "http://", "http://x:port/", "s3cret"])
    def test_a_bad_url_is_refused_without_telling_it(self, url: str) -> None:
        assert problems(url=url) == "Value error, url is not an address: write http:// or https://, a host and a path"

    @pytest.mark.parametrize("name", ["X-Webhook-Token", "webhook-ID", "content-type", "User-Agent", "Content-Length"])
    def test_our_headers_are_ours(self, name: str) -> None:
        assert f"the header {name} is set by Backupman itself" in problems(headers={name: "x"})

    def test_no_header_can_be_smuggled_in(self) -> None:
        assert "line break" in problems(headers={"X-A": "a\r\nX-B: b"})
        assert "line break" in problems(token="a\nb")
        assert "not the name of a header" in problems(headers={"X-A: b\r\nX-B": "b"})

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_dG9vIHNob3J0", SECRET[6:], "whsec_!" + SECRET[7:]])
    def test_a_bad_secret_is_refused_without_telling_it(self, secret: str) -> None:
        for settings in ({"secret": secret}, {"secrets": [SECRET, secret]}):
            said = problems(**settings)
            assert "24 to 64 bytes" in said
            assert not secret or secret == "whsec_" or secret not in said

    def test_secret_or_secrets(self) -> None:
        assert "not both" in problems(secret=SECRET, secrets=[SECRET])

    def test_events_are_known_ones(self) -> None:
        assert "backup_report" in problems(events=["backup_done"])
        assert "at least 1" in problems(events=[])

    @pytest.mark.parametrize("timeout", ["0s", "-1s", "soon"])
    def test_a_time_out_is_a_time(self, timeout: str) -> None:
        assert problems(timeout=timeout)

    def test_clear_text_over_a_network_is_worth_a_warning(self) -> None:
        assert endpoint("http://localhost/").provider.warnings() == []
        assert endpoint("http://[::1]/").provider.warnings() == []
        assert endpoint("https://hooks.example.org/").provider.warnings() == []
        [warning] = endpoint("http://hooks.example.org/s3cret").provider.warnings()
        assert warning.startswith("webhook/Ops: http://") and "s3cret" not in warning
