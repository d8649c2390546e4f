"""The Azure drive when something goes wrong: each fault ends in a sentence, and nothing is left to be seen."""

import base64
import hashlib
import logging
import os
from collections.abc import Callable, Iterator

import pytest

from backupman.drives.azure_blob import AzureBlob
from backupman.errors import DriveError, ObjectNotFound, Retained
from backupman.retry import NO_RETRY, RetryPolicy
from tests.contracts.objects import NAME, content, put
from tests.drives._azure import BLOCK, azure_drive, azure_of, kind_of, sas
from tests.drives._proxy import Answer, Forward, Proxy, Request, Rule, proxy
from tests.servers.azure import Azure

pytestmark = pytest.mark.service("azure")
QUICK = RetryPolicy(attempts=3, first_wait=0.01, max_wait=0.05)

Accident = Callable[[Request, Forward], Answer | None]


@pytest.fixture
def between(azure: Azure) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    with proxy(f"http://127.0.0.1:{azure.port}") as running:
        yield running


@pytest.fixture
def drive(azure: Azure, between: Proxy) -> AzureBlob:
    """A drive behind the proxy, with three tries of each call."""
    drive = azure_drive(azure, azure.make_container(), endpoint=f"{between.endpoint}/{azure.account}")
    drive.with_retry(QUICK)
    return drive


def first_time(kind: str, what: Accident, times: int = 1) -> Rule:
    """Do something else with the first requests of a kind."""
    left = times

    def rule(request: Request, forward: Forward) -> Answer | None:
        nonlocal left
        if kind_of(request) != kind or not left:
            return forward()
        left -= 1
        return what(request, forward)

    return rule


def refusing(status: int, code: str, **headers: str) -> Accident:
    """Answer with an error of Azure's."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said so</Message></Error>".encode()

    def answer(request: Request, _: Forward) -> Answer:
        assert len(request.body) == request.length
        sent = b"" if request.method == "HEAD" else body
        return Answer(status, sent, {"x-ms-error-code": code, "content-type": "application/xml"} | headers)

    return answer


def drop_half_way(request: Request, _: Forward) -> None:
    request.read(request.length // 2)


def lose_the_answer(_: Request, forward: Forward) -> Answer | None:
    assert forward().status < 500
    return None


ACCIDENTS: dict[str, Accident] = {
    "busy": refusing(503, "ServerBusy", **{"retry-after": "0"}),
    "internal error": refusing(500, "InternalError"),
    "timed out": refusing(500, "OperationTimedOut"),
    "too many": refusing(429, "TooManyRequests"),
    "dropped": drop_half_way,
    "answer lost": lose_the_answer,
}


@pytest.mark.parametrize("kind", ["head", "blocks", "block", "commit", "get", "list", "delete"])
@pytest.mark.parametrize("accident", ACCIDENTS)
def test_what_passes_is_tried_again(drive: AzureBlob, between: Proxy, accident: str, kind: str) -> None:
    data = os.urandom(3 * BLOCK + 7)
    between.rule = first_time(kind, ACCIDENTS[accident], times=2)
    stored = put(drive, NAME, data)
    assert content(drive, stored.ref) == data
    assert list(drive.list()) == [stored.ref]
    drive.delete(stored.ref)
    assert list(drive.list()) == []


@pytest.mark.parametrize("kind", ["block", "commit"])
def test_what_does_not_pass_ends_in_a_sentence_and_shows_nothing(drive: AzureBlob, between: Proxy, kind: str) -> None:
    between.rule = first_time(kind, drop_half_way, times=100)
    with pytest.raises(DriveError, match=r"^a container: the connection to http:.* broke") as raised:
        put(drive, NAME, os.urandom(3 * BLOCK))
    assert not raised.value.permanent
    between.rule = lambda request, forward: forward()
    assert list(drive.list()) == []
    assert content(drive, put(drive, NAME, b"the next try").ref) == b"the next try"


def test_a_commit_whose_answer_is_lost_is_known_by_its_content(drive: AzureBlob, between: Proxy) -> None:
    between.rule = first_time("commit", lose_the_answer)
    data = os.urandom(2 * BLOCK)
    assert content(drive, put(drive, NAME, data).ref) == data


def test_a_name_that_another_took_meanwhile_is_not_ours(azure: Azure, drive: AzureBlob, between: Proxy) -> None:
    def taken(request: Request, forward: Forward) -> Answer | None:
        with azure.container(drive.container) as client:
            client.upload_blob(drive.path(NAME), b"theirs", overwrite=True)
        return forward()

    between.rule = first_time("commit", taken)
    with pytest.raises(DriveError, match="already there, and nothing was overwritten") as raised:
        put(drive, NAME, os.urandom(2 * BLOCK))
    assert raised.value.permanent
    assert content(drive, drive.path(NAME)) == b"theirs"


def test_what_arrives_changed_is_refused_and_sent_again(drive: AzureBlob, between: Proxy) -> None:
    def verified(request: Request, forward: Forward) -> Answer | None:
        """Azure's own server says Md5Mismatch, where Azurite has another word."""
        digest = hashlib.md5(request.body, usedforsecurity=False).digest()
        assert request.headers["content-md5"] == base64.b64encode(digest).decode()
        return refusing(400, "Md5Mismatch")(request, forward)

    between.rule = first_time("block", verified)
    data = os.urandom(2 * BLOCK)
    assert content(drive, put(drive, NAME, data).ref) == data
    assert [kind_of(request) for request in between.seen].count("block") == 3


def test_what_azure_asks_to_wait_is_told(drive: AzureBlob, between: Proxy) -> None:
    drive.with_retry(NO_RETRY)
    between.rule = first_time("head", refusing(503, "ServerBusy", **{"retry-after": "7"}))
    with pytest.raises(DriveError) as raised:
        drive.find(NAME)
    assert raised.value.retry_after == 7


REFUSALS = {
    "ContainerNotFound": (404, "there is no container container-"),
    "AuthenticationFailed": (403, "does not accept the credentials"),
    "AuthorizationPermissionMismatch": (403, "the credentials may not do that in container"),
    "KeyBasedAuthenticationNotPermitted": (403, "the account takes no account_key"),
    "AccountIsDisabled": (403, "the storage account is disabled"),
    "RequestBodyTooLarge": (413, "refused the call (413 RequestBodyTooLarge)"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_what_cannot_help_is_one_permanent_sentence(drive: AzureBlob, between: Proxy, code: str) -> None:
    status, sentence = REFUSALS[code]
    between.rule = first_time("block", refusing(status, code), times=100)
    with pytest.raises(DriveError) as raised:
        put(drive, NAME, b"body")
    assert raised.value.sentence.startswith("a container: ")
    assert sentence in raised.value.sentence
    assert raised.value.permanent
    assert not isinstance(raised.value, ObjectNotFound)
    assert [kind_of(request) for request in between.seen].count("block") == 1


@pytest.mark.parametrize("code", ["BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold"])
def test_what_azure_keeps_is_retained(drive: AzureBlob, between: Proxy, code: str) -> None:
    ref = put(drive, NAME, b"body").ref
    between.rule = first_time("delete", refusing(409, code), times=100)
    with pytest.raises(Retained, match=f"^a container: {ref} is locked by"):
        drive.delete(ref)


def test_a_container_that_is_not_there_makes_no_object_look_lost(azure: Azure) -> None:
    drive = azure_drive(azure, "nowhere")
    for call in (lambda: drive.find(NAME), lambda: list(drive.list()), drive.check, lambda: put(drive, NAME, b"")):
        with pytest.raises(DriveError, match="there is no container nowhere") as raised:
            call()
        assert not isinstance(raised.value, ObjectNotFound)
        assert raised.value.permanent


def test_a_signature_that_may_only_write_is_enough_for_backups(azure: Azure, drive: AzureBlob) -> None:
    least = azure_of(drive, account_key=None, sas_token="?" + sas(azure, drive.container, "cw"))
    least.check()
    data = os.urandom(2 * BLOCK + 1)
    ref = put(least, NAME, data).ref
    assert content(drive, ref) == data
    for call in (lambda: content(least, ref), lambda: least.delete(ref), lambda: list(least.list())):
        with pytest.raises(DriveError, match="the credentials may not do that"):
            call()
    with pytest.raises(DriveError, match="already there"):
        put(least, NAME, b"other")
    with pytest.raises(Retained):
        azure_of(least, delete="never").delete(ref)


def test_a_signature_stands_in_no_error_and_no_log(
    azure: Azure, drive: AzureBlob, between: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.INFO)  # of no part of ours; it logs addresses at DEBUG
    token = sas(azure, drive.container)
    signed = azure_of(drive, account_key=None, sas_token=token)
    between.rule = lambda request, forward: None
    with pytest.raises(DriveError) as raised:
        put(signed, NAME, b"body")
    secret = token.partition("sig=")[2][:20]
    assert secret not in raised.value.sentence + repr(signed) + caplog.text
    assert raised.value.__cause__ is None, "a trace would print the address too"
