"""The finished copies: found by job and source, marked, pinned, and forgotten with their objects."""

from datetime import timedelta
from typing import Any

import pytest

from backupman.errors import NotFoundError
from backupman.records import Backup, Status
from backupman.retention import FOR_EVER
from backupman.store import Store
from tests.store.conftest import START, a_backup, finish, statements


def fail(backup: Backup) -> None:
    backup.dump_status = Status.FAILED


def copies(store: Store, count: int, **fields: Any) -> list[Backup]:
    """Finished backups, the oldest first."""
    begun = [a_backup("disk", "s3", created_at=START + timedelta(hours=n), **fields) for n in range(count)]
    return [store.backups.settle(store.backups.begin(backup, []).id, finish, lambda _: []) for backup in begun]


def test_the_copies_of_a_source_come_with_their_backups_newest_first(store: Store) -> None:
    mine = copies(store, 3)
    copies(store, 1, job="other")
    copies(store, 1, source="blog")
    other = copies(store, 1, database="other")
    copies(store, 1, instance="host2")
    store.backups.begin(a_backup(), [])
    files = store.copies.of("host1", "nightly", "shop", {"shop"})
    assert [file.backup.id for file in files] == [backup.id for backup in reversed(mine) for _ in ("disk", "s3")]
    assert {file.label for file in files} == {"disk", "s3"}
    assert store.copies.of("host1", "nightly", "shop", set()) == []
    every = store.copies.of("host1", "nightly", "shop")
    assert {file.backup.id for file in every} == {backup.id for backup in [*mine, *other]}


def test_many_copies_take_no_more_statements_than_few(sqlite_store: Store) -> None:
    counts = []
    for _ in range(2):
        copies(sqlite_store, 5)
        with statements(sqlite_store) as seen:
            found = sqlite_store.copies.of("host1", "nightly", "shop", ["shop"])
        counts.append((len(found), len([text for text, _ in seen if "SELECT" in text])))
    assert counts == [(10, 1), (20, 1)]


def test_a_record_goes_with_its_last_object(store: Store) -> None:
    (backup,) = copies(store, 1)
    disk, s3 = backup.drive_files
    store.copies.forget(disk.id)
    assert [file.label for file in store.backups.get(backup.id).drive_files] == ["s3"]
    store.copies.forget(s3.id)
    store.copies.forget(s3.id)
    assert store.backups.list() == []


def test_a_record_of_a_failed_upload_keeps_no_record_alive(store: Store) -> None:
    (backup,) = copies(store, 1)
    store.backups.change_drive_file(backup.id, "s3", status=Status.FAILED)
    store.copies.forget(backup.drive_files[0].id)
    assert store.backups.list() == []


def test_a_pending_upload_keeps_its_record(store: Store) -> None:
    (backup,) = copies(store, 1)
    store.backups.change_drive_file(backup.id, "s3", status=Status.PENDING)
    store.copies.forget(backup.drive_files[0].id)
    assert [file.label for file in store.backups.get(backup.id).drive_files] == ["s3"]


def test_the_databases_whose_newest_backup_has_failed(store: Store) -> None:
    copies(store, 1)
    copies(store, 1, database="blog")
    later = {"created_at": START + timedelta(days=1)}
    store.backups.settle(store.backups.begin(a_backup(**later), []).id, fail, lambda _: [])
    store.backups.begin(a_backup(database="blog", **later), [])
    store.backups.settle(
        store.backups.begin(a_backup(job="other", database="blog", **later), []).id, fail, lambda _: []
    )
    until = START + timedelta(days=365)
    assert store.copies.failing("host1", "nightly", "shop", ["shop", "blog", "new"], until) == {"shop"}
    copies(store, 30)
    assert store.copies.failing("host1", "nightly", "shop", ["shop"], until) == set()
    unknown = a_backup(database="", created_at=START + timedelta(days=100))  # the server did not even list them
    store.backups.settle(store.backups.begin(unknown, []).id, fail, lambda _: [])
    assert store.copies.failing("host1", "nightly", "shop", ["shop", "blog"], until) == {"shop", "blog"}


def test_a_backup_of_a_clock_that_was_ahead_does_not_hide_that_newer_ones_fail(store: Store) -> None:
    copies(store, 1)
    failed = a_backup(created_at=START + timedelta(days=1))
    store.backups.settle(store.backups.begin(failed, []).id, fail, lambda _: [])
    store.backups.settle(
        store.backups.begin(a_backup(created_at=START + timedelta(days=400)), []).id, finish, lambda _: []
    )
    until = START + timedelta(days=2)
    assert store.copies.failing("host1", "nightly", "shop", ["shop"], until) == {"shop"}


def test_a_mark_is_set_and_taken_away(store: Store) -> None:
    (backup,) = copies(store, 1)
    disk, s3 = backup.drive_files
    store.copies.mark(disk.id, START)
    store.copies.mark("gone", START)
    assert {file.label: file.trashed_at for file in store.backups.get(backup.id).drive_files} == {
        "disk": START,
        "s3": None,
    }
    store.copies.mark(disk.id, None)
    assert not any(file.trashed_at for file in store.backups.get(backup.id).drive_files)
    assert s3.trashed_at is None


def test_a_pin_takes_the_copies_out_of_the_trash(store: Store) -> None:
    (backup,) = copies(store, 1)
    for file in backup.drive_files:
        store.copies.mark(file.id, START)
    assert store.copies.pin(backup.id, FOR_EVER).pinned_until == FOR_EVER
    found = store.backups.get(backup.id)
    assert found.pinned_until == FOR_EVER
    assert [file.trashed_at for file in found.drive_files] == [None, None]
    store.copies.pin(backup.id, None)
    assert store.backups.get(backup.id).pinned_until is None
    with pytest.raises(NotFoundError, match="there is no backup"):
        store.copies.pin("gone", FOR_EVER)
