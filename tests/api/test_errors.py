"""What goes wrong is one sentence with the right status, without a trace, whoever notices it."""

import socket
from collections.abc import Callable
from contextlib import closing

import httpx
import pytest

from backupman.errors import BackupmanError, BusyError, DriveError, NotFoundError, ObjectNotFound, StoreError
from tests.api.conftest import KEYS, ROOT, Api
from tests.e2e.world import wait_for


def raw(api: Api, request: bytes, *more: bytes) -> bytes:
    """What the server says to these bytes, until it closes the connection."""
    host, port = api.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=60)) as connection:
        answer = b""
        try:
            for part in (request, *more):
                connection.sendall(part)
        except OSError:  # it has answered and closed before we were through
            pass
        while True:
            try:
                chunk = connection.recv(65_536)
            except ConnectionResetError:
                return answer
            if not chunk:
                return answer
            answer += chunk


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/", 404, "there is nothing at this address; /docs"),
        ("GET", "/api", 404, "there is nothing"),
        ("GET", "/api/backups/", 404, "there is nothing"),
        ("GET", "/api/nix", 404, "there is nothing"),
        ("GET", "/api/backups/..%2f..%2fetc%2fpasswd", 404, "there is nothing"),
        ("DELETE", "/api/backups", 405, "does not take the method DELETE"),
        ("POST", "/ping", 405, "does not take the method POST"),
        ("GET", "/api/ingest/backup", 405, "does not take the method GET"),
        ("BREW", "/ping", 405, "does not take the method BREW"),
        ("GET", "/api/backups/%00", 400, "holds no NUL"),
        ("GET", "/api/backups?label=a%00b", 400, "holds no NUL"),
        ("GET", "/api/backups?limit=0", 422, "limit: input should be greater than or equal to 1"),
        ("GET", "/api/backups?limit=1001&kind=none", 422, "limit: input should be less than or equal to 1000; kind:"),
        ("GET", "/api/backups?limit=many", 422, "limit: "),
        ("GET", "/api/backups?since=2026-03-01T04:00:00", 422, "since: needs a UTC offset: write it like "),
        ("GET", "/api/backups?since=2026-03-01T04:00:00+02:00", 422, "Z; in an address + is written %2B"),
        ("GET", "/api/backups?since=9999-12-31T23:59:59-14:00", 422, "since: is no time that there is"),
        ("GET", "/api/backups?since=0001-01-01T00:00:00%2B14:00", 422, "since: is no time that there is"),
        ("GET", "/api/backups?since=1969-12-31T23:59:59Z", 422, "since: is before 1970"),
        ("GET", "/api/backups?since=1", 422, "since: should be an ISO 8601 time"),
        ("GET", "/api/backups?since=", 422, "since: should be an ISO 8601 time"),
        ("GET", "/api/backups?status=good", 422, "status: "),
        ("GET", "/api/backups?cursor=nix", 422, "cursor: write the `Cursor` of the page before"),
        ("GET", "/api/backups?cursor=%FF%FE", 422, "cursor: "),
        ("GET", "/api/backups/nix", 404, "there is no backup 'nix'"),
        ("GET", "/api/backups/%ED%A0%80", 404, "there is no backup"),
        ("GET", "/api/events?after=-1", 422, "after: "),
        ("GET", "/api/events?after=99999999999999999999", 422, "after: "),
    ],
)
def test_every_mistake_has_a_status_and_a_sentence(
    shared: httpx.Client, method: str, path: str, status: int, words: str
) -> None:
    answer = shared.request(method, path)
    assert answer.status_code == status
    assert list(answer.json()) == ["Error"]
    assert words in answer.json()["Error"]


@pytest.mark.parametrize(
    ("method", "path", "taken"),
    [
        ("POST", "/ping", "GET, HEAD"),
        ("PUT", "/api/backups", "GET, HEAD, POST"),
        ("PUT", "/api/backups/latest", "DELETE, GET, HEAD"),
        ("HEAD", "/api/ingest/backup", "POST"),
        ("OPTIONS", "/openapi.json", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_taken_comes_with_those_that_are(
    shared: httpx.Client, method: str, path: str, taken: str
) -> None:
    answer = shared.request(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, taken)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (NotFoundError("there is none"), 404),
        (ObjectNotFound("the drive holds none"), 404),
        (BusyError("already running"), 409),
        (DriveError("the drive is away"), 502),
        (StoreError("the store is away"), 503),
        (BackupmanError("something else"), 500),
    ],
)
def test_an_error_of_ours_is_its_own_sentence(api: Api, failure: BackupmanError, status: int) -> None:
    def fail() -> None:
        raise failure

    api.application.add_api_route("/fails", fail)
    with api.client() as client:
        answer = client.get("/fails")
    assert (answer.status_code, answer.json()) == (status, {"Error": failure.sentence})


def test_an_unexpected_error_is_in_the_log_once_and_not_in_the_answer(api: Api, said: Callable[[], str]) -> None:
    def fail() -> None:
        raise ValueError("the password is s3cret")

    api.application.add_api_route("/fails", fail)
    with api.client() as client:
        answer = client.get("/fails")
    assert answer.status_code == 500
    assert answer.json() == {"Error": "unexpected ValueError; the daemon's log says more"}
    assert "Traceback" not in answer.text
    wait_for(lambda: "Traceback" in said())
    assert said().count("Traceback (most recent call last)") == 1
    assert "a GET of '/fails' failed" in said()


def test_a_parameter_that_is_not_known_is_ignored(shared: httpx.Client) -> None:
    answer = shared.get("/api/backups?nix=1")
    assert (answer.status_code, answer.json()) == (200, shared.get("/api/backups").json())


def test_no_other_site_may_read_an_answer(shared: httpx.Client) -> None:
    origin = {"Origin": "https://evil.example.com", "Access-Control-Request-Method": "POST"}
    for answer in (shared.get("/ping", headers=origin), shared.options("/api/backups", headers=origin)):
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert shared.options("/api/backups", headers=origin).status_code == 405


@pytest.mark.parametrize("path", ["/ping", "/nix", "/api/backups", "/docs", "/openapi.json", "/metrics"])
def test_every_answer_has_the_safe_headers(shared: httpx.Client, path: str) -> None:
    headers = shared.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert "server" not in headers


BODY = 64 * 1024


def test_a_body_may_be_as_large_as_the_limit_and_no_larger(shared: httpx.Client) -> None:
    filled = b'{"Source": "nix"}'
    assert shared.post("/api/backups", content=filled + b" " * (BODY - len(filled))).status_code == 404
    answer = shared.post("/api/backups", content=filled + b" " * (BODY - len(filled) + 1))
    assert (answer.status_code, answer.json()) == (413, {"Error": "the body is larger than 64 KiB"})


def test_a_body_in_chunks_is_counted_while_it_comes(shared: httpx.Client) -> None:
    chunks = [b" " * 8192] * 7 + [b'{"Source": "nix"}']
    assert shared.post("/api/backups", content=iter(chunks)).status_code == 404
    answer = shared.post("/api/backups", content=iter([b" " * 8192] * 9))
    assert answer.status_code == 413


def post(*headers: str, key: str | None = ROOT) -> bytes:
    lines = ["POST /api/backups HTTP/1.1", "Host: x", *([f"X-Api-Key: {key}"] if key else []), *headers, "", ""]
    return "\r\n".join(lines).encode()


def test_a_length_that_is_a_lie_helps_nobody(api: Api) -> None:
    huge = raw(api, post("Content-Length: 99999999999"))
    assert huge.startswith(b"HTTP/1.1 413 ")
    # Chunks win over a length that says less, and are counted.
    chunk = b"%x\r\n%s\r\n" % (8192, b" " * 8192)
    lying = raw(api, post("Content-Length: 10", "Transfer-Encoding: chunked"), *[chunk] * 40)
    assert lying.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))
    # What comes beyond the length is no part of the body.
    short = raw(api, post("Content-Length: 2", "Connection: close"), b'{"Source": "nix"}')
    assert short.startswith(b"HTTP/1.1 400 ")
    for nonsense in ("ten", "-1", "1e3", ""):
        assert raw(api, post(f"Content-Length: {nonsense}"), b"{}").startswith(b"HTTP/1.1 400 ")
    with api.client() as client:
        assert client.get("/api/backups").json()["Results"] == []


def test_a_body_is_not_read_before_the_key_was_good(api: Api) -> None:
    """An answer comes although nothing of the body ever does."""
    answer = raw(api, post("Content-Length: 1000", "Connection: close", key=None))
    assert answer.startswith(b"HTTP/1.1 401 ")
    answer = raw(api, post("Content-Length: 1000", "Connection: close", key=KEYS["read"]))
    assert answer.startswith(b"HTTP/1.1 403 ")


def test_a_body_that_does_not_come_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backupman.api.bodies._WITHIN", 0.2)
    answer = raw(api, post("Content-Length: 100", "Connection: close"), b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not come within 0.2 s" in answer


def test_a_client_that_goes_away_in_the_middle_of_its_body_leaves_no_trace(api: Api, said: Callable[[], str]) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=60)) as connection:
        connection.sendall(post("Content-Length: 100") + b"{")
    with api.client() as client:
        assert client.get("/ping").status_code == 200
    assert "Traceback" not in said()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"[" * 60_000, 400, "nested too deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, "nested too deep"),
        (b"{", 400, "the body is not JSON: "),
        (b'{"Job": "a\nb"}', 400, "Invalid control character at: line 1 column 11"),
        (b'{"Job": ' + b"9" * 5000 + b"}", 400, "not JSON"),
        (b"\xff\xfe\x00", 400, "not JSON"),
        (b"Job=nightly", 400, "not JSON"),
        (b"[]", 422, "the body should be an object"),
        (b'"nightly"', 422, "the body should be an object"),
        (b'{"Job": 1, "Source": []}', 422, "Job should be text; Source should be text"),
        (b'{"Tags": {"a": 1}}', 422, "Tags.a should be text"),
        (b'{"Jobs": "nightly"}', 422, "Jobs is not known"),
        (b'{"Job": "a\\u0000\\ud800b"}', 404, "there is no job 'a"),
        (b'\xef\xbb\xbf{"Job": "nightli"}', 404, "did you mean 'nightly'?"),
        ('{"Job": "nightli"}'.encode("utf-16"), 404, "did you mean 'nightly'?"),
        ('{"Job": "nächtlich"}'.encode("cp1252"), 404, "there is no job 'nächtlich'"),
    ],
)
def test_a_body_that_is_wrong_is_said_so_and_starts_nothing(
    shared: httpx.Client, body: bytes, status: int, words: str
) -> None:
    answer = shared.post("/api/backups", content=body)
    assert answer.status_code == status
    assert words in answer.json()["Error"]
    assert shared.get("/api/backups").json()["Results"] == []
