"""Downloads: every byte from every drive, in parts where they are asked for, and never half of them as the whole."""

import base64
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psutil
import pytest

from backupman.api.downloads import AT_ONCE
from backupman.records import Backup, DriveFile, Status
from tests.api.conftest import ROOT, Api
from tests.drives._proxy import Answer, Forward, Proxy, Request, error, proxy
from tests.e2e.world import wait_for
from tests.servers.s3 import S3

MIB = 2**20


def path_of(file: DriveFile) -> Path:
    assert file.path is not None
    return Path(file.path)


def grown(api: Api, backup: Backup, size: int) -> bytes:
    """Make the object on the local drive one of that size, in the records too; its bytes."""
    content = os.urandom(MIB) * (size // MIB) + os.urandom(size % MIB)
    file = backup.drive_files[0]
    path_of(file).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    api.daemon.app.store.backups.change_drive_file(backup.id, file.label, size=size, sha256=digest)
    return content


def children() -> list[psutil.Process]:
    """The data plane's processes of this test."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if "backupman.engine.child" in " ".join(_cmdline(child))]


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.fixture
def backup(api: Api) -> Backup:
    (made,) = api.run()
    return made


def test_an_object_comes_whole_by_the_id_of_its_file_or_of_its_backup(client: httpx.Client, backup: Backup) -> None:
    (file,) = backup.drive_files
    content = path_of(file).read_bytes()
    for name in (file.id, backup.id, backup.id[:8], "latest"):
        answer = client.get(f"/api/backups/{name}/download")
        assert (answer.status_code, answer.content) == (200, content)
    digest = hashlib.sha256(content)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Length"] == str(len(content))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    name = path_of(file).name
    assert re.fullmatch(r"backup-\d{14}-[0-9a-f]{8}\.sqlite\.gz", name)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [("0-0", 0, 1), ("10-19", 10, 20), ("-5", -5, None), ("100-", 100, None), ("5-99999999", 5, None)],
)
def test_a_part_is_just_those_bytes(
    client: httpx.Client, backup: Backup, asked: str, begin: int, end: int | None
) -> None:
    content = path_of(backup.drive_files[0]).read_bytes()
    answer = client.get(f"/api/backups/{backup.id}/download", headers={"Range": f"bytes={asked}"})
    expected = content[begin:end]
    first = content.index(expected)
    assert (answer.status_code, answer.content) == (206, expected)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(content)}"


def test_a_range_beyond_the_end_is_416_and_starts_no_process(client: httpx.Client, backup: Backup) -> None:
    answer = client.get(f"/api/backups/{backup.id}/download", headers={"Range": "bytes=999999-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{backup.stored_size}"
    assert "Error" in answer.json()
    assert children() == []


def test_an_interrupted_download_goes_on_only_with_the_same_object(client: httpx.Client, backup: Backup) -> None:
    url = f"/api/backups/{backup.id}/download"
    etag = client.get(url).headers["ETag"]
    assert client.get(url, headers={"Range": "bytes=5-", "If-Range": etag}).status_code == 206
    assert client.get(url, headers={"Range": "bytes=5-", "If-Range": '"another"'}).status_code == 200


def test_an_empty_object_is_an_empty_answer(api: Api, client: httpx.Client, backup: Backup) -> None:
    grown(api, backup, 0)
    answer = client.get(f"/api/backups/{backup.id}/download")
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
    assert client.get(f"/api/backups/{backup.id}/download", headers={"Range": "bytes=0-"}).status_code == 416


def test_an_object_of_many_chunks_comes_in_order(api: Api, client: httpx.Client, backup: Backup) -> None:
    content = grown(api, backup, 20 * MIB + 12_345)
    answer = client.get(f"/api/backups/{backup.id}/download")
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(content).digest()
    answer = client.get(f"/api/backups/{backup.id}/download", headers={"Range": f"bytes={MIB + 1}-{15 * MIB}"})
    assert answer.content == content[MIB + 1 : 15 * MIB + 1]


def test_of_a_size_that_is_not_known_all_of_it_comes(api: Api, client: httpx.Client, backup: Backup) -> None:
    api.daemon.app.store.backups.change_drive_file(backup.id, "Disk", size=None, sha256=None)
    answer = client.get(f"/api/backups/{backup.id}/download", headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.content) == (200, path_of(backup.drive_files[0]).read_bytes())
    assert answer.headers["Accept-Ranges"] == "none"
    assert "Content-Length" not in answer.headers


# What cannot be had


def test_what_there_is_not_is_404(api: Api, client: httpx.Client, backup: Backup) -> None:
    store = api.daemon.app.store
    (file,) = backup.drive_files
    assert client.get("/api/backups/nix/download").status_code == 404
    store.backups.change_drive_file(backup.id, "Disk", status=Status.FAILED)
    for name, words in ((file.id, "the file on Disk is failed"), (backup.id, "App: no drive holds this backup")):
        for action in ("download", "generate-download-url"):
            answer = client.get(f"/api/backups/{name}/{action}")
            assert (answer.status_code, words in answer.json()["Error"]) == (404, True)


def test_an_object_that_is_gone_from_its_drive_is_404(client: httpx.Client, backup: Backup) -> None:
    path_of(backup.drive_files[0]).unlink()
    answer = client.get(f"/api/backups/{backup.id}/download")
    assert answer.status_code == 404
    assert answer.json()["Error"].startswith("Disk: there is no ")


def test_a_drive_that_is_not_in_the_config_any_more_is_404(api: Api, client: httpx.Client, backup: Backup) -> None:
    api.config["drives"][0]["label"] = "Renamed"
    api.write()
    api.daemon.reload()
    answer = client.get(f"/api/backups/{backup.id}/download")
    assert answer.status_code == 404
    assert answer.json() == {"Error": "the drive 'Disk' is not in the config any more"}


def test_a_drive_that_cannot_be_used_is_502(api: Api, client: httpx.Client, backup: Backup) -> None:
    file = path_of(backup.drive_files[0])
    file.unlink()
    file.mkdir()
    answer = client.get(f"/api/backups/{backup.id}/download")
    assert answer.status_code == 502
    assert answer.json()["Error"].startswith("Disk: ")


def test_of_a_backup_the_first_drive_that_gives_it_is_taken_and_of_a_file_only_its_own(configured: Api) -> None:
    configured.config["drives"].append(
        {"provider": "local", "label": "Second", "folder": str(configured.folder / "second")}
    )
    with configured.start().client() as client:
        (backup,) = configured.run()
        first, second = backup.drive_files
        content = path_of(first).read_bytes()
        path_of(first).unlink()
        assert client.get(f"/api/backups/{backup.id}/download").content == content
        assert client.get(f"/api/backups/{second.id}/download").content == content
        assert client.get(f"/api/backups/{first.id}/download").status_code == 404


# Nobody takes half of it for the whole


def cut(client: httpx.Client, url: str, **options: Any) -> bytes:
    """What came before the connection was cut."""
    came = b""
    with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", url, **options) as answer:
        assert answer.status_code in (200, 206)
        for chunk in answer.iter_raw():
            came += chunk
    return came


def test_an_object_that_is_shorter_or_longer_than_it_was_is_cut(
    api: Api, client: httpx.Client, backup: Backup, said: Callable[[], str]
) -> None:
    content = grown(api, backup, 3 * MIB)
    file = path_of(backup.drive_files[0])
    for other in (content[: 2 * MIB], content + b"more"):
        file.write_bytes(other)
        came = cut(client, f"/api/backups/{backup.id}/download")
        assert content.startswith(came)
        assert len(came) < len(content)
    assert "a download broke off: the drive holds another number of bytes than 3145728" in said()
    assert "Traceback" not in said()


@pytest.fixture
def through(s3: S3) -> Iterator[Proxy]:
    """A proxy in front of an S3 server."""
    with proxy(s3.endpoint) as running:
        yield running


@pytest.fixture
def cloud(configured: Api, s3: S3, bucket: str, through: Proxy) -> Api:
    """A daemon whose only drive is a bucket behind a proxy; with an object of 20 MiB in it."""
    configured.config["drives"] = [
        {
            "provider": "s3",
            "label": "Cloud",
            "bucket": bucket,
            "region": s3.region,
            "access_key": s3.access_key,
            "secret_key": s3.secret_key,
            "endpoint": through.endpoint,
            "timeout": "2s",
        }
    ]
    configured.start()
    (backup,) = configured.run()
    (file,) = backup.drive_files
    content = os.urandom(20 * MIB)
    with closing(s3.client()) as client:
        client.put_object(Bucket=bucket, Key=str(file.ref), Body=content)
    configured.daemon.app.store.backups.change_drive_file(
        backup.id, "Cloud", size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    return configured


@pytest.mark.service("s3")
def test_an_object_comes_from_a_bucket_whole_and_in_parts(cloud: Api) -> None:
    with cloud.client() as client:
        whole = client.get("/api/backups/latest/download")
        assert whole.headers["ETag"] == f'"{hashlib.sha256(whole.content).hexdigest()}"'
        part = client.get("/api/backups/latest/download", headers={"Range": f"bytes={10 * MIB}-{10 * MIB + 99}"})
        assert (part.status_code, part.content) == (206, whole.content[10 * MIB : 10 * MIB + 100])


@pytest.mark.service("s3")
def test_a_part_of_a_large_object_is_not_read_from_its_start(cloud: Api, through: Proxy) -> None:
    with cloud.client() as client:
        through.seen.clear()
        client.get("/api/backups/latest/download", headers={"Range": "bytes=-10"})
    assert f"bytes={20 * MIB - 10}-" in [request.headers.get("range") for request in through.seen]


def breaking(after: int) -> Callable[[Request, Forward], Answer]:
    """A server whose connection breaks after so many bytes of an object, and which is away from then on."""
    broken = False

    def rule(request: Request, forward: Forward) -> Answer:
        nonlocal broken
        if request.kind != "GetObject":
            return forward()
        if broken:
            return error(503, "SlowDown")
        broken = True
        answer = forward()
        answer.headers["content-length"] = str(len(answer.body))
        return Answer(answer.status, answer.body[:after], answer.headers, close=True)

    return rule


@pytest.mark.service("s3")
def test_a_drive_that_fails_half_way_cuts_the_connection(cloud: Api, through: Proxy, said: Callable[[], str]) -> None:
    through.rule = breaking(5 * MIB)
    with cloud.client() as client:
        came = cut(client, "/api/backups/latest/download")
        assert 0 < len(came) <= 5 * MIB
        wait_for(lambda: "a download broke off after " in said())
        assert "Cloud: " in said()
        assert "Traceback" not in said()
        through.rule = lambda request, forward: forward()
        assert len(client.get("/api/backups/latest/download").content) == 20 * MIB


@pytest.mark.service("s3")
def test_a_drive_that_fails_before_the_first_byte_is_an_error(cloud: Api, through: Proxy) -> None:
    through.rule = lambda request, forward: error(503, "SlowDown")
    with cloud.client() as client:
        answer = client.get("/api/backups/latest/download")
    assert answer.status_code == 502
    assert answer.json()["Error"].startswith("Cloud: ")


# Clients that go away, and those who stay


def test_a_client_that_goes_away_ends_the_process_that_reads_for_it(
    api: Api, client: httpx.Client, backup: Backup, said: Callable[[], str]
) -> None:
    grown(api, backup, 64 * MIB)
    with client.stream("GET", f"/api/backups/{backup.id}/download") as answer:
        next(answer.iter_raw())
        assert len(children()) == 1
    wait_for(lambda: children() == [])
    assert "broke off" not in said()
    assert "Traceback" not in said()


@pytest.mark.service("s3")
def test_so_it_is_when_the_drive_is_silent(cloud: Api, through: Proxy) -> None:
    def silent(request: Request, forward: Forward) -> Answer:
        answer = forward()
        if request.kind == "GetObject":
            answer.headers["content-length"] = str(len(answer.body))
            answer = Answer(answer.status, answer.body[: 8 * MIB], answer.headers)
        return answer

    cloud.config["drives"][0]["timeout"] = "60s"
    cloud.write()
    cloud.daemon.reload()
    through.rule = silent
    with cloud.client() as client:
        with client.stream("GET", "/api/backups/latest/download") as answer:
            came = 0
            for chunk in answer.iter_raw():
                came += len(chunk)
                if came > MIB:
                    break
            began = time.monotonic()
        wait_for(lambda: children() == [])
        assert time.monotonic() - began < 20
        assert client.get("/ping").status_code == 200


def test_as_many_as_there_may_be_at_once_and_no_more(api: Api, client: httpx.Client, backup: Backup) -> None:
    grown(api, backup, 32 * MIB)
    url = f"/api/backups/{backup.id}/download"
    slots = api.application.state.downloads.slots
    slots._free = 2
    assert AT_ONCE == 16
    with client.stream("GET", url), client.stream("GET", url):
        answer = client.get(url)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
        assert client.get("/api/backups").status_code == 200
    wait_for(lambda: slots._free == 2)
    assert client.get("/api/backups/nix/download").status_code == 404
    path_of(backup.drive_files[0]).unlink()
    assert client.get(url).status_code == 404
    assert slots._free == 2


def test_a_daemon_that_ends_does_not_wait_for_a_slow_client(api: Api, client: httpx.Client, backup: Backup) -> None:
    grown(api, backup, 64 * MIB)
    with client.stream("GET", f"/api/backups/{backup.id}/download") as answer:
        next(answer.iter_raw())
        began = time.monotonic()
        api.stop()
        assert time.monotonic() - began < 10
    wait_for(lambda: children() == [])


# Links


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
        with httpx.Client(trust_env=False) as stranger:
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
    with httpx.Client(trust_env=False) as stranger:
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
    with httpx.Client(trust_env=False) as stranger:
        assert stranger.get(local).status_code == 403


def test_links_cannot_be_guessed_without_a_limit(api: Api, backup: Backup) -> None:
    url = f"{api.url}/api/backups/{backup.drive_files[0].id}/download?expires=9999999999&signature="
    with httpx.Client(trust_env=False) as stranger:
        statuses = [stranger.get(f"{url}{number:064x}").status_code for number in range(31)]
        assert statuses == [403] * 30 + [429]
        assert stranger.get(url, headers={"X-Api-Key": ROOT}).status_code == 200
