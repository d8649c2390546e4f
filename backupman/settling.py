"""The one rule that says what a Backup's status is."""

from collections.abc import Iterable

from backupman.records import DriveFile, Status


def settle(dump: str, drive_files: Iterable[DriveFile]) -> Status:
    """The status of a Backup from its dump and its DriveFiles: the only place that decides it.

    Finished: the dump is good, every required drive holds it, and at least one drive does. Pending: something is still
    under way. Failed: everything else.
    """
    files = list(drive_files)
    if dump == Status.FAILED:
        return Status.FAILED
    if dump == Status.PENDING or any(file.status == Status.PENDING for file in files):
        return Status.PENDING
    lost = any(file.required and file.status == Status.FAILED for file in files)
    kept = any(file.status == Status.FINISHED for file in files)
    return Status.FINISHED if kept and not lost else Status.FAILED
