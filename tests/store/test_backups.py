"""Records of backups: kept whole on every database, settled together with what is owed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from backupman.errors import NotFoundError, StoreError
from backupman.events import EventKind
from backupman.records import Backup, Status
from backupman.store import Announcement, Store
from backupman.store.backups import BackupFilter
from tests.store.conftest import START, a_backup, finish, ids

REPORT = [Announcement(EventKind.BACKUP_REPORT, ["webhook/Ops"])]
ODD_TEXT = "Ünïcödé 🎉 'quotes\" \\back %s {} \n\t line " + "x" * 70_000


def test_a_record_comes_back_as_it_was_written(store: Store) -> None:
    begun = a_backup(
        "disk",
        "s3",
        label="shop/" + "d" * 300,
        comment=ODD_TEXT,
        error=ODD_TEXT,
        tags={"k 'ß": "v 🎉"},
        warnings=["one", "zwei ß"],
        facts={"server": "15.1"},
        size=2**40 + 1,
        stored_size=2**40,
        dump_seconds=123456.789012,
        created_at=START,
        updated_at=START + timedelta(microseconds=1),
    )
    wanted = begun.model_dump()
    store.backups.begin(begun, [])
    found = store.backups.get(begun.id)
    assert found.model_dump() == wanted
    assert [(file.label, file.position, file.backup_id) for file in found.drive_files] == [
        ("disk", 0, begun.id),
        ("s3", 1, begun.id),
    ]


def test_times_are_aware_utc_with_microseconds_whatever_zone_they_came_in(store: Store) -> None:
    begun = a_backup(created_at=START.astimezone(timezone(timedelta(hours=5, minutes=30))))
    store.backups.begin(begun, [])
    found = store.backups.get(begun.id).created_at
    assert found == START
    assert (found.utcoffset(), found.microsecond) == (timedelta(0), 123456)


def test_a_time_without_a_zone_is_refused(sqlite_store: Store) -> None:
    with pytest.raises(StoreError, match="a time in the store has a zone"):
        sqlite_store.backups.begin(a_backup(created_at=datetime(2025, 1, 1)), [])  # noqa: DTZ001 - the point
    assert sqlite_store.backups.list() == []


def test_whatever_a_tool_prints_can_be_kept(store: Store) -> None:
    printed = "nul \0, half \ud800, lost byte \udcff"
    begun = store.backups.begin(a_backup(), [])

    def fail(backup: Backup) -> None:
        backup.dump_status, backup.error, backup.warnings = Status.FAILED, printed, [printed]
        backup.facts = {printed: printed}

    store.backups.settle(begun.id, fail, lambda _: REPORT)
    found = store.backups.get(begun.id)
    readable = "nul \ufffd, half ?, lost byte ?"
    assert (found.error, found.warnings, found.facts) == (readable, [readable], {readable: readable})
    (told,) = store.outbox.events()
    assert (told.payload["Error"], told.payload["Warnings"]) == (readable, [readable])


def test_names_that_differ_in_case_or_accents_are_different(store: Store) -> None:
    for label in ("Café", "café", "cafe"):
        store.backups.begin(a_backup(label=label, source=label, job=label), [])
    assert [found.label for found in store.backups.list(BackupFilter(label="café"))] == ["café"]
    assert [found.job for found in store.backups.list(BackupFilter(job="Café"))] == ["Café"]


def test_a_change_is_kept_with_its_time(store: Store) -> None:
    begun = store.backups.begin(a_backup("disk", "s3"), [])
    store.backups.change(begun.id, phase="dumping", size=7)
    store.backups.change_drive_file(begun.id, "s3", session="upload-1", attempts=2)
    found = store.backups.get(begun.id)
    assert (found.phase, found.size) == ("dumping", 7)
    assert [(file.session, file.attempts) for file in found.drive_files] == [(None, 0), ("upload-1", 2)]
    assert found.updated_at and found.updated_at > found.created_at
    assert found.drive_files[1].updated_at and found.drive_files[0].updated_at is None


def test_what_is_told_of_a_settled_backup_changes_it_no_more(store: Store) -> None:
    begun = store.backups.begin(a_backup("disk"), [])
    store.backups.progress(begun.id, phase="uploading")
    store.backups.progress(begun.id, "disk", session="upload-1")
    assert store.backups.get(begun.id).phase == "uploading"
    settled = store.backups.settle(begun.id, lambda backup: setattr(backup, "dump_status", Status.FAILED), lambda _: [])
    store.backups.progress(begun.id, dump_status=Status.FINISHED, size=7)
    store.backups.progress(begun.id, "disk", status=Status.FINISHED, ref="a")
    assert store.backups.get(begun.id) == settled
    assert settled.drive_files[0].session == "upload-1"


def test_a_change_of_what_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.backups.change("nope", phase="x")
    with pytest.raises(NotFoundError):
        store.backups.settle("nope", finish, lambda _: [])


def test_a_backup_begins_together_with_what_is_owed(store: Store) -> None:
    announced = [Announcement(EventKind.BACKUP_START, ["webhook/Ops", "webhook/Dev"])]
    begun = store.backups.begin(a_backup(), announced)
    (told,) = store.outbox.events()
    assert (told.kind, told.backup_id, told.instance, told.job) == ("backup_start", begun.id, "host1", "nightly")
    assert told.payload["Status"] == "pending"
    assert sorted(delivery.endpoint for delivery in store.outbox.deliveries()) == ["webhook/Dev", "webhook/Ops"]


def test_a_backup_is_settled_together_with_what_is_owed(store: Store) -> None:
    begun = store.backups.begin(a_backup("disk", "s3", phase="uploading"), [])
    settled = store.backups.settle(begun.id, finish, lambda backup: REPORT if backup.status == "finished" else [])
    assert (settled.status, settled.phase) == (Status.FINISHED, None)
    assert settled.finished_at and settled.finished_at == settled.updated_at
    (delivery,) = store.outbox.deliveries()
    assert delivery.event.payload["Status"] == "finished"
    assert [file["Status"] for file in delivery.event.payload["DriveFiles"]] == ["finished", "finished"]


class PowerCut(Exception):
    """What ends a transaction half-way."""


def test_nothing_is_settled_when_the_report_cannot_be_written(store: Store) -> None:
    begun = store.backups.begin(a_backup(), [])

    def announce(settled: Backup) -> list[Announcement]:
        assert settled.status == Status.FINISHED
        raise PowerCut

    with pytest.raises(PowerCut):
        store.backups.settle(begun.id, finish, announce)
    found = store.backups.get(begun.id)
    assert (found.status, found.dump_status, found.finished_at) == ("pending", "pending", None)
    assert [file.status for file in found.drive_files] == ["pending"]
    assert (store.outbox.events(), store.outbox.deliveries()) == ([], [])


def test_nothing_is_begun_when_what_is_owed_cannot_be_written(store: Store) -> None:
    with pytest.raises(StoreError):
        store.backups.begin(a_backup(), [Announcement(EventKind.BACKUP_START, ["x" * 400, None])])  # type: ignore[list-item]  # no name
    assert (store.backups.list(), store.outbox.events()) == ([], [])


def test_an_id_is_taken_only_once(store: Store) -> None:
    begun = store.backups.begin(a_backup(), [])
    with pytest.raises(StoreError):
        store.backups.begin(a_backup(id=begun.id), REPORT)
    assert store.outbox.events() == []


def test_the_spooled_dumps_are_known(store: Store) -> None:
    store.backups.begin(a_backup(), [])
    store.backups.begin(a_backup(spool_path="/spool/now"), [])  # not committed yet
    kept = store.backups.begin(a_backup(spool_path="/spool/a", dump_path="/spool/a"), [])
    other = store.backups.begin(a_backup(source="blog", spool_path="/spool/b", dump_path="/spool/b"), [])
    store.backups.begin(a_backup(instance="host2", spool_path="/spool/c", dump_path="/spool/c"), [])
    assert set(ids(store.backups.spooled("host1"))) == {kept.id, other.id}
    assert ids(store.backups.kept_spools("host1", "shop", "shop")) == [kept.id]


def test_many_threads_write_at_once(store: Store) -> None:
    def work(number: int) -> str:
        begun = store.backups.begin(a_backup("disk", "s3", job=f"job{number % 3}"), REPORT)
        for phase in ("dumping", "uploading"):
            store.backups.change(begun.id, phase=phase)
            store.backups.change_drive_file(begun.id, "s3", attempts=number)
        assert store.backups.get(begun.id).phase == "uploading"
        return store.backups.settle(begun.id, finish, lambda _: REPORT).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(40))) == {"finished"}
    assert len(store.backups.list()) == 40
    assert len(store.outbox.deliveries(limit=None)) == 80
