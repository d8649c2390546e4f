"""Backups over HTTP: listed in pages, narrowed down, and shown."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from backupman.manifest import Manifest, TableRows
from backupman.records import Backup
from backupman.store.ingest import Recipient, Reported
from tests.api.conftest import Api
from tests.store.conftest import START, a_backup

DOCUMENTED = ["Id", "Status", "Label", "DumpPath", "CreatedAt", "UpdatedAt", "DriveFiles"]


def labels(client: httpx.Client, **params: Any) -> list[str]:
    answer = client.get("/api/backups", params=params)
    assert answer.status_code == 200, answer.text
    return [backup["Label"] for backup in answer.json()["Results"]]


@pytest.fixture
def listed(api: Api, client: httpx.Client) -> httpx.Client:
    """A client of a daemon with a history of its own and of others."""
    store = api.daemon.app.store
    for number, (label, fields) in enumerate(
        {
            "a": {},
            "b": {"job": "weekly"},
            "c": {"status": "failed", "error": "no"},
            "d": {"job": "weekly", "source": "blog", "database": "posts"},
        }.items()
    ):
        store.backups.begin(a_backup(label=label, created_at=START + timedelta(minutes=number), **fields), [])
    for number, (device, sender) in enumerate([("web-1", "rsync"), ("web-2", "rsync"), ("web-1", "tar")]):
        told = Reported(device, f"job{number}", START + timedelta(hours=1 + number), "Success", "fine", sender)
        store.ingest.backup(told, Recipient("host1"))
    return client


def test_our_own_are_listed_the_newest_first_with_the_documented_fields(listed: httpx.Client) -> None:
    answer = listed.get("/api/backups").json()
    assert [backup["Label"] for backup in answer["Results"]] == ["d", "c", "b", "a"]
    assert answer["Cursor"] is None
    newest = answer["Results"][0]
    assert list(newest)[: len(DOCUMENTED)] == DOCUMENTED
    assert list(newest["DriveFiles"][0])[:8] == [
        *("Id", "BackupId", "Provider", "Label", "Path", "Status", "CreatedAt", "UpdatedAt"),
    ]
    assert newest["CreatedAt"] == "2025-07-02T10:03:00Z"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"kind": "own"}, ["d", "c", "b", "a"]),
        ({"kind": "all"}, ["job2", "job1", "job0", "d", "c", "b", "a"]),
        ({"kind": "ingested"}, ["job2", "job1", "job0"]),
        ({"limit": 2}, ["d", "c"]),
        ({"status": "failed"}, ["c"]),
        ({"status": "finished"}, []),
        ({"label": "b"}, ["b"]),
        ({"job": "weekly"}, ["d", "b"]),
        ({"job": "weekly", "source": "blog"}, ["d"]),
        ({"database": "posts"}, ["d"]),
        ({"kind": "all", "device": "web-1"}, ["job2", "job0"]),
        ({"kind": "ingested", "sender": "rsync"}, ["job1", "job0"]),
        ({"since": "2025-07-02T12:02:00+02:00"}, ["d", "c"]),
        ({"since": "2025-07-02T10:02:30Z", "kind": "all"}, ["job2", "job1", "job0", "d"]),
        ({"label": "%"}, []),
        ({"label": "' or 1=1 --"}, []),
    ],
)
def test_the_list_can_be_narrowed_down(listed: httpx.Client, params: dict[str, Any], expected: list[str]) -> None:
    assert labels(listed, **params) == expected


def pages(client: httpx.Client, **params: Any) -> Iterator[list[str]]:
    cursor = None
    while True:
        answer = client.get("/api/backups", params=params | ({"cursor": cursor} if cursor else {})).json()
        yield [backup["Label"] for backup in answer["Results"]]
        cursor = answer["Cursor"]
        if cursor is None:
            return


def test_pages_follow_each_other_to_the_end(listed: httpx.Client) -> None:
    assert list(pages(listed, limit=2)) == [["d", "c"], ["b", "a"]]
    assert list(pages(listed, limit=3, kind="all")) == [["job2", "job1", "job0"], ["d", "c", "b"], ["a"]]
    assert list(pages(listed, limit=1, job="weekly")) == [["d"], ["b"]]


def test_a_page_is_not_disturbed_by_what_comes_and_goes_meanwhile(api: Api, listed: httpx.Client) -> None:
    first = listed.get("/api/backups", params={"limit": 2}).json()
    store = api.daemon.app.store
    store.backups.begin(a_backup(label="e"), [])
    last = store.backups.get(first["Results"][-1]["Id"])
    store.backups.change_drive_file(last.id, "disk", status="failed")
    store.copies.forget(last.drive_files[0].id)
    assert labels(listed, limit=2, cursor=first["Cursor"]) == ["b", "a"]


def test_one_backup_is_shown_by_its_id_a_beginning_of_it_or_as_the_latest(api: Api, listed: httpx.Client) -> None:
    store = api.daemon.app.store
    store.backups.begin(a_backup(source="App", label="App", created_at=START + timedelta(minutes=4)), [])
    known = listed.get("/api/backups").json()["Results"][0]
    store.backups.begin(a_backup(label="of another config", created_at=START + timedelta(minutes=5)), [])
    for name in (known["Id"], known["Id"][:8], "latest"):
        shown = listed.get(f"/api/backups/{name}").json()
        assert (shown.pop("Live"), shown.pop("Manifest")) == (None, None)
        assert shown == known


def test_what_was_ingested_is_shown_with_what_was_said(listed: httpx.Client) -> None:
    told = listed.get("/api/backups?kind=ingested").json()["Results"][0]
    assert {key: told[key] for key in ("Kind", "Device", "Sender", "SaidStatus", "Warning", "Message")} == {
        "Kind": "ingested",
        "Device": "web-1",
        "Sender": "tar",
        "SaidStatus": "Success",
        "Warning": False,
        "Message": "fine",
    }
    assert listed.get(f"/api/backups/{told['Id']}").json()["DriveFiles"] == []


def test_a_shown_backup_says_what_the_dump_holds(api: Api, client: httpx.Client, backup: Backup) -> None:
    rows = [TableRows(name="users", rows=2)]
    api.daemon.app.store.proofs.keep_manifest(backup.id, Manifest(provider="sqlite", facts={}, tables=rows))
    shown = client.get(f"/api/backups/{backup.id}").json()
    assert shown["Manifest"]["Tables"] == [{"Name": "users", "Rows": 2, "Exact": True, "Change": None, "New": False}]
    assert "Manifest" not in client.get("/api/backups").json()["Results"][0]
