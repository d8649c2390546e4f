"""Who reads records waits for nobody, and nobody waits for them: a page, or a count of millions beside a backup.

Nor for them to have ended, who lets go of the store.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy import text

from backupman.errors import StoreError
from backupman.records import Kind
from backupman.store import Store
from backupman.store.verifiable import Named
from tests.posix_locks import posix_locks
from tests.store.conftest import START, a_backup


def test_who_reads_waits_for_no_writer(sqlite_store: Store) -> None:
    backup = a_backup()
    sqlite_store.backups.begin(backup, [])
    with sqlite_store._sessions.writing() as writing:
        writing.connection().execute(text("UPDATE backupman_backups SET label = 'not committed'"))
        assert sqlite_store.statistics.own_series([backup.source])
        assert sqlite_store.listings.held(START) == {}
        assert sqlite_store.standing.last_event() == 0
        assert not list(sqlite_store.verifiable.newest_encrypted(Named([backup.source], [])))
        assert sqlite_store.backups.get("latest").label == backup.label
        assert [each.backup_id for each in sqlite_store.catalogue.on(backup.instance, "disk")] == [backup.id]
        assert sqlite_store.outbox.next_due(backup.instance) is None
        assert sqlite_store.jobs.open_incidents() == []


def test_a_writer_waits_for_nobody_who_reads(sqlite_store: Store) -> None:
    count = text("SELECT count(*) FROM backupman_backups")
    with sqlite_store._sessions.reading() as reading:
        assert reading.connection().execute(count).scalar() == 0
        sqlite_store.backups.begin(a_backup(kind=Kind.OWN), [])
        assert reading.connection().execute(count).scalar() == 0, "two questions of one session have one answer"
    with sqlite_store._sessions.reading() as reading:
        assert reading.connection().execute(count).scalar() == 1


def test_nothing_is_written_by_who_reads(store: Store) -> None:
    with store._sessions.reading() as reading:
        reading.add(a_backup())
        reading.flush()
    assert store.backups.pending(a_backup().instance) == []


def test_opening_a_file_again_leaves_the_locks_of_who_has_it_open(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'records.db'}"
    store = Store.open(address)
    store.check()
    before = posix_locks(os.getpid())
    assert (tmp_path / "records.db").stat().st_ino in {inode for _, inode in before}
    Store.open(address).close()
    assert posix_locks(os.getpid()) == before
    store.close()


def test_who_waits_in_vain_for_another_process_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backupman.store._engines._BUSY_SECONDS", 0)
    store = Store.open(f"sqlite:///{tmp_path / 'records.db'}")
    with closing(sqlite3.connect(tmp_path / "records.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"database is locked; another process keeps it to itself .*`fuser -v`"):
            store.check()
        other.execute("ROLLBACK")
    store.check()
    store.close()


def test_a_connection_in_use_is_closed_when_it_comes_back_to_a_store_that_is(shared_address: str) -> None:
    store = Store.open(shared_address)
    with store._sessions.reading() as session:
        connection: Any = session.connection().connection.driver_connection
        store.close()
        assert session.connection().execute(text("SELECT 1")).scalar() == 1
    with pytest.raises((psycopg.Error, pymysql.Error, sqlite3.Error)):
        connection.cursor().execute("SELECT 1")
