"""Downloads: every byte from every drive, and in parts where they are asked for."""

import base64
import hashlib
import re

import httpx
import pytest

from backupman.records import Backup, Status
from tests.api._objects import MIB, children, grown, path_of
from tests.api.conftest import Api
from tests.drives._proxy import Proxy


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


def on_two_drives(configured: Api) -> Backup:
    folder = str(configured.folder / "second")
    configured.config["drives"].append({"provider": "local", "label": "Second", "folder": folder})
    (backup,) = configured.start().run()
    return backup


def test_of_a_backup_the_first_drive_that_gives_it_is_taken_and_of_a_file_only_its_own(configured: Api) -> None:
    backup = on_two_drives(configured)
    first, second = backup.drive_files
    with configured.client() as client:
        content = path_of(first).read_bytes()
        path_of(first).unlink()
        assert client.get(f"/api/backups/{backup.id}/download").content == content
        assert client.get(f"/api/backups/{second.id}/download").content == content
        assert client.get(f"/api/backups/{first.id}/download").status_code == 404


def test_a_copy_that_is_known_to_be_bad_is_given_only_where_there_is_no_other(configured: Api) -> None:
    backup = on_two_drives(configured)
    first, second = backup.drive_files
    with configured.client() as client:
        content, altered = path_of(first).read_bytes(), b"altered".ljust(first.size or 0)
        path_of(first).write_bytes(altered)
        configured.daemon.app.store.backups.change_drive_file(
            backup.id, first.label, verify_error="its SHA-256 differs"
        )
        assert client.get(f"/api/backups/{backup.id}/download").content == content
        assert second.id in client.get(f"/api/backups/{backup.id}/generate-download-url").json()["Url"]
        assert client.get(f"/api/backups/{first.id}/download").content == altered


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
