"""What can be verified is found on every database, in pages, by its instance, job and newest of each database."""

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from backupman.records import Backup, Kind, Status, Verification
from backupman.store import Store, verifiable
from backupman.store.verifiable import Named
from tests.store.conftest import START, a_backup, finish

US, THEM = "host1", "host2"
NAMED = Named(["shop", "blog"], ["disk"])


def made(store: Store, minutes: int = 0, *drives: str, good: bool = True, **fields: Any) -> str:
    """A backup so many minutes after START, with a finished copy unless it failed."""
    backup = store.backups.begin(a_backup(*drives, created_at=START + timedelta(minutes=minutes), **fields), [])
    store.backups.settle(backup.id, finish if good else _fail, lambda _: [])
    return backup.id


def _fail(backup: Backup) -> None:
    backup.dump_status = Status.FAILED
    for file in backup.drive_files:
        file.status = Status.FAILED


def test_all_are_found_in_pages_source_by_source(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifiable, "_PAGE", 2)
    wanted = {made(store, n, source=source) for n in range(3) for source in ("shop", "blog")}
    wanted.add(made(store, job="weekly"))
    made(store, good=False)
    made(store, instance=THEM)
    made(store, kind=Kind.INGESTED)
    found = list(store.verifiable.all(US, NAMED))
    assert sorted(backup.id for backup in found) == sorted(wanted)
    groups = [(backup.job, backup.source) for backup in found]
    assert groups == sorted(groups), "those of a job and source stand together"
    assert {backup.job for backup in store.verifiable.all(US, NAMED, "weekly")} == {"weekly"}
    assert list(store.verifiable.all("nobody", NAMED)) == []


def test_a_sample_holds_the_newest_of_each_database_and_others_by_chance(store: Store) -> None:
    older = {made(store, n, database=name) for n in range(5) for name in ("a", "b")}
    newest = {made(store, 10, database=name) for name in ("a", "b")}
    made(store, 20, database="a", good=False)

    def sample(count: int) -> set[str]:
        chosen = store.verifiable.sample(US, NAMED, count, Random(7))  # noqa: S311 - no secret
        return {backup.id for backup in chosen}

    assert sample(1) == newest, "each newest in any case"
    five = sample(5)
    assert (len(five), newest < five, five < older | newest) == (5, True, True)
    assert sample(100) == older | newest


def test_the_newest_encrypted_of_each_database_whoever_made_it(store: Store) -> None:
    made(store, 0, object_name="shop/backup.sqlite.gz.age")
    ours = made(store, 1, object_name="shop/backup.sqlite.gz.age")
    theirs = made(store, 1, object_name="blog/backup.sql.age", source="blog", instance=THEM)
    made(store, 2, object_name="shop/backup.sqlite.gz")
    made(store, 3, object_name="shop/backup.sqlite.gz.age", good=False)
    assert [backup.id for backup in store.verifiable.newest_encrypted(NAMED)] == [theirs, ours]


def test_what_another_config_on_the_same_records_has_made_is_left_to_it(store: Store) -> None:
    ours = {made(store), made(store, 1, "elsewhere"), made(store, 2, source="renamed")}
    theirs = made(store, 3, "theirs", source="wiki", object_name="wiki/backup.sql.age")
    assert {backup.id for backup in store.verifiable.all(US, NAMED)} == ours
    assert {backup.id for backup in store.verifiable.sample(US, NAMED, 9, Random(7))} == ours  # noqa: S311 - no secret
    assert store.verifiable.newest_encrypted(NAMED) == []
    assert [backup.id for backup in store.verifiable.newest_encrypted(Named(["wiki"], []))] == [theirs]


def test_the_last_good_drill_of_each_copy_is_known(store: Store) -> None:
    backup_id = made(store)
    report: dict[str, Any] = {"Database": "d", "Tables": 1, "Rows": 1, "Compared": True}
    report |= {"Differences": [], "Assertions": [], "Problems": []}
    for minutes, seconds, good in ((1, 5.0, True), (2, 7.0, True), (3, 9.0, False)):
        verification = Verification(
            backup_id=backup_id,
            instance=US,
            drive="disk",
            level="restore",
            good=good,
            at=START + timedelta(minutes=minutes),
            seconds=1.0,
            details=report | {"RestoreSeconds": seconds},
        )
        store.proofs.verified(verification, "no such file")
    found = store.proofs.last_drills(US)
    assert {of: drill.restore_seconds for of, drill in found.items()} == {("shop", "shop", "disk"): 7.0}
    assert store.proofs.last_drills(THEM) == {}


def test_a_key_that_was_shown_to_fit_is_remembered(store: Store) -> None:
    known: dict[str, Any] = {"backup_id": "gone", "instance": US, "drive": "disk", "level": "key", "seconds": 1.0}
    for good, database in ((True, "shop"), (False, "blog")):
        store.proofs.note(Verification(good=good, details={"Source": "db", "Database": database}, **known))
    assert store.proofs.keys_checked() == {("db", "shop")}
