"""The Google drive when something goes wrong: each fault ends in a sentence, and nothing is left behind."""

import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from backupman.drives.google_drive import GoogleDrive
from backupman.errors import DriveError, DumpError, ObjectNotFound
from backupman.retry import NO_RETRY, RetryPolicy
from tests.contracts.objects import NAME, Reader, content, put
from tests.drives._google import CHUNK, google_drive
from tests.drives._proxy import Answer, Forward, Proxy, Request, Rule, proxy
from tests.servers.google_drive import Google

QUICK = RetryPolicy(attempts=3, first_wait=0.01, max_wait=0.05)


@pytest.fixture
def between(google: Google) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    with proxy(google.endpoint) as running:
        yield running


@pytest.fixture
def drive(google: Google, between: Proxy, tmp_path: Path) -> GoogleDrive:
    """A drive behind the proxy, with three tries of each call."""
    drive = google_drive(google, tmp_path, endpoint=between.endpoint)
    drive.with_retry(QUICK)
    return drive


Accident = Callable[[Request, Forward], Answer | None]


def kind_of(request: Request) -> str:
    """What a request is for."""
    if "upload_id" in request.query:
        if request.method == "DELETE":
            return "cancel"
        return "ask" if request.headers.get("content-range") == "bytes */*" else "chunk"
    if request.target.startswith("/upload/"):
        return "begin"
    if "/generateIds" in request.target:
        return "ids"
    if request.query.get("alt") == ["media"]:
        return "media"
    one = request.target.split("?")[0].endswith("/files")
    return {"GET": "list" if one else "get", "POST": "folder", "DELETE": "delete", "PATCH": "trash"}[request.method]


def first_time(kind: str, what: Accident, times: int = 1, after: int = 0) -> Rule:
    """Do something else with some requests of a kind: `times` of them, after the first `after`."""
    came = 0

    def rule(request: Request, forward: Forward) -> Answer | None:
        nonlocal came
        if kind_of(request) != kind:
            return forward()
        came += 1
        return what(request, forward) if after < came <= after + times else forward()

    return rule


def refusing(status: int, reason: str, message: str = "said so", **headers: str) -> Accident:
    """Answer with an error of Google's."""
    detail = {"domain": "usageLimits", "reason": reason, "message": message}
    body = json.dumps({"error": {"code": status, "message": message, "errors": [detail]}}).encode()

    def answer(request: Request, _: Forward) -> Answer:
        request.read(request.length)
        return Answer(status, body, headers)

    return answer


def drop_half_way(request: Request, _: Forward) -> None:
    request.read(request.length // 2)


def lose_the_answer(_: Request, forward: Forward) -> Answer | None:
    assert forward().status < 400
    return None


def unreadable(request: Request, _: Forward) -> Answer:
    request.read(request.length)
    return Answer(503, b"<html>busy</html>")


ACCIDENTS: dict[str, Accident] = {
    "rate limit": refusing(403, "rateLimitExceeded", **{"retry-after": "0"}),
    "user rate limit": refusing(403, "userRateLimitExceeded"),
    "429": refusing(429, "RATE_LIMIT_EXCEEDED"),
    "500": refusing(500, "backendError"),
    "503": unreadable,
    "dropped": drop_half_way,
    "answer lost": lose_the_answer,
}
KINDS = ["ids", "begin", "chunk", "folder", "list", "get", "media"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accident", ACCIDENTS)
def test_what_passes_is_tried_again(
    google: Google, drive: GoogleDrive, between: Proxy, accident: str, kind: str
) -> None:
    data = os.urandom(3 * CHUNK + 7)
    between.rule = first_time(kind, ACCIDENTS[accident], times=2)
    stored = put(drive, NAME, data)
    assert content(drive, stored.ref) == data
    assert list(drive.list()) == [stored.ref]
    assert [path for path in google.drives.paths() if not path.endswith("/")] == [drive.path(NAME)]
    folders = [path for path in google.drives.paths() if path.endswith("/")]
    assert len(folders) == 4, "a lost answer makes no second folder"


@pytest.mark.parametrize("kind", ["begin", "chunk", "folder", "list"])
@pytest.mark.parametrize("after", [0, 1])
def test_what_does_not_pass_ends_in_a_sentence_and_leaves_nothing(
    google: Google, drive: GoogleDrive, between: Proxy, kind: str, after: int
) -> None:
    if kind == "begin" and after:
        return  # there is one beginning only
    between.rule = first_time(kind, drop_half_way, times=100, after=after)
    with pytest.raises(DriveError, match=r"^my drive: the connection to Google broke") as raised:
        put(drive, NAME, os.urandom(3 * CHUNK))
    assert not raised.value.permanent
    between.rule = lambda request, forward: forward()
    assert google.open_sessions() == []
    assert list(drive.list()) == []
    assert content(drive, put(drive, NAME, b"the next try").ref) == b"the next try"


def test_a_whole_upload_whose_answers_are_lost_is_not_left_under_its_name(
    google: Google, drive: GoogleDrive, between: Proxy
) -> None:
    def losing(request: Request, forward: Forward) -> Answer | None:
        """The last chunk arrives; nobody hears of it, and asking does not help."""
        if kind_of(request) in ("chunk", "ask"):
            last = not request.headers["content-range"].endswith("*")
            return lose_the_answer(request, forward) if last or kind_of(request) == "ask" else forward()
        return forward()

    between.rule = losing
    with pytest.raises(DriveError, match="connection to Google broke"):
        put(drive, NAME, os.urandom(CHUNK + 1))
    between.rule = lambda request, forward: forward()
    assert list(drive.list()) == []
    assert google.open_sessions() == []


@pytest.mark.parametrize("keeps", [1, 1000, CHUNK - 1, CHUNK // 2])
def test_google_may_keep_a_part_of_a_chunk(google: Google, drive: GoogleDrive, keeps: int, between: Proxy) -> None:
    data = os.urandom(2 * CHUNK + 5)

    def once(request: Request, forward: Forward) -> Answer | None:
        google.keeps = keeps if kind_of(request) == "chunk" and once_only.pop() else None
        return forward()

    once_only = [False] * 20 + [True, False, True]
    between.rule = once
    assert content(drive, put(drive, NAME, data).ref) == data
    assert google.drives.files[str(drive.find(NAME))].content == data


def test_google_that_takes_nothing_ends_it(google: Google, drive: GoogleDrive) -> None:
    google.keeps = 0
    with pytest.raises(DriveError, match="took nothing"):
        put(drive, NAME, os.urandom(CHUNK + 1))
    assert google.open_sessions() == []


@pytest.mark.parametrize("status", [404, 410])
def test_a_session_that_is_gone_is_a_reason_to_begin_anew(
    google: Google, drive: GoogleDrive, between: Proxy, status: int
) -> None:
    between.rule = first_time("chunk", refusing(status, "notFound"), times=10, after=1)
    with pytest.raises(DriveError, match="has to begin anew") as raised:
        put(drive, NAME, os.urandom(2 * CHUNK))
    assert not raised.value.permanent
    assert not isinstance(raised.value, ObjectNotFound)
    assert list(drive.list()) == []


def test_what_google_asks_to_wait_is_told(drive: GoogleDrive, between: Proxy) -> None:
    drive.with_retry(NO_RETRY)
    between.rule = first_time("list", refusing(503, "backendError", **{"retry-after": "7"}), times=10)
    with pytest.raises(DriveError) as raised:
        drive.find(NAME)
    assert raised.value.retry_after == 7


REFUSALS = {
    "storageQuotaExceeded": (403, "the storage of the account is full: make room there"),
    "dailyLimitExceeded": (403, "the project has used up its requests of today"),
    "accessNotConfigured": (403, "the Google Drive API is not enabled"),
    "insufficientPermissions": (403, "the token does not allow to store files: run `backupman auth-google "),
    "insufficientFilePermissions": (403, "the account may not do that with"),
    "appNotAuthorizedToFile": (403, "was not made by this OAuth client"),
    "domainPolicy": (403, "the administrator of the domain has forbidden"),
    "teamDriveFileLimitExceeded": (403, "holds as many files as Google allows"),
    "badRequest": (400, "Google refused the call (400 said so)"),
    "authError": (401, "Google does not accept the token any more: run `backupman auth-google --client-secret-file "),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_what_cannot_help_is_one_permanent_sentence(
    google: Google, drive: GoogleDrive, between: Proxy, reason: str
) -> None:
    status, sentence = REFUSALS[reason]
    between.rule = first_time("begin", refusing(status, reason), times=100)
    with pytest.raises(DriveError) as raised:
        put(drive, NAME, b"body")
    assert raised.value.sentence.startswith("my drive: ")
    assert sentence in raised.value.sentence
    assert raised.value.permanent
    assert "\n" not in raised.value.sentence


def test_a_full_account_is_said_at_once_and_nothing_stays(google: Google, drive: GoogleDrive, between: Proxy) -> None:
    google.drives.quota = CHUNK
    with pytest.raises(DriveError, match="the storage of the account is full") as raised:
        put(drive, NAME, bytes(CHUNK + 1))
    assert raised.value.permanent
    kinds = [kind_of(request) for request in between.seen]
    assert kinds.count("chunk") == 2, "it is not tried again"
    assert (list(drive.list()), google.open_sessions()) == ([], [])


def flip_a_bit(request: Request, forward: Forward) -> Answer | None:
    body = bytearray(request.body)
    body[len(body) // 2] ^= 1
    request._body = bytes(body)
    return forward()


def test_what_arrives_changed_is_removed(google: Google, drive: GoogleDrive, between: Proxy) -> None:
    between.rule = first_time("chunk", flip_a_bit)
    with pytest.raises(DriveError, match="was stored differently than it was sent") as raised:
        put(drive, NAME, os.urandom(CHUNK + 1))
    assert not raised.value.permanent
    assert list(drive.list()) == []


def test_a_range_that_comes_short_is_asked_for_again(drive: GoogleDrive, between: Proxy) -> None:
    data = os.urandom(1000)
    ref = put(drive, NAME, data).ref

    def cut(_: Request, forward: Forward) -> Answer:
        answer = forward()
        return Answer(206, answer.body[:10], {"content-length": "10"})

    between.rule = first_time("media", cut, times=2)
    assert content(drive, ref) == data


def test_the_address_of_a_session_is_said_nowhere(
    google: Google, drive: GoogleDrive, between: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sessions: list[str] = []

    def telling(request: Request, forward: Forward) -> Answer | None:
        return refusing(403, "forbidden", f"no: http://{request.headers['host']}{request.target}")(request, forward)

    for kind in ("chunk", "cancel"):
        between.rule = first_time(kind, telling, times=100)
        reader = Reader(bytes(2 * CHUNK), error=DumpError("the dump failed"))
        with pytest.raises((DriveError, DumpError)) as raised:
            drive.upload(cast(BinaryIO, reader), NAME, {}, sessions.append)
        assert "upload_id" not in raised.value.sentence
        assert raised.value.__cause__ is None, "a trace would print the library's error too"
    assert len(sessions) == 2
    secret = {session.partition("upload_id=")[2] for session in sessions}
    assert not [text for text in (*secret, "upload_id", "ya29.", "1//refresh") if text in caplog.text]


def test_a_session_that_cannot_be_recorded_is_cancelled(google: Google, drive: GoogleDrive) -> None:
    def refuse(session: str) -> None:
        assert google.open_sessions() == [NAME.rpartition("/")[2]]
        raise RuntimeError("not recorded")

    with pytest.raises(RuntimeError, match="not recorded"):
        drive.upload(io.BytesIO(b"body"), NAME, {}, refuse)
    assert google.open_sessions() == []
