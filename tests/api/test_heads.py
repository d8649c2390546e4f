"""HEAD answers what GET would, without the body, and nothing is done for it that goes on."""

import httpx
import pytest

from backupman.records import Backup
from tests.api._objects import children
from tests.api.conftest import Api
from tests.e2e.world import wait_for


@pytest.mark.parametrize(
    "path",
    [
        *("/ping", "/health", "/livez", "/readyz", "/metrics", "/docs", "/openapi.json"),
        *("/api/backups", "/api/jobs", "/api/events", "/api/restores", "/api/backups/nix", "/nix"),
        *("/api/backups?limit=0", "/api/backups/latest/download"),
    ],
)
def test_the_head_is_that_of_get(shared: httpx.Client, path: str) -> None:
    got, head = shared.get(path), shared.head(path)
    assert head.content == b""
    assert head.status_code == got.status_code
    for name in ("Content-Type", "Content-Length", "Cache-Control", "X-Content-Type-Options"):
        assert head.headers.get(name) == got.headers.get(name)
    assert shared.get("/ping").json() == {"message": "pong"}, "the connection goes on"


def test_it_needs_the_same_key(api: Api) -> None:
    with api.client(None) as nobody, api.client("ingest") as script:
        assert nobody.head("/api/backups").status_code == 401
        assert script.head("/api/backups").status_code == 403


def test_the_head_of_a_download_reads_no_object(client: httpx.Client, backup: Backup) -> None:
    (file,) = backup.drive_files
    url = f"/api/backups/{file.id}/download"
    got = client.get(url)
    wait_for(lambda: not children())
    head = client.head(url, headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.content, children()) == (200, b"", [])
    for name in ("Content-Type", "Content-Length", "ETag", "Repr-Digest", "Accept-Ranges", "Content-Disposition"):
        assert head.headers[name] == got.headers[name]


def test_the_head_of_a_download_of_unknown_size_says_none(api: Api, client: httpx.Client, backup: Backup) -> None:
    api.daemon.app.store.backups.change_drive_file(backup.id, "Disk", size=None, sha256=None)
    head = client.head(f"/api/backups/{backup.id}/download")
    assert (head.status_code, head.headers["Accept-Ranges"]) == (200, "none")
    assert "Content-Length" not in head.headers


def test_the_head_of_the_stream_leaves_no_reader(api: Api, client: httpx.Client) -> None:
    head = client.head("/api/stream")
    assert (head.status_code, head.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    wait_for(lambda: not api.daemon.live._subscribers)
