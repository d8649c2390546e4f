"""Nothing that a script or an old program sends makes the ingest API stumble."""

import json
from collections.abc import Callable

import httpx
import pytest

from tests.api._entries import BACKUP, recorded
from tests.api.conftest import Api


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("latin-1"),
        lambda text: text.encode("cp1252"),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.replace("\n", "\r\n").encode("cp1252"),
    ],
    ids=["utf-8", "with a mark", "latin-1", "cp1252", "utf-16", "utf-16 without a mark", "crlf"],
)
def test_text_is_understood_in_whatever_encoding_it_comes(
    api: Api, script: httpx.Client, encode: Callable[[str], bytes]
) -> None:
    text = json.dumps(BACKUP | {"message": "Größe: 142 GB für Müller"}, indent=4, ensure_ascii=False)
    with script:
        assert script.post("/api/ingest/backup", content=encode(text)).status_code == 201
    assert recorded(api)[0]["Message"] == "Größe: 142 GB für Müller"


def test_what_only_cp1252_has_is_understood(api: Api, script: httpx.Client) -> None:
    text = json.dumps(BACKUP | {"message": "„142 €“ \u2013 fertig…"}, ensure_ascii=False)
    with script:
        script.post("/api/ingest/backup", content=text.encode("cp1252"))
        script.post("/api/ingest/backup", content=text.encode("cp1252").replace(b"142", b"\x81\x8d"))
    assert sorted(backup["Message"] for backup in recorded(api)) == [
        "„142 €“ \u2013 fertig…",
        "„\ufffd\ufffd €“ \u2013 fertig…",
    ]


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=x"]
)
def test_the_content_type_does_not_matter(api: Api, script: httpx.Client, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    with script:
        body = json.dumps(BACKUP).encode()
        assert script.post("/api/ingest/backup", content=body, headers=headers).status_code == 201


def test_texts_that_no_database_holds_are_held(api: Api, script: httpx.Client) -> None:
    body = json.dumps(BACKUP | {"deviceName": "a\ud800b", "message": "a\0b\ud800c\r\n\u2028\U0001f4be"})
    with script:
        first = script.post("/api/ingest/backup", content=body.encode())
        again = script.post("/api/ingest/backup", content=body.encode())
    assert (first.status_code, again.status_code) == (201, 200)
    (backup,) = recorded(api)
    assert (backup["Device"], backup["Message"]) == ("a?b", "a\ufffdb?c\r\n\u2028\U0001f4be")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "the body should be an object"),
        (b"null", 422, "the body should be an object"),
        (b"[]", 422, "the body should be an object"),
        (b"[[[[" * 15_000, 400, "nested too deep"),
        (b'{"x":' * 12_000, 400, "nested too deep"),
        (b'{"deviceName": "web-1', 400, "not JSON"),
        (b'{"message": "said "no" twice"}', 400, 'quotes are written \\"'),
        (b'{"message": "line\nline"}', 400, "line breaks \\n"),
        (b"deviceName=web-1&status=Success", 400, "not JSON"),
        (b"<xml/>", 400, "not JSON"),
        (b'{"timestamp": ' + b"9" * 5000 + b"}", 400, "not JSON"),
        (b"\x00" * 100, 400, "not JSON"),
    ],
)
@pytest.mark.parametrize("route", ["backup", "notification"])
def test_a_body_that_is_wrong_is_said_so_and_never_a_fault(
    ingesting: httpx.Client, route: str, body: bytes, status: int, words: str
) -> None:
    answer = ingesting.post(f"/api/ingest/{route}", content=body)
    assert (answer.status_code, words in answer.json()["Error"]) == (status, True), answer.text


@pytest.fixture(scope="module")
def ingesting(shared: httpx.Client) -> httpx.Client:
    """The client of the daemon that the tests of wrong bodies share."""
    return shared


def test_a_body_may_have_64_kib_and_no_more(api: Api, script: httpx.Client) -> None:
    body = json.dumps(BACKUP).encode()
    with script:
        assert script.post("/api/ingest/backup", content=body + b" " * (65_536 - len(body))).status_code == 201
        for content in (b" " * 65_537, iter([b" " * 8192] * 9)):
            answer = script.post("/api/ingest/backup", content=content)
            assert (answer.status_code, answer.json()) == (413, {"Error": "the body is larger than 64 KiB"})
