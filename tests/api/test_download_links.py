"""Links open one object for a while and without a key, and nothing else."""

import re
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from backupman.records import Backup
from tests.api._objects import path_of
from tests.api.conftest import ROOT, Api


def link(client: httpx.Client, name: str) -> str:
    answer = client.get(f"/api/backups/{name}/generate-download-url")
    assert answer.status_code == 200
    url: str = answer.json()["Url"]
    return url


def test_a_link_opens_its_file_without_a_key(api: Api, client: httpx.Client, backup: Backup) -> None:
    (file,) = backup.drive_files
    for name in (file.id, backup.id):
        url = link(client, name)
        assert url.startswith(f"https://backups.example.com/bm/api/backups/{file.id}/download?expires=")
        expires = int(parse_qs(urlsplit(url).query)["expires"][0])
        assert abs(expires - time.time() - 900) < 10
        assert url.rsplit("&", 1)[1].startswith("signature=")
        local = api.url + url.removeprefix("https://backups.example.com/bm")
        with httpx.Client(trust_env=False, timeout=90) as stranger:
            assert stranger.get(local).content == path_of(file).read_bytes()
            assert stranger.get(local, headers={"Range": "bytes=0-1"}).status_code == 206


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url[:-1],
        lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
        lambda url: url.replace("expires=", "expires=9"),
        lambda url: url.split("&")[0],
        lambda url: re.sub(r"expires=\d+&", "", url),
        lambda url: re.sub(r"signature=.*", "signature=%C3%9F", url),
        lambda url: re.sub(r"backups/[^/]+", "backups/latest", url),
    ],
)
def test_a_changed_link_is_refused_and_never_logged(
    api: Api, client: httpx.Client, backup: Backup, said: Callable[[], str], change: Callable[[str], str]
) -> None:
    local = api.url + link(client, backup.id).removeprefix("https://backups.example.com/bm")
    with httpx.Client(trust_env=False, timeout=90) as stranger:
        answer = stranger.get(change(local))
    assert answer.status_code == 403
    assert answer.json() == {"Error": "this link is not good, or not any more: ask for a new one"}
    assert "signature" not in said()
    assert parse_qs(urlsplit(local).query)["signature"][0] not in said()
    assert client.get(change(local)).status_code == 200  # with a key that may download, a link is not needed


def test_a_link_that_is_over_is_refused(
    api: Api, client: httpx.Client, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backupman.api.links.LIFETIME", -1)
    local = api.url + link(client, backup.id).removeprefix("https://backups.example.com/bm")
    with httpx.Client(trust_env=False, timeout=90) as stranger:
        assert stranger.get(local).status_code == 403


def test_links_cannot_be_guessed_without_a_limit(api: Api, backup: Backup) -> None:
    url = f"{api.url}/api/backups/{backup.drive_files[0].id}/download?expires=9999999999&signature="
    with httpx.Client(trust_env=False, timeout=90) as stranger:
        statuses = [stranger.get(f"{url}{number:064x}").status_code for number in range(31)]
        assert statuses == [403] * 30 + [429]
        assert stranger.get(url, headers={"X-Api-Key": ROOT}).status_code == 200
