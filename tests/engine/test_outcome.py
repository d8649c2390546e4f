"""What the data plane says is entered into the record, also where the store has a bad moment just then."""

from threading import Thread

import pytest
from sqlalchemy import text

from backupman.app import Unobserved
from backupman.data_plane.messages import Dumped, Phase, Uploaded
from backupman.engine.outcome import Outcome
from backupman.manifest import Manifest, TableRows
from backupman.records import Status
from backupman.store import Store
from tests.e2e.world import wait_for
from tests.store.conftest import a_backup


def test_what_is_said_while_the_store_is_away_is_entered_once_it_is_back(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def rename(table: str, name: str) -> None:
        with store._sessions.writing() as session:
            session.connection().execute(text(f"ALTER TABLE {table} RENAME TO {name}"))

    def come_back() -> None:
        wait_for(lambda: "not on record yet" in caplog.text)
        rename("away", "backupman_drive_files")

    backup = store.backups.begin(a_backup("disk"), [])
    rename("backupman_drive_files", "away")
    back = Thread(target=come_back)
    back.start()
    Outcome(store, backup, Unobserved()).take(Phase(phase="dumping"))
    back.join()
    assert store.backups.get(backup.id).phase == "dumping"


def test_what_a_drive_holds_can_be_verified_while_another_one_still_takes_it(store: Store) -> None:
    backup = store.backups.begin(a_backup("disk", "cloud"), [])
    outcome = Outcome(store, backup, Unobserved())
    outcome.take(Dumped(size=9, stored_size=7, sha256="5ha", seconds=1, warnings=[], facts={}))
    outcome.take(Uploaded(label="disk", ref="/srv/shop", size=7, checksums={}))
    files = {file.label: (file.status, file.size, file.sha256) for file in store.backups.get(backup.id).drive_files}
    assert files == {"disk": (Status.FINISHED, 7, "5ha"), "cloud": (Status.PENDING, None, None)}


def test_no_dump_is_on_record_without_its_manifest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(type(store.proofs), "keep_manifest", crash)
    backup = store.backups.begin(a_backup("disk"), [])
    manifest = Manifest(provider="sqlite", facts={}, tables=[TableRows(name="orders", rows=1)])
    said = Dumped(size=1, stored_size=1, sha256="", seconds=1, warnings=[], facts={}, manifest=manifest)
    with pytest.raises(SystemExit):
        Outcome(store, backup, Unobserved()).take(said)
    assert store.backups.get(backup.id).dump_status == Status.PENDING
