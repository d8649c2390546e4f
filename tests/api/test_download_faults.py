"""Nobody takes half of an object for the whole, and nobody reads for a client that is gone."""

import socket
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import pytest

from backupman.api.downloads import AT_ONCE
from backupman.records import Backup, DriveFile, Status, now
from tests.api._objects import MIB, children, grown, path_of
from tests.api.conftest import ROOT, Api
from tests.drives._proxy import Answer, Forward, Proxy, Request, error
from tests.e2e.world import wait_for


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


@pytest.mark.parametrize("size", [MIB // 2, 3 * MIB])
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-"}])
def test_an_object_that_was_altered_and_is_as_long_as_before_is_cut(
    api: Api, client: httpx.Client, backup: Backup, said: Callable[[], str], size: int, headers: dict[str, str]
) -> None:
    content = grown(api, backup, size)
    file = path_of(backup.drive_files[0])
    file.write_bytes(content[:100] + b"?" + content[101:])
    url = f"/api/backups/{backup.id}/download"
    assert len(cut(client, url, headers=headers)) < size
    assert f"{file} has other content than was stored: its SHA-256 differs" in said()
    assert "Traceback" not in said()
    part = client.get(url, headers={"Range": f"bytes=100-{size}"})
    assert part.content == b"?" + content[101:], "of a part nobody can tell"
    file.write_bytes(content)
    assert client.get(url, headers=headers).content == content


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
        chunks = answer.iter_raw()
        next(chunks)
        assert len(children()) == 1
    wait_for(lambda: children() == [])
    assert "broke off" not in said()
    assert "Traceback" not in said()


def test_so_it_is_before_the_drive_has_said_anything(configured: Api, said: Callable[[], str]) -> None:
    """Those who try again and again would leave no room for anybody else."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        configured.config["drives"].append(
            {"provider": "s3", "label": "Cloud", "bucket": "b", "region": "r", "access_key": "a", "secret_key": "b"}
            | {"endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}", "timeout": "10m"}
        )
        configured.config["jobs"][0]["drives"] = ["Disk"]
        (backup,) = configured.start().run()
        file = DriveFile(
            backup_id=backup.id, position=1, provider="s3", label="Cloud", status=Status.FINISHED, path="b/o", ref="o",
            size=1, created_at=now(),
        )  # fmt: skip
        with configured.daemon.app.store._sessions.writing() as session:
            session.add(file)
        slots = configured.application.state.downloads.slots
        with configured.client() as client, pytest.raises(httpx.ReadTimeout):
            client.get(f"/api/backups/{file.id}/download", timeout=httpx.Timeout(90, read=0.5))
        wait_for(lambda: children() == [] and slots._free == AT_ONCE)
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


def test_a_client_that_takes_nothing_makes_room_for_others(
    api: Api, backup: Backup, said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backupman.api.streaming.TAKEN_WITHIN", 0.5)
    grown(api, backup, 64 * MIB)
    slots = api.application.state.downloads.slots
    host, port = api.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=60)) as connection:
        lines = (f"GET /api/backups/{backup.id}/download HTTP/1.1", "Host: x", f"X-Api-Key: {ROOT}", "", "")
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        wait_for(lambda: "the client has taken nothing for 0.5 s" in said())
        wait_for(lambda: children() == [] and slots._free == AT_ONCE)


def test_a_daemon_that_ends_does_not_wait_for_a_slow_client(api: Api, client: httpx.Client, backup: Backup) -> None:
    grown(api, backup, 64 * MIB)
    with client.stream("GET", f"/api/backups/{backup.id}/download") as answer:
        chunks = answer.iter_raw()
        next(chunks)
        began = time.monotonic()
        api.stop()
        assert time.monotonic() - began < 10
    wait_for(lambda: children() == [])
