"""Manifests and verifications are kept, and a copy knows what it has proved."""

from datetime import timedelta

import pytest

from backupman.manifest import Manifest, TableRows
from backupman.records import Backup, Status, Verification
from backupman.store import Store
from tests.store.conftest import START, a_backup, finish


@pytest.fixture
def backup(store: Store) -> Backup:
    """A finished backup on one drive."""
    return store.backups.settle(store.backups.begin(a_backup("disk"), []).id, finish, lambda _: [])


def check(backup: Backup, level: str, error: str | None = None, hours: int = 0) -> Verification:
    """One check of the copy."""
    return Verification(
        backup_id=backup.id,
        instance="host1",
        drive="disk",
        level=level,
        good=error is None,
        error=error,
        at=START + timedelta(hours=hours),
        seconds=1.5,
        details={"Seconds": 1.0},
    )


def test_a_manifest_comes_back_as_it_was(store: Store) -> None:
    manifest = Manifest(provider="sqlite", facts={"tool": "sqlite"}, tables=[TableRows(name="été", rows=3)])
    store.proofs.keep_manifest("one", manifest)
    store.proofs.keep_manifest("one", manifest)
    assert store.proofs.manifest("one") == manifest
    assert store.proofs.manifest("two") is None


def test_a_copy_knows_its_last_check_and_what_a_drill_has_proved(store: Store, backup: Backup) -> None:
    [file] = backup.drive_files
    store.proofs.verified(check(backup, "restore"), file.id)
    store.proofs.verified(check(backup, "checksum", hours=1), file.id)
    store.proofs.verified(check(backup, "checksum", "it is damaged", hours=2), file.id)
    [file] = store.backups.get(backup.id).drive_files
    assert (file.proved_at, file.verified_at) == (START, START + timedelta(hours=1))
    assert (file.verify_error, file.status) == ("it is damaged", Status.FINISHED)
    assert [(one.level, one.good) for one in store.proofs.verifications(backup.id)] == [
        ("checksum", False),
        ("checksum", True),
        ("restore", True),
    ]


def test_what_a_drill_asked_in_vain_does_not_make_the_copy_damaged(store: Store, backup: Backup) -> None:
    def damaged(verification: Verification) -> bool:
        [file] = store.backups.get(backup.id).drive_files
        store.proofs.verified(verification, file.id)
        [file] = store.backups.get(backup.id).drive_files
        return store.proofs.is_damaged(file)

    assert damaged(check(backup, "checksum", "it is damaged"))
    assert not damaged(check(backup, "restore", "orders is empty", hours=1))
    cut = check(backup, "restore", "it cannot be restored", hours=2)
    cut.details = {}
    assert damaged(cut)
    assert not damaged(check(backup, "restore", hours=3))


def test_what_a_deeper_look_has_found_stays_until_one_as_deep_finds_it_right(store: Store, backup: Backup) -> None:
    def found(level: str, error: str | None = None, *, hours: int) -> str | None:
        [file] = store.backups.get(backup.id).drive_files
        store.proofs.verified(check(backup, level, error, hours), file.id)
        [file] = store.backups.get(backup.id).drive_files
        return file.verify_error

    assert found("restore", "orders is empty", hours=0) == "orders is empty"
    assert found("checksum", hours=1) == "orders is empty"
    assert found("structure", hours=2) == "orders is empty"
    assert found("checksum", "it is cut", hours=3) == "it is cut"
    assert found("checksum", hours=4) is None
    assert found("restore", "orders is empty", hours=5) == "orders is empty"
    assert found("restore", hours=6) is None


def test_the_bad_copies_are_those_that_are_kept_and_were_not_found_right(store: Store, backup: Backup) -> None:
    def bad(**of: str) -> int:
        about = {"instance": "host1", "job": "nightly", "source": "shop"} | of
        return store.copies.bad(**about, drives=["disk", "other"])

    [file] = backup.drive_files
    assert bad() == 0
    store.proofs.verified(check(backup, "structure", "it is damaged"), file.id)
    store.proofs.verified(check(backup, "checksum", hours=1), file.id)
    assert bad() == 1
    assert [bad(instance="host2"), bad(job="weekly"), bad(source="blog")] == [0, 0, 0]
    assert store.copies.bad("host1", "nightly", "shop", ["other"]) == 0
    store.copies.mark(file.id, START)
    assert bad() == 0
    store.copies.mark(file.id, None)
    store.proofs.verified(check(backup, "restore", hours=2), file.id)
    assert bad() == 0


def test_a_check_of_a_copy_that_has_gone_meanwhile_is_kept(store: Store, backup: Backup) -> None:
    store.proofs.verified(check(backup, "structure"), "gone")
    assert len(store.proofs.verifications(backup.id)) == 1


def test_a_manifest_is_shown_beside_the_one_before_and_goes_with_its_backup(store: Store) -> None:
    backups = [store.backups.begin(a_backup("disk", created_at=START + timedelta(hours=hour)), []) for hour in range(3)]
    for backup, rows in zip(backups, (5, 7, None), strict=True):
        store.backups.settle(backup.id, finish, lambda _: [])
        if rows:
            tables = [TableRows(name="t", rows=rows)]
            store.proofs.keep_manifest(backup.id, Manifest(provider="sqlite", facts={}, tables=tables))
    first, second, third = (store.proofs.shown(backup) for backup in backups)
    assert first and [each.change for each in first.tables] == [None]
    assert second and [each.change for each in second.tables] == [2]
    assert third is None
    store.copies.forget(backups[0].drive_files[0].id)
    assert store.proofs.manifest(backups[0].id) is None
    assert store.proofs.manifest(backups[1].id) is not None
