"""Who may do what: without a key nothing but a sign of life, with one what its scopes allow, and guessing is slow."""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from backupman.config import load
from backupman.errors import ConfigError
from tests.api.conftest import KEYS, ROOT, Api

OPEN = {"/ping", "/health", "/livez", "/readyz"}
SCOPES = {
    ("GET", "/api/backups"): "read",
    ("GET", "/api/backups/{backup_id}"): "read",
    ("DELETE", "/api/backups/{backup_id}"): "admin",
    ("GET", "/api/backups/{backup_id}/log"): "read",
    ("GET", "/api/backups/{backup_id}/verifications"): "read",
    ("POST", "/api/backups/{backup_id}/verify"): "run",
    ("GET", "/api/jobs"): "read",
    ("GET", "/api/events"): "read",
    ("GET", "/api/workers"): "read",
    ("GET", "/api/stream"): "read",
    ("GET", "/metrics"): "read",
    ("POST", "/api/backups"): "run",
    ("POST", "/api/backups/{backup_id}/retry"): "run",
    ("POST", "/api/backups/{backup_id}/cancel"): "run",
    ("POST", "/api/backups/{backup_id}/restore"): "restore",
    ("GET", "/api/restores"): "read",
    ("GET", "/api/restores/{restore_id}"): "read",
    ("POST", "/api/restores/{restore_id}/cancel"): "restore",
    ("GET", "/api/backups/{backup_id}/generate-download-url"): "download",
    ("GET", "/api/backups/{backup_id}/download"): "download",
    ("POST", "/api/ingest/backup"): "ingest",
    ("POST", "/api/ingest/notification"): "ingest",
    ("POST", "/api/notifiers/test"): "admin",
}


def routes(openapi: dict[str, Any]) -> list[tuple[str, str]]:
    return [(method.upper(), path) for path, methods in openapi["paths"].items() for method in methods]


def status(client: httpx.Client, method: str, path: str) -> int:
    """What a route answers, whatever follows; a body that is refused, so that nothing is started."""
    with client.stream(method, path.format(backup_id="nix", restore_id="nix"), content=b"[") as answer:
        return answer.status_code


def test_every_route_but_the_signs_of_life_needs_a_key(api: Api) -> None:
    api.application.state.guesses._allowed = 1000
    with api.client(None) as client:
        for method, path in routes(api.application.openapi()):
            assert status(client, method, path) == (200 if path in OPEN else 401), path


@pytest.mark.parametrize("key", ["read", "run", "download", "restore", "ingest", "admin", "root"])
def test_every_route_is_opened_by_its_scope_alone(api: Api, key: str) -> None:
    asked = [route for route in routes(api.application.openapi()) if route[1] not in OPEN]
    assert set(asked) == set(SCOPES)
    with api.client(key) as client:
        refused = {route for route in asked if status(client, *route) == 403}
    assert refused == {route for route, scope in SCOPES.items() if key not in (scope, "admin", "root")}


def test_a_refusal_says_what_is_missing(api: Api) -> None:
    with api.client("ingest") as client:
        answer = client.get("/api/backups")
    assert (answer.status_code, answer.json()) == (403, {"Error": "the key 'scripts' lacks the scope 'read'"})


def test_a_401_is_said_as_the_original_does_and_as_we_do(api: Api) -> None:
    with api.client(None) as client:
        answer = client.get("/api/backups")
    assert answer.status_code == 401
    assert answer.json() == {"error": "Unauthorized", "Error": "Unauthorized"}
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Api-Key": ROOT},
        {"x-api-key": ROOT},
        {"Authorization": f"Bearer {ROOT}"},
        {"authorization": f"bearer  {ROOT}"},
        {"X-Api-Key": "", "Authorization": f"Bearer {ROOT}"},
    ],
)
def test_a_key_is_taken_from_either_header(api: Api, headers: dict[str, str]) -> None:
    with httpx.Client(base_url=api.url, trust_env=False, timeout=90) as client:
        assert client.get("/api/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Api-Key": ROOT[:-1]},
        {"X-Api-Key": ROOT + "x"},
        {"X-Api-Key": ROOT.upper()},
        {"X-Api-Key": "ß"},
        {"Authorization": ROOT},
        {"Authorization": f"Basic {ROOT}"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer{ROOT}"},
        {"Cookie": f"X-Api-Key={ROOT}"},
    ],
)
def test_what_is_not_the_key_is_no_key(api: Api, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    with httpx.Client(base_url=api.url, trust_env=False, timeout=90) as client:
        assert client.get("/api/jobs", headers=raw).status_code == 401
        assert client.get("/api/jobs", params={"X-Api-Key": ROOT, "key": ROOT}).status_code == 401


def test_a_key_may_hold_any_character_that_a_header_can(configured: Api) -> None:
    configured.config["http"]["api_keys"].append("schlüssel-€")
    with httpx.Client(base_url=configured.start().url, trust_env=False, timeout=90) as client:
        assert client.get("/api/jobs", headers=[(b"X-Api-Key", "schlüssel-€".encode())]).status_code == 200


def test_after_thirty_wrong_keys_in_a_minute_an_address_has_to_wait_but_not_with_a_valid_key(api: Api) -> None:
    with api.client(None) as client:
        answers = [client.get("/api/jobs", headers={"X-Api-Key": f"guess-{n}"}) for n in range(32)]
        assert [answer.status_code for answer in answers] == [401] * 30 + [429] * 2
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
        assert answers[-1].json() == {"Error": "too many failed tries; wait a moment"}
        assert client.get("/api/jobs", headers={"X-Api-Key": ROOT}).status_code == 200
        assert client.get("/ping").status_code == 200
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("path", ["/health", "/api/backups/nix/download", "/api/ingest/backup"])
def test_no_route_lets_keys_be_guessed_without_a_limit(api: Api, path: str) -> None:
    method = "POST" if "ingest" in path else "GET"
    with api.client(None) as client:
        statuses = [client.request(method, path, headers={"X-Api-Key": f"{n}"}).status_code for n in range(31)]
    assert statuses[-1] == 429
    assert 429 not in statuses[:30]


def test_failed_tries_are_logged_with_the_address_and_never_with_the_key(api: Api, said: Callable[[], str]) -> None:
    with api.client(None) as client:
        for number in range(40):
            client.get("/api/jobs", headers={"X-Api-Key": f"secret-guess-{number}"})
        client.get("/api/%0Aforged line", headers={"X-Api-Key": "secret-guess"})
    log = said()
    assert log.count("a wrong API key for '/api/jobs' came from 127.0.0.1") == 30
    assert log.count("127.0.0.1 tries too many keys and is refused for a while") == 1
    assert "secret-guess" not in log


def test_a_path_cannot_forge_a_line_of_the_log(api: Api, said: Callable[[], str]) -> None:
    with api.client(None) as client:
        assert client.get("/api/backups/a%0AERROR%20forged").status_code == 401
    assert "no API key for '/api/backups/a\\nERROR forged' came from 127.0.0.1" in said()
    assert not re.search(r"^ERROR forged", said(), re.MULTILINE)


def test_the_key_of_a_caller_is_the_operator_of_what_it_starts(api: Api) -> None:
    with api.client("run") as client:
        (backup_id,) = client.post("/api/backups").json()["Ids"]
    assert api.daemon.app.store.backups.get(backup_id).operator == "run"


def test_without_any_key_everything_is_refused_and_only_this_machine_may_ask(configured: Api) -> None:
    del configured.config["http"]["api_keys"]
    api = configured.start()
    assert api.daemon.app.config.http.address() == "127.0.0.1"
    with api.client(None) as client:
        assert client.get("/api/backups").status_code == 401
        assert client.get("/api/backups", headers={"X-Api-Key": ""}).status_code == 401
        assert client.get("/ping").status_code == 200
        assert "Details" not in client.get("/health").json()
    with api.client("root") as client:
        assert client.get("/api/backups").status_code == 401


def test_with_keys_the_server_listens_everywhere_unless_told_otherwise(configured: Api) -> None:
    assert load(configured.write()).config.http.address() == "0.0.0.0"  # noqa: S104 - a service with keys
    configured.config["http"]["host"] = "127.0.0.1"
    assert load(configured.write()).config.http.address() == "127.0.0.1"


def test_keys_are_those_of_the_config_as_it_was_last_read(api: Api) -> None:
    api.config["http"]["api_keys"] = [{"name": "new", "key": "bm_new", "scopes": ["read"]}]
    api.write()
    with api.client(None) as client:
        assert client.get("/api/jobs", headers={"X-Api-Key": "bm_new"}).status_code == 401
        api.daemon.reload()
        assert client.get("/api/jobs", headers={"X-Api-Key": "bm_new"}).status_code == 200
        assert client.get("/api/jobs", headers={"X-Api-Key": ROOT}).status_code == 401


@pytest.mark.parametrize(
    "again",
    [
        ROOT,
        {"name": "again", "key": ROOT, "scopes": ["ingest"]},
        {"name": "again", "key_sha256": hashlib.sha256(ROOT.encode()).hexdigest().upper()},
    ],
)
def test_one_key_stands_in_the_config_once(configured: Api, again: object) -> None:
    """Else a key that is meant to do little might do everything."""
    configured.config["http"]["api_keys"].append(again)
    with pytest.raises(ConfigError, match="are the same key") as refused:
        load(configured.write())
    assert ROOT not in str(refused.value)


def test_only_a_trusted_proxy_is_believed_whom_it_speaks_for(configured: Api, said: Callable[[], str]) -> None:
    with configured.start().client(None) as client:
        client.get("/api/jobs", headers={"X-Forwarded-For": "192.0.2.7"})
    assert "192.0.2.7" not in said()
    configured.stop()
    configured.config["http"]["trusted_proxies"] = ["127.0.0.0/8"]
    with configured.start().client(None) as client:
        client.get("/api/jobs", headers={"X-Forwarded-For": "192.0.2.7"})
    assert "came from 192.0.2.7" in said()


@pytest.mark.parametrize("proxy", ["*", "proxy.example.com", "10.0.0.1/8", ""])
def test_a_proxy_is_an_address_or_a_network(configured: Api, proxy: str) -> None:
    configured.config["http"]["trusted_proxies"] = [proxy]
    with pytest.raises(ConfigError, match="neither an address nor a network"):
        load(configured.write())


def test_no_key_is_in_any_answer(api: Api) -> None:
    with api.client() as client:
        for method, path in routes(api.application.openapi()):
            if path != "/api/stream":
                text = client.request(method, path.format(backup_id="nix", restore_id="nix")).text
                assert not any(key in text for key in KEYS.values()), path
