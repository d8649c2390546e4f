"""Whether a client has the object already, or expects another, by RFC 9110, section 13."""

import httpx
import pytest
from fastapi import HTTPException

from backupman.api.conditions import is_known
from backupman.records import Backup
from tests.api._objects import children
from tests.e2e.world import wait_for

ETAG = '"abc"'


@pytest.mark.parametrize("header", ['"abc"', "*", " * ", 'W/"abc"', '"x", "abc"', '"x,y" ,W/"abc"', '"x","abc",'])
def test_what_the_client_has_is_known(header: str) -> None:
    assert is_known(ETAG, None, [header])


@pytest.mark.parametrize("header", [None, "", '"x"', "abc", '"ABC"', 'W/"x"', '"*"', '"a"bc"'])
def test_what_it_has_not_is_sent(header: str | None) -> None:
    assert not is_known(ETAG, None, header if header is None else [header])


@pytest.mark.parametrize("header", ['"abc"', "*", '"x", "abc"'])
def test_what_is_expected_is_sent(header: str) -> None:
    assert not is_known(ETAG, [header], None)
    assert is_known(ETAG, [header], [ETAG])


@pytest.mark.parametrize("header", ['"x"', "", "abc", 'W/"abc"'])
def test_what_is_not_expected_is_refused(header: str) -> None:
    with pytest.raises(HTTPException) as refused:
        is_known(ETAG, [header], [ETAG])
    assert (refused.value.status_code, refused.value.headers) == (412, {"ETag": ETAG})


def test_an_object_whose_hash_is_not_known_is_just_some_object() -> None:
    assert not is_known(None, ["*"], [ETAG])
    assert is_known(None, None, ["*"])
    with pytest.raises(HTTPException):
        is_known(None, [ETAG], None)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_download_that_is_not_wanted_reads_no_object(client: httpx.Client, backup: Backup, method: str) -> None:
    url = f"/api/backups/{backup.id}/download"
    etag = client.head(url).headers["ETag"]
    known = client.request(method, url, headers={"If-None-Match": etag, "Range": "bytes=0-1"})
    assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", etag)
    refused = client.request(method, url, headers={"If-Match": '"another"'})
    assert (refused.status_code, refused.headers["ETag"]) == (412, etag)
    assert children() == []
    for headers in ({"If-Match": etag}, {"If-None-Match": '"another"'}):
        assert client.request(method, url, headers=headers).status_code == 200
    part = client.get(url, headers={"If-Match": etag, "Range": "bytes=0-1"})
    assert (part.status_code, len(part.content)) == (206, 2)
    wait_for(lambda: not children())


@pytest.mark.parametrize("lines", [['"another"', "{}"], ["{}", '"another"'], ['"a", "b"', '"c", {}']])
def test_a_header_of_several_lines_is_one_list(client: httpx.Client, backup: Backup, lines: list[str]) -> None:
    url = f"/api/backups/{backup.id}/download"
    etag = client.head(url).headers["ETag"]
    for name, status in (("If-Match", 200), ("If-None-Match", 304)):
        headers = [(name, line.format(etag)) for line in lines]
        assert client.head(url, headers=headers).status_code == status
