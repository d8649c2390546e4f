"""The steps of a backup in the log: what has failed is told once, however early, and what was asked for is said."""

import logging

import pytest

from backupman.app import Unobserved
from backupman.data_plane.messages import Dumped, Uploaded, UploadFailed
from backupman.engine.figures import Asked
from backupman.engine.steps import Steps
from backupman.manifest import Manifest, TableRows
from backupman.records import Backup, DriveFile, Status

FAILED = UploadFailed(label="Cloud", error="Cloud: the bucket does not exist", attempts=2, seconds=0.1)
TABLES = [
    TableRows(name="public.orders", rows=12_345),
    TableRows(name="public.one", rows=1),
    TableRows(name="public.many", rows=7_000, exact=False),
    TableRows(name="public.view", rows=None),
]
DUMPED = Dumped(
    size=3 * 2**30,
    stored_size=2**30,
    sha256="0" * 64,
    seconds=60.0,
    warnings=["the table t uses MyISAM"],
    facts={"tool": "pg_dump", "tool_version": "15.3"},
    manifest=Manifest(provider="postgres", facts={}, tables=TABLES),
)
UPLOADED = Uploaded(
    label="Disk", ref="shop/x.sql.gz", size=2**30, checksums={"sha256": "0" * 64}, attempts=2, seconds=8.0
)


@pytest.fixture
def backup() -> Backup:
    return Backup(
        label="Shop",
        job="nightly",
        source="Shop",
        database="shop",
        source_provider="postgres",
        instance="host1",
        object_name="shop/x",
        drive_files=[DriveFile(backup_id="x", provider="local", label="Disk")],
    )


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "backupman.engine.steps")
    return caplog


def lines(said: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in said.records]


@pytest.mark.parametrize("messages", [[FAILED, DUMPED], [DUMPED, FAILED]])
def test_a_drive_that_has_failed_is_told_once_whenever_it_failed(
    backup: Backup, said: pytest.LogCaptureFixture, messages: list[Dumped | UploadFailed]
) -> None:
    steps = Steps(Unobserved())
    steps.began(backup)
    for message in messages:
        steps.heard(backup, message)
    assert lines(said).count("Shop: failed on Cloud: the bucket does not exist") == 1


def test_where_the_dump_has_failed_its_own_error_says_enough(backup: Backup, said: pytest.LogCaptureFixture) -> None:
    steps = Steps(Unobserved())
    steps.began(backup)
    steps.heard(backup, FAILED)
    backup.status, backup.error, backup.seconds = Status.FAILED, "Shop: it is not there", 1.0
    steps.ended(backup)
    assert lines(said) == ["Shop: begins, onto Disk", "Shop: failed after 1.0 s: it is not there"]


def test_nothing_more_is_said_than_was_asked_for(backup: Backup, said: pytest.LogCaptureFixture) -> None:
    for message in (DUMPED, UPLOADED):
        Steps(Unobserved()).heard(backup, message)
    assert lines(said) == [
        "Shop: dumped 3.0 GiB in 1 min, 1.0 GiB to store",
        "the table t uses MyISAM",
        "Shop: stored on Disk after 8.0 s",
    ]


def test_figures(backup: Backup, said: pytest.LogCaptureFixture) -> None:
    for message in (DUMPED, UPLOADED):
        Steps(Unobserved(), Asked(stats=True)).heard(backup, message)
    assert [line for line in lines(said) if " at " in line or "made by" in line] == [
        "Shop: 3.0 GiB at 51.2 MiB/s, 1.0 GiB to store, which is 33.3% of it",
        "Shop: made by tool pg_dump, tool_version 15.3",
        "Shop: Disk: 1.0 GiB at 128 MiB/s in 2 tries",
    ]


def test_what_is_in_it_and_where_it_is(backup: Backup, said: pytest.LogCaptureFixture) -> None:
    for message in (DUMPED, UPLOADED):
        Steps(Unobserved(), Asked(listing=True)).heard(backup, message)
    assert [line for line in lines(said) if "public" in line or "sha256" in line] == [
        "Shop: public.orders, 12,345 rows",
        "Shop: public.one, 1 row",
        "Shop: public.many, about 7,000 rows",
        "Shop: public.view, rows not counted",
        f"Shop: Disk: shop/x.sql.gz, sha256 {'0' * 64}",
    ]


def test_of_very_many_tables_some_are_left_out(backup: Backup, said: pytest.LogCaptureFixture) -> None:
    tables = [TableRows(name=f"t{n}", rows=n) for n in range(1_200)]
    many = DUMPED.model_copy(update={"manifest": Manifest(provider="postgres", facts={}, tables=tables)})
    Steps(Unobserved(), Asked(listing=True)).heard(backup, many)
    assert "Shop: and 200 more tables" in lines(said)
