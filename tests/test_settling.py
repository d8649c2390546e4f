"""The one rule that says what a backup's status is, for every combination of a dump and two drives."""

from itertools import product

import pytest

from backupman.records import DriveFile, Status
from backupman.settling import settle

PENDING, FINISHED, FAILED = Status.PENDING, Status.FINISHED, Status.FAILED


def file(status: str, *, required: bool = True) -> DriveFile:
    """A file on a drive."""
    return DriveFile(backup_id="b", provider="local", label="disk", status=status, required=required)


# The dump, and the files on a required drive and on one that is not: what comes of it.
TABLE = {
    (FINISHED, FINISHED, FINISHED): FINISHED,
    (FINISHED, FINISHED, FAILED): FINISHED,
    (FINISHED, FAILED, FINISHED): FAILED,
    (FINISHED, FAILED, FAILED): FAILED,
    (FINISHED, FINISHED, PENDING): PENDING,
    (FINISHED, FAILED, PENDING): PENDING,
    (FINISHED, PENDING, FINISHED): PENDING,
    (FINISHED, PENDING, FAILED): PENDING,
    (FINISHED, PENDING, PENDING): PENDING,
    **{(PENDING, *files): PENDING for files in product(Status, Status)},
    **{(FAILED, *files): FAILED for files in product(Status, Status)},
}


@pytest.mark.parametrize(("dump", "required", "optional"), list(product(Status, Status, Status)))
def test_every_combination_has_one_status(dump: Status, required: Status, optional: Status) -> None:
    files = [file(required), file(optional, required=False)]
    assert settle(dump, files) == TABLE[dump, required, optional]
    assert settle(dump.value, reversed(files)) == TABLE[dump, required, optional]


def test_only_optional_drives_still_have_to_keep_one_copy() -> None:
    assert settle(FINISHED, [file(FAILED, required=False), file(FINISHED, required=False)]) == FINISHED
    assert settle(FINISHED, [file(FAILED, required=False)]) == FAILED


@pytest.mark.parametrize(("dump", "status"), [(FINISHED, FAILED), (PENDING, PENDING), (FAILED, FAILED)])
def test_a_dump_that_no_drive_was_to_keep_is_no_backup(dump: Status, status: Status) -> None:
    assert settle(dump, []) == status
