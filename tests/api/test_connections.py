"""Whoever speaks slowly, endlessly or no HTTP at all is refused or cut, and nobody else has to wait for them."""

import json
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

import pytest

from tests.api.conftest import Api
from tests.api.test_errors import raw
from tests.e2e.world import wait_for


def connected(api: Api) -> socket.socket:
    host, port = api.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def refused(answer: bytes, status: bytes) -> str:
    """The sentence of a refusal, which is JSON as every other."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"content-type: application/json" in head
    assert b"connection: close" in head.lower()
    (sentence,) = json.loads(body).values()
    return str(sentence)


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / FTP\r\n\r\n",
        b"GET /ping HTTP/1.1\r\n\r\n",  # without a Host
        b"GET /ping HTTP/1.1\r\nHost: x\r\nX-Api-Key: a\x00b\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the begin of TLS
    ],
    ids=["words", "other", "no host", "nul", "two lengths", "tls"],
)
def test_what_is_no_request_is_refused_in_json(api: Api, request_: bytes, said: Callable[[], str]) -> None:
    assert refused(raw(api, request_), b"400") == "invalid HTTP request received"
    assert said() == "", "the log could be filled by whoever likes to"


def test_a_body_of_two_lengths_is_refused_with_what_comes_behind_it(api: Api) -> None:
    """A proxy that goes by the other length would take the rest for another client's request."""
    head = b"POST /api/report HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = raw(api, head + b"0\r\n\r\nGET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert refused(answer, b"400") == "a body has a length or is chunked, not both"
    assert answer.count(b"HTTP/1.1") == 1


def test_an_upgrade_is_not_made_and_not_logged(api: Api, said: Callable[[], str]) -> None:
    wanted = b"Connection: close, upgrade\r\nUpgrade: websocket\r\n"
    answer = raw(api, b"GET /ping HTTP/1.1\r\nHost: x\r\n" + wanted + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert said() == ""


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /", b"a" * 1000),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a" * 1000),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\n", b"X-More: " + b"a" * 1000 + b"\r\n"),
    ],
    ids=["address", "header", "headers"],
)
def test_what_has_no_end_is_cut(api: Api, begin: bytes, more: bytes) -> None:
    answer = raw(api, begin, *[more] * 5000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")  # nothing, when it was cut while we still spoke
    with api.client() as client:
        assert client.get("/ping").status_code == 200


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize(("length", "good"), [(60_000, True), (70_000, False)])
@pytest.mark.parametrize("head", [b"X-Long: %s\r\n", b"X-%s: a\r\n", b"X-Some: a\r\n%s: b\r\n"])
def test_a_head_has_64_kib_however_it_comes(api: Api, head: bytes, length: int, good: bool, parts: int) -> None:
    line = b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    whole = line + head % (b"a" * length) + b"\r\n"
    answer = bytearray()
    with closing(connected(api)) as speaking, api.client() as client:
        if parts == 2:
            speaking.sendall(whole[:-100])
            assert client.get("/ping").status_code == 200  # by then what came before was read
        with suppress(OSError):  # that it is too long may be known before all of it is read
            speaking.sendall(whole[-100:] if parts == 2 else whole)
        with suppress(OSError):
            while some := speaking.recv(2**16):
                answer += some
    if good:
        assert answer.startswith(b"HTTP/1.1 200 ")
    else:
        assert refused(bytes(answer), b"400") == "the line and the headers of the request are longer than 64 KiB"


@pytest.mark.parametrize("begun", [b"", b"GET /ping HT", b"GET /ping HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_a_request_that_does_not_come_is_not_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr("backupman.api.connections.REQUEST_WITHIN", 0.3)
    assert raw(api, begun) == b""  # ends because the server closes


def test_a_second_request_has_its_own_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backupman.api.connections.REQUEST_WITHIN", 0.3)
    whole = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
    with closing(connected(api)) as connection:
        answers = connection.makefile("rb")
        for _ in range(2):
            connection.sendall(whole)
            assert answers.readline().startswith(b"HTTP/1.1 200 ")
            while answers.readline().strip():
                pass
            assert answers.read(18) == b'{"message":"pong"}'
        connection.sendall(whole[:9])
        assert answers.read() == b""


def test_an_answer_that_takes_long_is_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backupman.api.connections.REQUEST_WITHIN", 0.2)
    with api.client() as client, client.stream("GET", "/api/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": welcome"
        (backup,) = api.run()
        assert any(backup.id in line for line in lines)


def test_more_connections_than_there_may_be_are_refused_until_others_end(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backupman.api.connections.MOST", 3)
    whole = b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with ExitStack() as others:
        for _ in range(3):
            others.enter_context(closing(connected(api)))
        wait_for(lambda: len(api.started[-1][1]._server.server_state.connections) == 3)
        assert refused(raw(api, b""), b"503") == "too many connections; try again in a moment"
    wait_for(lambda: raw(api, whole).startswith(b"HTTP/1.1 200 "))
