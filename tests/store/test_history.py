"""Old records go from every database, and everything that is needed stays."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, select

from backupman.engine.history import purge
from backupman.manifest import Manifest
from backupman.records import (
    Backup,
    Delivery,
    DeliveryAttempt,
    DriveFile,
    Event,
    Incident,
    Kind,
    ManifestRecord,
    Notification,
    Restore,
    Run,
    RunState,
    Status,
    Verification,
)
from backupman.store import Store
from backupman.store.jobs import Changes
from tests.store.conftest import START, a_backup, finish

US, THEM = "host1", "host2"
DAY = timedelta(days=1)


KEEP = timedelta(days=400)
OLD, YOUNG = START - timedelta(days=401), START - timedelta(days=399)


def incident(**fields: Any) -> Incident:
    """A late backup since START."""
    known: dict[str, Any] = {"kind": "backup_late", "job": "nightly", "source": "shop", "database": "shop"}
    known |= {"instance": US, "due_at": START, "opened_at": START, "reminded_at": START}
    return Incident(**(known | fields))


def everything(store: Store, model: Any) -> list[Any]:
    """Every record of a table."""
    with Session(store._engine) as session:
        return list(session.exec(select(model)))


def _fail(backup: Backup) -> None:
    backup.dump_status = Status.FAILED
    for file in backup.drive_files:
        file.status = Status.FAILED


def test_old_records_go_and_everything_that_is_needed_stays(store: Store) -> None:
    kept = [
        backup_at(store, OLD, Status.FINISHED),
        backup_at(store, OLD, None),
        backup_at(store, OLD, Status.FAILED, instance=THEM),
        backup_at(store, OLD, Status.FAILED, dump_path="/spool/x"),
        backup_at(store, YOUNG, Status.FAILED),
        backup_at(store, YOUNG, Status.FINISHED, kind=Kind.INGESTED),
    ]
    half = store.backups.begin(a_backup("disk", "cloud", created_at=OLD), [])
    store.backups.settle(half.id, _fail_on_the_cloud, lambda _: [])
    kept.append(half.id)
    backup_at(store, OLD, Status.FAILED)
    backup_at(store, OLD, Status.FINISHED, kind=Kind.INGESTED)
    assert purge(store, US, KEEP, START) == 2
    assert {record.id for record in everything(store, Backup)} == set(kept)
    assert {file.backup_id for file in everything(store, DriveFile)} == set(kept)
    assert purge(store, US, KEEP, START) == 0


def backup_at(store: Store, begun: Any, outcome: Status | None, **fields: Any) -> str:
    """A backup of then; its id."""
    made = store.backups.begin(a_backup(created_at=begun, **fields), [])
    if outcome:
        store.backups.settle(made.id, finish if outcome == Status.FINISHED else _fail, lambda _: [])
        store.backups.change(made.id, dump_path=fields.get("dump_path"))
    return made.id


def _fail_on_the_cloud(backup: Backup) -> None:
    backup.dump_status = Status.FINISHED
    for file in backup.drive_files:
        file.status = Status.FINISHED if file.label == "disk" else Status.FAILED


def test_old_events_go_but_never_what_is_owed(store: Store) -> None:
    with Session(store._engine) as session, session.begin():
        for number, (time, state) in enumerate(
            [(OLD, "delivered"), (OLD, "owed"), (OLD, "failed"), (OLD, "dropped"), (YOUNG, "delivered"), (OLD, None)]
        ):
            event = Event(kind="backup_report", time=time, instance=US, job=str(number), payload={})
            session.add(event)
            session.flush()
            assert event.seq
            if state:
                delivery = Delivery(
                    event_seq=event.seq, instance=US, endpoint="ops", lane="x", state=state, created_at=time
                )
                session.add(delivery)
                session.flush()
                assert delivery.id
                session.add(DeliveryAttempt(delivery_id=delivery.id, seconds=1, delivered=state == "delivered"))
    again = store.outbox.replay(event_id(store, "0"), ["ops"], "host1")  # owed anew, so its event stays
    assert purge(store, US, KEEP, START) == 3 + 3
    assert sorted(event.job for event in everything(store, Event)) == ["0", "1", "4"]
    left = everything(store, Delivery)
    assert sorted((delivery.state, delivery.created_at == OLD) for delivery in left) == [
        ("delivered", False),
        ("owed", False),
        ("owed", True),
    ]
    assert {attempt.delivery_id for attempt in everything(store, DeliveryAttempt)} == {d.id for d in left} - set(again)


def event_id(store: Store, job: str) -> str:
    """The id of the event of that job."""
    return next(event.id for event in store.outbox.events(limit=None) if event.job == job)


def test_old_runs_and_closed_incidents_go_but_the_newest_run_of_a_job_stays(store: Store) -> None:
    for due in (OLD - DAY, OLD, YOUNG):
        store.jobs.skip(US, "nightly", due, "busy")
    for due in (OLD - 2 * DAY, OLD - DAY):
        store.jobs.skip(US, "yearly", due, "busy")
    store.jobs.open_run(US, "running", OLD - DAY, OLD)
    store.jobs.skip(US, "running", OLD, "busy")
    store.jobs.skip(THEM, "nightly", OLD, "busy")
    opened = [incident(opened_at=OLD), incident(closed_at=OLD), incident(closed_at=YOUNG)]
    store.jobs.change_incidents(Changes(opened=opened), OLD)
    assert purge(store, US, KEEP, START) == 3 + 1
    assert sorted((run.instance, run.job, run.due_at) for run in everything(store, Run)) == [
        (US, "nightly", YOUNG),
        (US, "running", OLD - DAY),
        (US, "running", OLD),
        (US, "yearly", OLD - DAY),
        (THEM, "nightly", OLD),
    ]
    assert {found.closed_at for found in everything(store, Incident)} == {None, YOUNG}


def test_old_notifications_go(store: Store) -> None:
    with Session(store._engine) as session, session.begin():
        for time in (OLD, YOUNG):
            session.add(
                Notification(device="web-1", sender="me", type="disk", severity="info", time=time, created_at=time)
            )
    assert purge(store, US, KEEP, START) == 1
    assert [note.created_at for note in everything(store, Notification)] == [YOUNG]


def test_more_than_a_batch_goes_too(sqlite_store: Store) -> None:
    with Session(sqlite_store._engine) as session, session.begin():
        session.add_all(
            Run(instance=US, job="often", due_at=OLD - timedelta(seconds=number), state=RunState.DONE)
            for number in range(1203)
        )
    assert purge(sqlite_store, US, KEEP, START) == 1202


def test_records_that_are_kept_for_longer_than_the_calendar_are_kept(sqlite_store: Store) -> None:
    sqlite_store.jobs.skip(US, "nightly", OLD, "busy")
    sqlite_store.jobs.skip(US, "nightly", YOUNG, "busy")
    assert purge(sqlite_store, US, timedelta(days=999_999), START) == 0


@pytest.mark.parametrize("keep", [timedelta(days=1), timedelta(days=400)])
def test_an_empty_store_has_nothing_to_let_go(keep: timedelta, sqlite_store: Store) -> None:
    assert purge(sqlite_store, US, keep, START) == 0


def test_old_proofs_go_but_the_newest_of_what_is_still_there(store: Store) -> None:
    there, gone = backup_at(store, OLD, Status.FINISHED), "a backup that retention has removed"

    def proof(backup_id: str, level: str, at: Any, **fields: Any) -> str:
        known: dict[str, Any] = {"instance": US, "drive": "disk", "good": True, "seconds": 1.0} | fields
        made = Verification(backup_id=backup_id, level=level, at=at, **known)
        store.proofs.verified(made, "no such file")
        return made.id

    kept = [
        proof(there, "restore", OLD),
        proof(there, "checksum", OLD, drive="cloud"),
        proof(there, "checksum", YOUNG),
        proof(gone, "restore", YOUNG),
        proof(gone, "restore", OLD, instance=THEM),
    ]
    for level, at in (("restore", OLD - DAY), ("checksum", OLD)):
        proof(there, level, at)
    proof(there, "restore", OLD, good=False)
    proof(gone, "restore", OLD)
    assert purge(store, US, KEEP, START) == 4
    assert {record.id for record in everything(store, Verification)} == set(kept)


def test_what_found_a_copy_bad_stays_as_long_as_that_holds(store: Store) -> None:
    there = backup_at(store, OLD, Status.FINISHED)
    [file] = store.backups.get(there).drive_files

    def found(level: str, at: Any, error: str | None = None) -> str | None:
        known: dict[str, Any] = {"instance": US, "drive": file.label, "good": error is None, "seconds": 1.0}
        checked = Verification(backup_id=there, level=level, at=at, error=error, **known)
        store.proofs.verified(checked, file.id)
        [now_known] = store.backups.get(there).drive_files
        return now_known.verify_error

    assert found("restore", OLD, "no rows") == "no rows"
    assert purge(store, US, KEEP, START) == 0
    assert found("checksum", YOUNG) == "no rows"
    assert found("restore", YOUNG) is None
    assert purge(store, US, KEEP, START) == 1


def test_old_restores_go_and_manifests_go_with_their_backups(store: Store) -> None:
    there = backup_at(store, OLD, Status.FINISHED)
    for backup_id in (there, "gone"):
        store.proofs.keep_manifest(backup_id, Manifest(provider="sqlite", facts={}))
    with Session(store._engine) as session, session.begin():
        for name, at, status in (("old", OLD, "failed"), ("young", YOUNG, "finished"), ("running", OLD, "pending")):
            known: dict[str, Any] = {
                "backup_id": there,
                "instance": US,
                "source": "shop",
                "database": "shop",
                "target": "shop_2",
            }
            session.add(Restore(id=name, label=name, created_at=at, status=status, **known))
    assert purge(store, US, KEEP, START) == 2
    assert {record.id for record in everything(store, Restore)} == {"young", "running"}
    assert [record.backup_id for record in everything(store, ManifestRecord)] == [there]
