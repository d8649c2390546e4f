"""All records come over into another store, the same ones, or none at all."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlmodel import Session, SQLModel

from backupman.errors import StoreError
from backupman.events import EventKind
from backupman.migrations import VERSION_TABLE
from backupman.records import Assignment, DeliveryState, Incident, ManifestRecord, Notification, Restore, Verification
from backupman.store import Announcement, Store
from backupman.store.jobs import Changes
from backupman.store.outbox import Attempt
from tests.store.conftest import START, a_backup, finish, server_address, sqlite_address

WAYS = [("sqlite", "postgres"), ("postgres", "sqlite"), ("sqlite", "mariadb")]
MANY = 450
"""More than two batches."""
REPORT = [Announcement(EventKind.BACKUP_REPORT, ["webhook: a", "mail: b"])]


def quietly(_table: str, _count: int) -> None:
    """Nobody watches."""


def address_of(request: pytest.FixtureRequest, kind: str, folder: Path) -> str:
    """The address of an empty database of that kind."""
    return sqlite_address(folder / "records.db") if kind == "sqlite" else server_address(request, kind)


@pytest.fixture(params=WAYS, ids=" to ".join)
def addresses(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where the records are, and an empty database of another kind."""
    origin, target = request.param
    return address_of(request, origin, tmp_path / "old"), address_of(request, target, tmp_path / "new")


@pytest.fixture
def stores(addresses: tuple[str, str]) -> Iterator[tuple[Store, Store]]:
    """A store with records in every table, and an empty one."""
    origin = Store.open(addresses[0])
    fill(origin)
    target = Store.open_for_copy(addresses[1])
    yield origin, target
    origin.close()
    target.close()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """The same in two files, for what no database does differently."""
    origin = Store.open(sqlite_address(tmp_path / "old.db"))
    fill(origin)
    target = Store.open_for_copy(sqlite_address(tmp_path / "new.db"))
    yield origin, target
    origin.close()
    target.close()


def fill(store: Store) -> None:
    """Put records into every table, with values that one database may keep otherwise than another."""
    with store._sessions.writing() as session:
        session.add_all(a_backup("disk", "s3", label=f"shop {number}", created_at=START) for number in range(MANY))
    odd = store.backups.begin(a_backup(facts={"Ünï": "\\ \" ' \n ☃"}, size=2**62, dump_seconds=0.1), REPORT)
    finish(odd)
    store.run_logs.append(odd.id, "host1", ["a line", "änother ☃"] * 900)
    store.jobs.seen_jobs("host1", {"nightly": "0 3 * * *"}, START)
    store.jobs.open_run("host1", "nightly", START, START)
    about: dict[str, Any] = {"instance": "host1", "job": "nightly", "source": "shop", "database": ""}
    times: dict[str, Any] = {"due_at": START, "opened_at": START, "reminded_at": START}
    store.jobs.change_incidents(Changes(opened=[Incident(kind="backup_late", **about, **times)]), START)
    [delivery, _] = store.outbox.claim("host1", 2, timedelta(minutes=1))
    store.outbox.record(delivery.id or 0, Attempt(1, DeliveryState.DELIVERED, START, 1 / 3, answer="200 OK"))
    of: dict[str, Any] = {"backup_id": odd.id, "instance": "host1"}
    with store._sessions.writing() as session:
        session.add(Assignment(instance="host1", kind="backup", queue="any", details={"a": 1}, begin_until=START))
        session.add(ManifestRecord(backup_id=odd.id, document={"z": [1, 2.5, None, True], "a": {"ß": "\t"}}))
        session.add(Verification(**of, drive="disk", level="restore", good=True, seconds=1 / 3))
        session.add(Restore(**of, label="shop", source="shop", database="shop", target="a file"))
        session.add(Notification(device="web", sender="script", type="info", severity="low", time=START))


def counts(session: Session) -> dict[str, int]:
    """How many records each table holds."""
    return {
        table.name: session.connection().execute(select(func.count()).select_from(table)).scalar_one()
        for table in SQLModel.metadata.sorted_tables
        if table.name not in ("backupman_claims", "backupman_workers")  # of processes, which have stopped
    }


def test_every_record_of_every_table_comes_over_once_and_numbers_go_on_behind_them(stores: tuple[Store, Store]) -> None:
    origin, target = stores
    told: dict[str, int] = {}
    copied = origin.copy_into(target, told.__setitem__)
    with origin._sessions.writing() as session:
        before = counts(session)
    with target._sessions.writing() as session:
        assert counts(session) == before == copied.counts == told
    assert all(before.values()), "the test leaves a table empty"
    odd = next(backup for backup in origin.backups.list(limit=1000) if backup.size)
    assert target.backups.get(odd.id) == odd
    assert target.run_logs.of(odd.id) == origin.run_logs.of(odd.id)
    assert target.outbox.deliveries() == origin.outbox.deliveries()
    assert not copied.already
    assert origin.copy_into(target, quietly) == replace(copied, already=True)
    target.backups.begin(a_backup(), REPORT)
    assert target.outbox.last_seq() == origin.outbox.last_seq() + 1
    assert target.jobs.open_run("host1", "nightly", START + timedelta(days=1), START)


def test_a_database_with_other_records_is_refused_and_left_as_it_is(files: tuple[Store, Store]) -> None:
    origin, target = files
    mine = target.backups.begin(a_backup(), [])
    with pytest.raises(StoreError, match=r"holds other records already, in .*backupman_backups, .*; name an empty one"):
        origin.copy_into(target, quietly)
    assert [backup.id for backup in target.backups.list()] == [mine.id]


def test_a_copy_that_differs_by_one_value_is_not_taken_for_the_same(files: tuple[Store, Store]) -> None:
    origin, target = files
    origin.copy_into(target, quietly)
    with target._sessions.writing() as session:
        session.connection().execute(text("UPDATE backupman_drive_files SET attempts = 1 WHERE label = 's3'"))
    with pytest.raises(StoreError, match="other records already, in backupman_drive_files; name"):
        origin.copy_into(target, quietly)


class CutOffError(Exception):
    """The power fails."""


@pytest.mark.parametrize("addresses", [("postgres", "sqlite"), ("sqlite", "postgres")], indirect=True, ids=" to ".join)
def test_a_copy_that_is_interrupted_leaves_nothing_and_can_be_begun_anew(stores: tuple[Store, Store]) -> None:
    origin, target = stores

    def fail(table: str, count: int) -> None:
        if table == "backupman_drive_files" and count > MANY:
            raise CutOffError

    with pytest.raises(CutOffError):
        origin.copy_into(target, fail)
    with target._sessions.writing() as session:
        assert not any(counts(session).values())
    assert not origin.copy_into(target, quietly).already


@pytest.mark.parametrize("addresses", [("postgres", "sqlite")], indirect=True)
def test_records_that_change_meanwhile_are_noticed(stores: tuple[Store, Store]) -> None:
    origin, target = stores  # while a SQLite file is read nobody can write to it

    def disturb(table: str, count: int) -> None:
        if table == "backupman_runs":
            origin.jobs.skip("host1", "nightly", START + timedelta(hours=count), "somebody works here")

    with pytest.raises(StoreError, match=r"changed while they were copied, in .*backupman_runs; stop every backupman"):
        origin.copy_into(target, disturb)
    with target._sessions.writing() as session:
        assert not any(counts(session).values())


def test_tables_of_an_earlier_version_are_refused_and_left_as_they_are(tmp_path: Path) -> None:
    address = sqlite_address(tmp_path / "new.db")
    Store.open(address).close()
    target = Store(address)
    with target._engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))
    with pytest.raises(
        StoreError, match=r"of an earlier version of backupman .revision 0001, .*name an empty database"
    ):
        Store.open_for_copy(address)
    with target._engine.connect() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == "0001"
    target.close()


def test_an_empty_store_has_nothing_to_copy(tmp_path: Path) -> None:
    origin, target = (Store.open(sqlite_address(tmp_path / name)) for name in ("old.db", "new.db"))
    with pytest.raises(StoreError, match="there are no records to copy"):
        origin.copy_into(target, quietly)
    origin.close()
    target.close()
