"""Which copies retention lets go: the old ones, and never the last one."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from backupman.engine.retention import expired
from backupman.records import Backup, DriveFile, Status

NOW = datetime(2025, 7, 2, 10, 0, 0, tzinfo=UTC)
KEEP = timedelta(days=30)


def copy(
    days: float, *, database: str = "shop", drive: str = "disk", source: str = "db", status: str = Status.FINISHED
) -> DriveFile:
    """A copy of a backup that was made so many days ago."""
    backup = Backup(
        label=source,
        job="nightly",
        source=source,
        database=database,
        source_provider="mysql",
        instance="host1",
        object_name="x",
        created_at=NOW - timedelta(days=days),
    )
    file = DriveFile(backup_id=backup.id, provider="local", label=drive, status=status)
    file.backup = backup
    return file


def test_old_copies_go_and_young_ones_stay() -> None:
    young, edge, old, older = copies = [copy(1), copy(30), copy(30.001), copy(400)]
    assert expired(copies, KEEP, NOW) == [old, older]
    assert expired(reversed(copies), KEEP, NOW) == [old, older]
    assert young not in expired(copies, KEEP, NOW)
    assert edge not in expired(copies, KEEP, NOW)


def test_the_last_copy_stays_however_old_it_is() -> None:
    newest, older = copy(400), copy(500)
    assert expired([newest, older], KEEP, NOW) == [older]
    assert expired([newest], KEEP, NOW) == []
    assert expired([], KEEP, NOW) == []


def test_every_database_source_and_drive_keeps_its_own_last_copy() -> None:
    lasts = [copy(400), copy(400, database="blog"), copy(400, drive="s3"), copy(400, source="other")]
    assert expired([*lasts, copy(1, database="new")], KEEP, NOW) == []


def test_what_has_failed_or_is_under_way_is_no_copy() -> None:
    last = copy(400)
    failed = [copy(1, status=Status.FAILED), copy(2, status=Status.PENDING), copy(500, status=Status.FAILED)]
    assert expired([last, *failed], KEEP, NOW) == []


def test_a_clock_that_was_ahead_removes_nothing_young() -> None:
    future, young = copy(-5), copy(1)
    assert expired([future, young], KEEP, NOW) == []


copies = st.lists(
    st.builds(
        copy,
        st.floats(-10, 1000),
        database=st.sampled_from("ab"),
        drive=st.sampled_from("xy"),
        source=st.sampled_from("st"),
        status=st.sampled_from(list(Status)),
    ),
    max_size=30,
)


@given(copies)
def test_whatever_goes_a_newer_finished_copy_stays(files: list[DriveFile]) -> None:
    gone = expired(files, KEEP, NOW)
    staying = [file for file in files if file not in gone and file.status == Status.FINISHED]

    def place(file: DriveFile) -> tuple[str, str, str]:
        return file.backup.source, file.backup.database, file.label

    for file in gone:
        assert file.status == Status.FINISHED
        assert NOW - file.backup.created_at > KEEP
        assert [
            other
            for other in staying
            if place(other) == place(file) and other.backup.created_at >= file.backup.created_at
        ]
