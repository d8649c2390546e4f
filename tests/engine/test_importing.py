"""What the original Go program has recorded becomes our records: with its ids, truthfully, once, and in any amount."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.config import Config, load, plans
from backupman.engine.importing import Imported, Importer
from backupman.records import Backup, Status
from backupman.store import Store
from backupman.store.backups import BackupFilter
from backupman.store.go_records import GoRecords
from tests.store.conftest import server_address, sqlite_address
from tests.store.go_program import GoProgram

LATER = datetime(2025, 12, 1, tzinfo=UTC)
GO: dict[str, Any] = {
    "database": {"provider": "sqlite", "db_path": "go.db"},
    "data_sources": [
        {
            "provider": "mysql",
            "label": "Shop",
            "host": "h",
            "port": 3306,
            "db_name": "shop",
            "user": "u",
            "password": "p",
        },
        {"provider": "sqlite", "label": "Wiki", "db_path": "/srv/wiki.db"},
    ],
    "drives": [
        {"provider": "local", "label": "Disk", "folder": "./tmp/drive"},
        {"provider": "s3", "label": "Bucket", "bucket": "b", "region": "r", "access_key": "k", "secret_key": "s"},
    ],
}
DISK = ("local", "Disk", "tmp/drive/20250702100000.sql")
BUCKET = ("s3", "Bucket", "/odd//20250702100001.sql")


@pytest.fixture
def go(tmp_path: Path) -> Iterator[GoProgram]:
    """The Go program's SQLite file."""
    program = GoProgram(sqlite_address(tmp_path / "go.db"))
    yield program
    program.close()


@pytest.fixture
def store() -> Iterator[Store]:
    """Our records, in memory."""
    opened = Store.open("sqlite://")
    yield opened
    opened.close()


def config(folder: Path, **changes: Any) -> Config:
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(GO | {"instance": "here", "state_folder": str(folder / "state")} | changes))
    return load(path).config


def imported(folder: Path, go: GoProgram, store: Store, *, dry: bool = False, ours: Config | None = None) -> Imported:
    """What comes of an import on 2025-12-01."""
    theirs = config(folder)
    ours = ours or theirs
    with closing(GoRecords(go.address)) as records:
        return Importer(ours, plans(ours), store, theirs, lambda: LATER).take(records, dry=dry)


def on_record(store: Store) -> list[Backup]:
    return list(store.backups.list(BackupFilter()))


def test_a_backup_comes_over_with_its_ids_times_and_places(tmp_path: Path, go: GoProgram, store: Store) -> None:
    name = go.add("Shop", DISK, BUCKET)
    found = imported(tmp_path, go, store)
    tally = found.taken["Shop"]
    assert (tally.backups, tally.finished, tally.copies, found.left) == (1, 1, 2, [])
    [backup] = on_record(store)
    assert (backup.id, backup.status, backup.label, backup.source, backup.database) == (
        *(name, "finished", "Shop", "Shop", "shop"),
    )
    assert (backup.job, backup.instance, backup.trigger, backup.source_provider) == (
        "default",
        "here",
        "import",
        "mysql",
    )
    assert backup.created_at == datetime(2025, 7, 2, 10, tzinfo=UTC)
    assert (backup.size, backup.sha256, backup.dump_path, backup.spool_path) == (None, None, None, None)
    assert backup.object_name == f"shop/backup-20250702100000-{name[:8]}.sql"
    assert [(file.label, file.ref, file.path, file.position) for file in backup.drive_files] == [
        ("Disk", "20250702100000.sql", DISK[2], 0),
        ("Bucket", BUCKET[2], BUCKET[2], 1),
    ]


def test_a_second_import_adds_nothing_and_changes_nothing(tmp_path: Path, go: GoProgram, store: Store) -> None:
    for day in range(1, 4):
        go.add("Shop", (*DISK[:2], f"tmp/drive/{day}.sql"), at=f"2025-07-0{day} 10:00:00")
    assert imported(tmp_path, go, store).taken["Shop"].backups == 3
    store.backups.change(on_record(store)[0].id, comment="the one before the move")
    before = [backup.model_dump() for backup in on_record(store)]
    again = imported(tmp_path, go, store).taken["Shop"]
    assert (again.backups, again.copies, again.already) == (0, 0, 3)
    assert [backup.model_dump() for backup in on_record(store)] == before
    go.add("Shop", DISK, at="2025-07-09 10:00:00")
    assert imported(tmp_path, go, store).taken["Shop"].backups == 1


def test_dry_nothing_is_recorded(tmp_path: Path, go: GoProgram, store: Store) -> None:
    go.add("Shop", DISK)
    assert imported(tmp_path, go, store, dry=True).taken["Shop"].backups == 1
    assert on_record(store) == []


def test_what_failed_has_failed_and_what_was_never_ended_too(tmp_path: Path, go: GoProgram, store: Store) -> None:
    dump = go.add("Shop", at="2025-07-01 10:00:00", status="failed")
    upload = go.add("Shop", DISK, at="2025-07-02 10:00:00", status="failed")
    given_up = go.add("Shop", BUCKET, at="2025-07-03 10:00:00", status="pending")
    assert imported(tmp_path, go, store).taken["Shop"].failed == 3
    found = {backup.id: backup for backup in on_record(store)}
    assert {backup.status for backup in found.values()} == {"failed"}
    assert (found[dump].dump_status, found[upload].dump_status) == ("failed", "finished")
    assert found[dump].error == "Shop: the Go program recorded that the dump failed, and not why"
    assert found[upload].error == "Disk: the Go program recorded that the upload failed, and not why"
    assert found[given_up].error == "Bucket: the Go program recorded that the upload began, and not that it ended"


def test_what_may_be_under_way_is_left_until_it_has_ended(tmp_path: Path, go: GoProgram, store: Store) -> None:
    name = go.add("Shop", DISK, at="2025-11-30 12:00:00", status="pending")
    found = imported(tmp_path, go, store)
    assert [(left.id, left.label) for left in found.left] == [(name, "Shop")]
    assert "import again when it has ended" in found.left[0].reason
    go.execute("update backups set status = 'finished'", "update backup_drive_files set status = 'finished'")
    assert imported(tmp_path, go, store).left == []
    assert [backup.status for backup in on_record(store)] == ["finished"]


def test_of_dumps_that_were_stored_under_one_name_only_the_last_is_there(
    tmp_path: Path, go: GoProgram, store: Store
) -> None:
    replaced = go.add("Shop", DISK, at="2025-07-02 10:00:00")
    last = go.add("Wiki", DISK, at="2025-07-02 10:00:01")
    nobody_knows = {go.add("Shop", BUCKET), go.add("Wiki", BUCKET)}
    assert imported(tmp_path, go, store).left == []
    found = {backup.id: backup for backup in on_record(store)}
    assert {name for name, backup in found.items() if backup.status == Status.FINISHED} == {last}
    assert "has replaced it" in (found[replaced].error or "")
    assert all("nobody knows which" in (found[name].error or "") for name in nobody_knows)
    assert [file.ref for name in nobody_knows for file in found[name].drive_files] == [None, None]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (("local", "Disk", "/elsewhere/20250702100000.sql"), "not in the drive's folder tmp/drive"),
        (("local", "Disk", "tmp/drive/../drive2/x.sql"), "not in the drive's folder"),
        (("local", "Disk", ""), "no path"),
        (("local", "Gone", "tmp/drive/x.sql"), "names no folder for 'Gone'"),
        (("google_drive", "Cloud", "20250702100000.sql"), "does not name it"),
    ],
)
def test_a_copy_that_nobody_could_find_is_left_and_taken_once_it_can_be(
    tmp_path: Path, go: GoProgram, store: Store, file: tuple[str, str, str], reason: str
) -> None:
    both = go.add("Shop", BUCKET, file)
    alone = go.add("Wiki", (*file[:2], file[2] and f"x{file[2]}"), at="2025-07-03 10:00:00")
    found = imported(tmp_path, go, store)
    assert sorted((left.id, left.drive) for left in found.left) == sorted([(both, file[1]), (alone, file[1])])
    assert all(reason in left.reason for left in found.left)
    assert [backup.id for backup in on_record(store)] == [both]
    go.execute(
        "update backup_drive_files set provider = 'local', label = 'Disk', path = 'tmp/drive/' || id "
        "where path != :key",
        key=BUCKET[2],
    )
    again = imported(tmp_path, go, store)
    assert (again.left, again.taken["Shop"].copies, again.taken["Wiki"].backups) == ([], 1, 1)
    assert [[file.label for file in backup.drive_files] for backup in on_record(store)] == [
        ["Disk"],
        ["Disk", "Bucket"],
    ]


def test_a_record_that_is_none_is_left_with_its_reason(tmp_path: Path, go: GoProgram, store: Store) -> None:
    go.execute("insert into backups (id, status, label, created_at) values ('17', 'finished', 'Shop', '2025-07-01')")
    go.add("Shop", at="soon")
    go.add("Shop", status="running")
    go.add("", status="failed")
    reasons = " ".join(sorted(left.reason for left in imported(tmp_path, go, store).left))
    for said in ("its created_at is no time", "its id is none", "its label is empty", "status 'running' is not known"):
        assert said in reasons
    assert on_record(store) == []


def test_how_a_dump_is_packed_is_read_from_its_name(tmp_path: Path, go: GoProgram, store: Store) -> None:
    for number, path in enumerate(["1.db", "backup-20250702100000.sql.gz", "x.sql", "odd"]):
        go.add("Wiki", ("local", "Disk", f"tmp/drive/{path}"), at=f"2025-07-0{number + 1} 10:00:00")
    imported(tmp_path, go, store)
    endings = [backup.object_name.partition(".")[2] for backup in reversed(on_record(store))]
    assert endings == ["sqlite", "sql.gz", "sql", "sqlite"]


def test_what_our_config_and_theirs_do_not_name_is_told(tmp_path: Path, go: GoProgram, store: Store) -> None:
    go.add("Renamed", DISK)
    go.add("Shop", BUCKET)
    ours = {"drives": GO["drives"][:1], "data_sources": GO["data_sources"][1:]}
    found = imported(tmp_path, go, store, ours=config(tmp_path, **ours))
    assert [backup.source_provider for backup in on_record(store)].count("unknown") == 1
    told = "\n".join(found.remarks)
    for said in ("no source 'Renamed'", "our config names no source 'Shop'", "our config names no drive 'Bucket'"):
        assert said in told


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
def test_our_records_may_stand_in_the_same_database(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    address = sqlite_address(tmp_path / "go.db") if kind == "sqlite" else server_address(request, kind)
    with closing(GoProgram(address)) as go, closing(Store.open(address)) as store:
        names = go.add_many("Shop", "Disk", [f"tmp/drive/{number}.sql" for number in range(1100)])
        before = go.rows()
        told: list[int] = []
        theirs = config(tmp_path)
        with closing(GoRecords(go.address)) as records:
            found = Importer(theirs, plans(theirs), store, theirs).take(records, dry=False, tell=told.append)
        assert (found.taken["Shop"].copies, told) == (1100, [500, 1000, 1100])
        assert {backup.id for backup in on_record(store)} == names
        assert go.rows() == before
