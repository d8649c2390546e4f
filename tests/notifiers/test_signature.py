"""Signatures and tokens, judged by receivers that are not ours."""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from tests.contracts.notifier import ODD_TEXTS, deliver, message, refusal
from tests.notifiers.test_webhook import OTHER_SECRET, SECRET, endpoint
from tests.pages import ROOT
from tests.pages import Page as Doc
from tests.servers import program
from tests.servers._process import free_port


class TestSignature:
    """Standard Webhooks, judged by the project's own library."""

    def verify(self, request: httpx.Request, secret: str = SECRET, body: bytes | None = None) -> Any:
        return Verifier(secret).verify(request.content if body is None else body, dict(request.headers))

    def signed(self, seconds_off: float = 0, **settings: Any) -> httpx.Request:
        signer = endpoint(**({"secret": SECRET} | settings))
        clock = datetime.now(UTC) + timedelta(seconds=seconds_off)
        request = replace(signer, clock=lambda: clock).request(message(text=ODD_TEXTS["emoji"]))
        assert request
        return request

    def test_is_accepted(self) -> None:
        assert self.verify(self.signed())["Event"] == "backup_report"
        assert self.verify(self.signed(seconds_off=-290))
        assert self.verify(self.signed(seconds_off=290))

    def test_a_changed_body_is_refused(self) -> None:
        request = self.signed()
        with pytest.raises(WebhookVerificationError, match="signature"):
            self.verify(request, body=request.content.replace(b"finished", b"Finished"))

    def test_a_changed_id_is_refused(self) -> None:
        request = self.signed()
        request.headers["webhook-id"] = "5a1c9d1e-8a44-4a3d-9e7c-2f5d4b3a2a11"
        with pytest.raises(WebhookVerificationError, match="signature"):
            self.verify(request)

    @pytest.mark.parametrize(
        ("seconds_off", "change", "genuine"), [(0, b"", True), (-310, b"", False), (0, b"!", False)]
    )
    def test_the_page_tells_how(self, seconds_off: int, change: bytes, genuine: bool) -> None:
        request = self.signed(seconds_off)
        given: dict[str, Any] = {"headers": dict(request.headers), "body": request.content + change, "secret": SECRET}
        (sample,) = Doc(ROOT / "docs/notifiers/webhook.md").blocks("python")
        exec(sample.text, given)  # noqa: S102 - our own page
        assert given["genuine"] is genuine

    @pytest.mark.parametrize("seconds_off", [-301, 302])
    def test_a_clock_that_is_off_is_refused(self, seconds_off: int) -> None:
        with pytest.raises(WebhookVerificationError, match=r"too (old|new)"):
            self.verify(self.signed(seconds_off))

    def test_a_wrong_secret_is_refused(self) -> None:
        with pytest.raises(WebhookVerificationError, match="signature"):
            self.verify(self.signed(), secret=OTHER_SECRET)

    def test_both_secrets_verify_while_they_are_rotated(self) -> None:
        request = self.signed(secret=None, secrets=[OTHER_SECRET, SECRET])
        assert len(request.headers["webhook-signature"].split(" ")) == 2
        assert self.verify(request, SECRET) == self.verify(request, OTHER_SECRET)
        with pytest.raises(WebhookVerificationError, match="signature"):
            self.verify(request, "whsec_" + "A" * 32)

    def test_nothing_is_signed_without_a_secret(self) -> None:
        assert "webhook-signature" not in self.signed(secret=None).headers


class TestThirdParty:
    """Debian's `webhook` program as the receiver: it looks at the token and into the body."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> Iterator[str]:
        rules = [("header", "X-Webhook-Token", "xxx"), ("payload", "Payload.DriveFiles.0.Provider", "google_drive")]
        hook = {
            "id": "backupman",
            "execute-command": "/bin/true",
            "response-message": "taken",
            "trigger-rule-mismatch-http-response-code": 403,
            "trigger-rule": {
                "and": [
                    {"match": {"type": "value", "value": value, "parameter": {"source": source, "name": name}}}
                    for source, name, value in rules
                ]
            },
        }
        hooks = tmp_path / "hooks.json"
        hooks.write_text(json.dumps([hook]))
        port = free_port()
        argv = [program("webhook"), "-hooks", str(hooks), "-ip", "127.0.0.1", "-port", str(port)]
        child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/")
                    break
                except httpx.TransportError:
                    assert child.poll() is None and time.monotonic() < deadline, "webhook does not start"
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/hooks/backupman"
        finally:
            child.kill()
            child.wait()

    @pytest.mark.service("webhook")
    def test_the_token_opens(self, url: str) -> None:
        assert deliver(endpoint(url)) == "200 OK taken"

    @pytest.mark.service("webhook")
    def test_a_wrong_token_does_not(self, url: str) -> None:
        error = refusal(endpoint(url, token="xxy"))
        assert error.permanent
        assert "403 Forbidden: check the token" in error.sentence

    @pytest.mark.service("webhook")
    def test_an_unknown_hook_is_permanent(self, url: str) -> None:
        error = refusal(endpoint(url + "x"))
        assert error.permanent
        assert "404 Not Found: check the url" in error.sentence
