"""`key new`: secrets of the documented form, never the same twice."""

import base64
import hashlib

from standardwebhooks import Webhook

from tests.cli.conftest import Inside


def test_a_webhook_secret_is_one_that_receivers_take(inside: Inside) -> None:
    key, digest = inside("key", "new", "--kind", "webhook").out.splitlines()
    assert key.startswith("whsec_")
    assert len(base64.b64decode(key.removeprefix("whsec_"), validate=True)) == 32
    Webhook(key)
    assert digest == f"sha256: {hashlib.sha256(key.encode()).hexdigest()}"


def test_an_api_key(inside: Inside) -> None:
    key, digest = inside("key", "new", "--kind", "api").out.splitlines()
    assert key.startswith("bm_")
    assert len(key) == 46
    assert digest == f"sha256: {hashlib.sha256(key.encode()).hexdigest()}"


def test_every_one_is_another(inside: Inside) -> None:
    assert len({inside("key", "new", "--kind", "api").out for _ in range(20)}) == 20
